"""An evaluation as a value, and how to read the folder that `mscs evaluate` writes: cases.csv and summary.json."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.catalogue import METRICS, SIZE_COLUMNS
from nnunetv2_mscs.workplace.result_folder import ResultFolder

CASES, SUMMARY, COMPARISON = "cases.csv", "summary.json", "comparison.json"
NAMES, EMPTY = ["case", "label", "label_name"], ["reference_empty", "prediction_empty"]
VALUES = [*METRICS, *SIZE_COLUMNS]
CASE_COLUMNS = (*NAMES, "fold", *EMPTY, *VALUES)
TABLES, PLOTS = "tables", "plots"
COMPARISON_FILES = (COMPARISON, "comparison.csv", "comparison.md")
RESERVED_NAMES = (CASES, SUMMARY, TABLES, PLOTS, *COMPARISON_FILES)
FORMAT = "nnunetv2-mscs evaluation 1"
STATISTICS = ("settings", "labels", "foreground_mean")
# One row of cases.csv, by column; `fold` is None where it is not known.
CaseMetrics = dict[str, Any]


def _refusal(folder: Path) -> str:
    """Why a folder with these files must not be replaced: it holds files of others; empty if it may be replaced."""
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
    """The content of summary.json; empty if `mscs evaluate` did not write it."""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return summary if isinstance(summary, dict) else {}


EVALUATION_FOLDER = ResultFolder(
    kind="an evaluation", marks=(CASES, SUMMARY), prefix=".mscs-evaluate-", refusal=_refusal
)


@dataclass(frozen=True)
class CaseFiles:
    """Where a case was read from; `images` by channel name, empty if none are known."""

    prediction: Path
    reference: Path
    images: dict[str, Path] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        images = {name: str(path) for name, path in self.images.items()}
        return {"prediction": str(self.prediction), "reference": str(self.reference), "images": images}

    @classmethod
    def from_json(cls, files: Mapping[str, Any]) -> "CaseFiles":
        images = {name: Path(path) for name, path in files["images"].items()}
        return cls(Path(files["prediction"]), Path(files["reference"]), images)


def case_table(rows: Iterable[Mapping[str, Any]] | pd.DataFrame) -> pd.DataFrame:
    """A table with the columns of cases.csv in their types, one row per case and label.

    Args:
        rows: by column: `case` (nnU-Net's case identifier), `label` (as in the files, such as "1"; a region of several
            labels as "1+2"), `label_name` (such as "lesion"), `fold` (whose validation set holds the case; None if
            unknown), `reference_empty` and `prediction_empty` (whether the mask holds no voxel of the label), and all
            of VALUES (NaN where the rule for empty masks says so).

    Raises:
        KeyError: a column is missing.
    """
    table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows), columns=list(CASE_COLUMNS))
    types = dict.fromkeys(NAMES, object) | {"fold": "Int64"} | dict.fromkeys(EMPTY, bool) | dict.fromkeys(VALUES, float)
    return table[list(CASE_COLUMNS)].astype(types).reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All cases and labels of one model (or of any set of masks).

    Args:
        model: its name in tables and plots.
        predictions: the folder or file evaluated, or the model folder whose validation predictions were.
        references: the folder or file with the truth.
        labels: names by label, as in `table`.
        table: see `case_table`; cases in order, labels in order within a case.
        files: by case.
        warnings: sentences for the reader, such as about missing folds.
        statistics: as `summarise` gives them; empty until they are computed.
    """

    model: str
    predictions: str
    references: str
    labels: dict[str, str]
    table: pd.DataFrame
    files: dict[str, CaseFiles] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    statistics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cases(self) -> tuple[str, ...]:
        return tuple(self.table["case"].unique())

    def of_label(self, label: str) -> pd.DataFrame:
        """The rows of one label, in the cases' order."""
        return self.table[self.table["label"] == label]

    def column(self, column: str, label: str) -> np.ndarray:
        """One metric of one label in the cases' order, (n,) float64."""
        return self.of_label(label)[column].to_numpy(float)

    def to_dataframe(self) -> pd.DataFrame:
        """The rows of cases.csv with the model's name in front; tables of several models can be put together."""
        return self.table.assign(model=self.model)[["model", *self.table.columns]]

    def rows(self) -> list[CaseMetrics]:
        """All rows, each by column."""
        return records(self.table)


def records(table: pd.DataFrame) -> list[CaseMetrics]:
    """The rows of a table of cases."""
    return [{**row, "fold": None if pd.isna(row["fold"]) else row["fold"]} for row in table.to_dict("records")]


def is_evaluation(folder: Path) -> bool:
    """Whether a folder was written by `mscs evaluate` and holds one model's results."""
    return (folder / CASES).is_file() and "label_names" in _ours(folder)


def is_comparison(folder: Path) -> bool:
    """Whether a folder was written by `mscs evaluate --compare`, with one folder per model."""
    return (folder / COMPARISON).is_file() and "models" in _ours(folder)


def _ours(folder: Path) -> dict[str, Any]:
    """summary.json if `mscs evaluate` of any version wrote it; nnU-Net also writes a file of this name."""
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
        raise MscsError(
            f"{folder} is not a comparison that can be read.", "Make it again with mscs evaluate."
        ) from error


def read_evaluation(folder: Path) -> Evaluation:
    """Read one model's evaluation, with its statistics.

    Raises:
        MscsError: it is no evaluation, or of another version, or damaged.
    """
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        if summary["format"] != FORMAT:
            raise ValueError(f"its format is {summary['format']}, this version reads {FORMAT}")
        table = _read_cases(folder / CASES)
        expected = summary["number_of_cases"] * len(summary["label_names"])
        if len(table) != expected:
            raise ValueError(f"{CASES} has {len(table)} rows instead of {expected}")
        if set(summary["labels"]) != set(summary["label_names"]):
            raise ValueError(f"{SUMMARY} lacks the statistics of a label")
        return Evaluation(
            model=summary["model"],
            predictions=summary["predictions"],
            references=summary["references"],
            labels=dict(summary["label_names"]),
            table=table,
            files={case: CaseFiles.from_json(files) for case, files in summary["files"].items()},
            warnings=tuple(summary["warnings"]),
            statistics={key: summary[key] for key in STATISTICS},
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise MscsError(
            f"{folder} is not an evaluation that can be read ({type(error).__name__}: {error}).",
            "Make it again with mscs evaluate.",
        ) from error


def _read_cases(file: Path) -> pd.DataFrame:
    # Case names such as NA are names, and every digit of a number counts.
    text = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8")
    numbers = text[VALUES].astype(float)
    empty = text[EMPTY] == "1"
    fold = text["fold"].map(lambda fold: int(fold) if fold else None)
    return case_table(text.assign(**numbers, **empty, fold=fold))
