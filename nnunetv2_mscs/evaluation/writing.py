"""The files that `mscs evaluate` writes: of one model's evaluation, or of several models side by side."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nnunetv2_mscs import __version__
from nnunetv2_mscs.evaluation.catalogue import METRICS
from nnunetv2_mscs.evaluation.comparison import Comparison
from nnunetv2_mscs.evaluation.paired_tests import MAIN, OTHER
from nnunetv2_mscs.evaluation.results import (
    CASES,
    COMPARISON,
    COMPARISON_FILES,
    EMPTY,
    FORMAT,
    SUMMARY,
    VALUES,
    Evaluation,
)


def summary_json(evaluation: Evaluation) -> dict[str, Any]:
    """The content of summary.json: origin of the masks, rules for empty masks, warnings and statistics."""
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
        **evaluation.statistics,
        "files": {case: files.as_json() for case, files in evaluation.files.items()},
    }


def rules_for_empty_masks() -> dict[str, dict[str, float | str | None]]:
    """By metric: its value when both masks are empty, and when one is; null means not defined, and counted as such."""
    rules: dict[str, dict[str, float | str | None]] = {}
    for column, metric in METRICS.items():
        if metric.both_empty is None:
            rules[column] = {"both_empty": "by its formula", "one_empty": "by its formula"}
        else:
            one = metric.one_empty
            rules[column] = {"both_empty": metric.both_empty, "one_empty": one if one == one else None}
    return rules


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write cases.csv and summary.json of one model into an existing folder."""
    _write_csv(folder / CASES, _printed(evaluation))
    _write_json(folder / SUMMARY, summary_json(evaluation))


def write_models(folder: Path, evaluations: Sequence[Evaluation], comparison: Comparison) -> None:
    """Write one folder per model, a cases.csv of all with the model in its first column, and the comparison."""
    for evaluation in evaluations:
        (folder / evaluation.model).mkdir()
        write_evaluation(folder / evaluation.model, evaluation)
    tables = [_printed(evaluation).assign(model=evaluation.model) for evaluation in evaluations]
    cases = pd.concat(tables)
    _write_csv(folder / CASES, cases[["model", *cases.columns.drop("model")]])
    names = [evaluation.model for evaluation in evaluations]
    _write_json(folder / SUMMARY, {"format": FORMAT, "version": __version__, "models": names})
    _write_comparison(folder, comparison)


def _write_comparison(folder: Path, comparison: Comparison) -> None:
    _, table, text = COMPARISON_FILES
    _write_json(folder / COMPARISON, comparison.as_json())
    _write_csv(folder / table, pd.DataFrame(comparison.rows()))
    lines = [f"# {' against '.join(reversed(comparison.models))}", ""]
    for title, family in (("Main metrics", MAIN), ("Other metrics", OTHER)):
        lines += [f"## {title}", "", *(f"- {sentence}" for sentence in comparison.sentences(family=family)), ""]
    warnings = [f"- {warning}" for warning in comparison.warnings()]
    lines += ["## Before you believe them", "", *warnings, ""] if warnings else []
    (folder / text).write_text("\n".join(lines), encoding="utf-8")


def _printed(evaluation: Evaluation) -> pd.DataFrame:
    """The table as cases.csv holds it: numbers at full precision, whole ones without a point, unknown folds empty."""
    table = evaluation.table
    values = {column: pd.Series([_shortest(value) for value in table[column]], dtype=object) for column in VALUES}
    flags = table[EMPTY].astype(int)
    return table.assign(**values, **flags, fold=table["fold"].astype(object).where(table["fold"].notna(), ""))


def _shortest(value: float) -> float | int:
    return int(value) if value.is_integer() else value


def _write_csv(file: Path, table: pd.DataFrame) -> None:
    table.to_csv(file, index=False, na_rep="nan", lineterminator="\r\n", encoding="utf-8")


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write an object; NaN and infinity are refused, since JSON has none."""
    file.write_text(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
