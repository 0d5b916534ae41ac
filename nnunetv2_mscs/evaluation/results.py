"""An evaluation as a value, and as the folder that `mscs evaluate` writes: cases.csv and summary.json."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.catalogue import METRICS, SIZE_COLUMNS
from nnunetv2_mscs.workplace.result_folder import ResultFolder

CASES, SUMMARY, COMPARISON = "cases.csv", "summary.json", "comparison.json"
KEYS = ("case", "label", "label_name", "fold", "reference_empty", "prediction_empty")
COLUMNS = (*KEYS, *METRICS, *SIZE_COLUMNS)
TABLES, PLOTS = "tables", "plots"
COMPARISON_FILES = (COMPARISON, "comparison.csv", "comparison.md")
RESERVED_NAMES = (CASES, SUMMARY, TABLES, PLOTS, *COMPARISON_FILES)
FORMAT = "nnunetv2-mscs evaluation 1"


def _refusal(folder: Path) -> str:
    """Why a folder with these files must not be replaced: others wrote it, or something in it; empty if it may."""
    summary = _read_summary(folder)
    if summary.get("format") != FORMAT:
        return "was not written by this version of mscs evaluate"
    models = summary.get("models", [])
    ours = {CASES, SUMMARY, TABLES, PLOTS, *COMPARISON_FILES, *models}
    of_models = {folder / model / name for model in models for name in (CASES, SUMMARY)}
    foreign = [path for path in folder.iterdir() if path.name not in ours]
    foreign += [path for model in models for path in (folder / model).glob("*") if path not in of_models]
    return f"holds {min(foreign).relative_to(folder)}, which mscs evaluate did not write" if foreign else ""


def _read_summary(folder: Path) -> dict[str, Any]:
    """What summary.json holds; empty if that is nothing of ours."""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return summary if isinstance(summary, dict) else {}


EVALUATION = ResultFolder(kind="an evaluation", marks=(CASES, SUMMARY), prefix=".mscs-evaluate-", refusal=_refusal)


@dataclass(frozen=True)
class CaseFiles:
    """Where a case was read from; `images` by channel name, empty if none are known."""

    prediction: Path
    reference: Path
    images: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseResult:
    """One case and label.

    Args:
        case: nnU-Net's case identifier.
        label: as in the files, such as "1"; a region of several labels as "1+2".
        label_name: such as "lesion".
        fold: whose validation set the case belongs to; None if that is not known.
        reference_empty: the reference holds nothing of the label.
        prediction_empty: the prediction holds nothing of the label.
        values: by column, all of METRICS and SIZE_COLUMNS; NaN where the rule for empty masks says so.
    """

    case: str
    label: str
    label_name: str
    fold: int | None
    reference_empty: bool
    prediction_empty: bool
    values: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """All cases and labels of one model (or of any set of masks).

    Args:
        model: its name in tables and plots.
        predictions: the folder or file evaluated, or the model folder whose validation predictions were.
        references: the folder or file with the truth.
        labels: names by label, as in `CaseResult`.
        results: a row a case and label, cases in order, labels in order within a case.
        files: by case.
        warnings: sentences for the reader, such as about missing folds.
    """

    model: str
    predictions: str
    references: str
    labels: dict[str, str]
    results: tuple[CaseResult, ...]
    files: dict[str, CaseFiles] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def cases(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(result.case for result in self.results))

    def of_label(self, label: str) -> list[CaseResult]:
        """The rows of one label, in the cases' order."""
        return [result for result in self.results if result.label == label]

    def column(self, column: str, label: str) -> np.ndarray:
        """One metric of one label in the cases' order, (n,) float64."""
        return np.array([result.values[column] for result in self.of_label(label)], dtype=float)


def write_cases(file: Path, results: Sequence[CaseResult]) -> None:
    """Write cases.csv: numbers at full precision, `nan` where a value is not defined, fold empty if unknown."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for result in results:
            keys = (result.case, result.label, result.label_name, "" if result.fold is None else result.fold)
            empty = (int(result.reference_empty), int(result.prediction_empty))
            values = (_shown(result.values[column]) for column in COLUMNS[len(KEYS) :])
            writer.writerow([*keys, *empty, *values])


def _shown(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def is_evaluation(folder: Path) -> bool:
    """Whether a folder was written by `mscs evaluate` and holds one model's results."""
    return (folder / CASES).is_file() and "label_names" in _ours(folder)


def is_comparison(folder: Path) -> bool:
    """Whether a folder was written by `mscs evaluate --compare`: with a folder a model."""
    return (folder / COMPARISON).is_file() and "models" in _ours(folder)


def _ours(folder: Path) -> dict[str, Any]:
    """summary.json, if `mscs evaluate` of any version wrote it: nnU-Net has a file of this name, too."""
    summary = _read_summary(folder)
    return summary if str(summary.get("format", "")).startswith(FORMAT.rstrip(" 0123456789")) else {}


def compared_folders(folder: Path) -> list[Path]:
    """The models' evaluations in a folder of a comparison, the baseline first.

    Raises:
        MscsError: it is damaged.
    """
    try:
        return [folder / name for name in json.loads((folder / SUMMARY).read_text(encoding="utf-8"))["models"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise MscsError(f"{folder} is no comparison that can be read.", "Make it again with mscs evaluate.") from error


def read_evaluation(folder: Path) -> Evaluation:
    """Read what `mscs evaluate` wrote.

    Raises:
        MscsError: it is no evaluation, or of another version, or damaged.
    """
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        if summary["format"] != FORMAT:
            raise ValueError(f"its format is {summary['format']}, this version reads {FORMAT}")
        with (folder / CASES).open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        expected = summary["number_of_cases"] * len(summary["label_names"])
        if len(rows) != expected:
            raise ValueError(f"{CASES} has {len(rows)} rows instead of {expected}")
        return Evaluation(
            model=summary["model"],
            predictions=summary["predictions"],
            references=summary["references"],
            labels=dict(summary["label_names"]),
            results=tuple(_result(row) for row in rows),
            files={case: _files(files) for case, files in summary["files"].items()},
            warnings=tuple(summary["warnings"]),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise MscsError(
            f"{folder} is no evaluation that can be read ({type(error).__name__}: {error}).",
            "Make it again with mscs evaluate.",
        ) from error


def _result(row: dict[str, str]) -> CaseResult:
    return CaseResult(
        case=row["case"],
        label=row["label"],
        label_name=row["label_name"],
        fold=int(row["fold"]) if row["fold"] else None,
        reference_empty=row["reference_empty"] == "1",
        prediction_empty=row["prediction_empty"] == "1",
        values={column: float(row[column]) for column in COLUMNS[len(KEYS) :]},
    )


def _files(files: dict[str, Any]) -> CaseFiles:
    return CaseFiles(
        Path(files["prediction"]),
        Path(files["reference"]),
        {name: Path(path) for name, path in files["images"].items()},
    )


def files_as_json(files: dict[str, CaseFiles]) -> dict[str, Any]:
    """For summary.json, as `read_evaluation` reads them."""
    return {
        case: {
            "prediction": str(one.prediction),
            "reference": str(one.reference),
            "images": {name: str(path) for name, path in one.images.items()},
        }
        for case, one in files.items()
    }
