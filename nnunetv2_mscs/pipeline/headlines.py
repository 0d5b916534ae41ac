"""The few scores that a run prints at its end; all others are in its evaluation and its report."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nnunetv2_mscs.pipeline.state import RunFolder

SUMMARY, COMPARISON = "summary.json", "comparison.md"
DECIDING = "Dice:"
# Metrics by their key, with title and decimals.
SHOWN = {"dice": ("Dice", 3), "hd95_mm": ("HD95 (mm)", 1), "f1_isles22": ("lesion F1", 3)}


def headlines(evaluation: Path) -> list[str]:
    """One line per model and label, and what the comparison of models says about Dice.

    Args:
        evaluation: a folder that `mscs evaluate` wrote.
    """
    lines = [line for folder in _models(evaluation) for line in _of_model(folder)]
    if (evaluation / COMPARISON).is_file():
        main = (evaluation / COMPARISON).read_text(encoding="utf-8").split("## ")[1]
        lines += [line.removeprefix("- ") for line in main.splitlines()[1:] if line.startswith(f"- {DECIDING}")]
    return lines


def results_of(run: RunFolder) -> list[str]:
    """The scores of a finished run, and where everything is."""
    lines = []
    for title, folder in {"cross-validation": run.evaluation, "test cases": run.test_evaluation}.items():
        if folder.is_dir():
            lines += [title, *(f"  {line}" for line in headlines(folder)), ""]
    places = {
        "evaluation": run.evaluation,
        "predictions": run.predictions,
        "report": run.report,
        "report of the test cases": run.test_report,
    }
    return [*lines, *(f"{title} {place}" for title, place in places.items() if place.exists())]


def _models(evaluation: Path) -> list[Path]:
    """The folder itself, or in a comparison the folder of each model, in their order."""
    if (evaluation / SUMMARY).is_file() and not (evaluation / COMPARISON).is_file():
        return [evaluation]
    return sorted(folder.parent for folder in evaluation.glob(f"*/{SUMMARY}"))


def _of_model(folder: Path) -> Iterator[str]:
    summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    for label in summary["labels"].values():
        values = ", ".join(_value(label["all_cases"], key) for key in SHOWN if key in label["all_cases"])
        count = summary["number_of_cases"]
        yield f"{summary['model']}, {label['name']}, {count} {'case' if count == 1 else 'cases'}: {values}"


def _value(metrics: Mapping[str, Any], key: str) -> str:
    title, decimals = SHOWN[key]
    metric = metrics[key]
    if metric["mean"] is None:
        return f"{title} undefined"
    text = f"{title} {metric['mean']:.{decimals}f}"
    if metric["ci_low"] is not None:
        text += f" (95 % {metric['ci_low']:.{decimals}f} to {metric['ci_high']:.{decimals}f})"
    return text
