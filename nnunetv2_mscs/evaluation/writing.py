"""The folder that `mscs evaluate` leaves: one model's evaluation, or several models side by side."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunetv2_mscs import __version__
from nnunetv2_mscs.evaluation.catalogue import METRICS
from nnunetv2_mscs.evaluation.results import CASES, COLUMNS, FORMAT, SUMMARY, Evaluation, files_as_json, write_cases


def summary_json(evaluation: Evaluation, statistics: Mapping[str, Any]) -> dict[str, Any]:
    """What summary.json says: where the masks came from, the rules for empty masks, the warnings and the statistics."""
    return {
        "format": FORMAT,
        "version": __version__,
        "model": evaluation.model,
        "predictions": evaluation.predictions,
        "references": evaluation.references,
        "label_names": evaluation.labels,
        "number_of_cases": len(evaluation.cases),
        "warnings": list(evaluation.warnings),
        "rules_for_empty_masks": rules_for_empty_masks(),
        **statistics,
        "files": files_as_json(evaluation.files),
    }


def rules_for_empty_masks() -> dict[str, dict[str, float | str | None]]:
    """By metric: its value when both masks are empty, and when one is; null is "not defined", and counted as such."""
    rules: dict[str, dict[str, float | str | None]] = {}
    for column, metric in METRICS.items():
        if metric.both_empty is None:
            rules[column] = {"both_empty": "by its formula", "one_empty": "by its formula"}
        else:
            one = metric.one_empty
            rules[column] = {"both_empty": metric.both_empty, "one_empty": one if one == one else None}
    return rules


def write_evaluation(folder: Path, evaluation: Evaluation, statistics: Mapping[str, Any]) -> None:
    """Write cases.csv and summary.json into an existing folder."""
    write_cases(folder / CASES, evaluation.results)
    write_json(folder / SUMMARY, summary_json(evaluation, statistics))


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write an object; NaN and infinity are refused, since JSON has none."""
    file.write_text(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def write_csv(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of the same keys."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)


def write_models(folder: Path, evaluations: Sequence[Evaluation], statistics: Sequence[Mapping[str, Any]]) -> None:
    """Write a folder a model, named after it, and a cases.csv of all, with the model in its first column."""
    for evaluation, one in zip(evaluations, statistics, strict=True):
        (folder / evaluation.model).mkdir()
        write_evaluation(folder / evaluation.model, evaluation, one)
    with (folder / CASES).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["model", *COLUMNS])
        for evaluation in evaluations:
            with (folder / evaluation.model / CASES).open(newline="", encoding="utf-8") as cases:
                writer.writerows([evaluation.model, *row] for row in list(csv.reader(cases))[1:])
    names = [evaluation.model for evaluation in evaluations]
    write_json(folder / SUMMARY, {"format": FORMAT, "version": __version__, "models": names})
