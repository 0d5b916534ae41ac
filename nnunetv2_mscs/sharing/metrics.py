"""Metrics that a shared model carries: nnU-Net's of its cross-validation, and an evaluation of `mscs evaluate`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.catalogue import MAIN_METRICS, METRICS
from nnunetv2_mscs.evaluation.results import SUMMARY, compared_folders, is_comparison, is_evaluation
from nnunetv2_mscs.sharing.models import fold_order
from nnunetv2_mscs.sharing.selecting import Selection, read_json

OF_A_RUN = "mscs_run/evaluation"
CROSS_VALIDATION = "cross-validation: each case predicted by the fold that was not trained on it"
# What names cases or places of the machine where the evaluation was made.
LEFT_OUT = ("files", "predictions", "references")


@dataclass(frozen=True)
class FoldScore:
    """nnU-Net's validation of a fold."""

    fold: str
    cases: int
    dice: float | None


@dataclass(frozen=True)
class MetricRow:
    """One metric of one label over all cases, with its 95 % interval."""

    label: str
    title: str
    mean: str
    interval: str
    cases: int


def evaluation_of(selection: Selection, named: Path | None) -> dict[str, Any]:
    """The summary of an evaluation to go with the models, without the names of cases; empty if there is none.

    Args:
        selection: the models.
        named: a folder that `mscs evaluate` wrote; without, that of `mscs run`, if it is of these models.

    Raises:
        MscsError: the folder named is no evaluation of these models.
    """
    folder = named or (selection.dataset_folder / OF_A_RUN if selection.dataset_folder else None)
    found = _summary(selection, folder) if folder else None
    if named and found is None:
        raise MscsError(
            f"{named} holds no evaluation of {selection.models.home}.", "Make one with mscs evaluate, and name it."
        )
    if not found:
        return {}
    of = CROSS_VALIDATION if _is_of(found, selection) else f"predictions named {found.get('model', '')}"
    return {"of": of, **{key: value for key, value in found.items() if key not in LEFT_OUT}}


def _summary(selection: Selection, folder: Path) -> dict[str, Any] | None:
    """An evaluation of one model as it is; of several the one of the models' own folder."""
    if is_evaluation(folder):
        summary = read_json(folder / SUMMARY)
        return summary if folder.parts[-2:] != tuple(OF_A_RUN.split("/")) or _is_of(summary, selection) else None
    if is_comparison(folder):
        summaries = [read_json(one / SUMMARY) for one in compared_folders(folder)]
        return next((summary for summary in summaries if _is_of(summary, selection)), None)
    return None


def _is_of(summary: dict[str, Any], selection: Selection) -> bool:
    return Path(selection.models.home).name in Path(str(summary.get("predictions", ""))).parts


def fold_scores(model_folder: Path, folds: tuple[str, ...]) -> list[FoldScore]:
    """nnU-Net's mean Dice of the cases that each fold was validated on, of those folds that were."""
    scores = []
    for fold in sorted(folds, key=fold_order):
        summary = _quietly(model_folder / f"fold_{fold}" / "validation" / SUMMARY)
        if summary:
            scores.append(FoldScore(fold, len(summary.get("metric_per_case", [])), _dice(summary)))
    return scores


def cross_validation(decisions: Path) -> FoldScore | None:
    """nnU-Net's mean Dice over the cases of all folds; None if nnUNetv2_find_best_configuration did not run."""
    summary = _quietly(decisions / SUMMARY)
    return FoldScore("all folds", len(summary.get("metric_per_case", [])), _dice(summary)) if summary else None


def metric_rows(evaluation: dict[str, Any]) -> list[MetricRow]:
    """The main metrics of an evaluation, each label's."""
    rows = []
    for label in evaluation.get("labels", {}).values():
        for column in MAIN_METRICS:
            value = label.get("all_cases", {}).get(column)
            if value and value.get("mean") is not None:
                metric = METRICS[column]
                shown = [value.get(key) for key in ("mean", "ci_low", "ci_high")]
                mean, low, high = (None if one is None else f"{one:.{metric.decimals}f}" for one in shown)
                interval = f"{low} to {high}" if low is not None and high is not None else ""
                rows.append(MetricRow(label.get("name", ""), metric.title, mean or "", interval, value.get("n", 0)))
    return rows


def _dice(summary: dict[str, Any]) -> float | None:
    value = (summary.get("foreground_mean") or {}).get("Dice")
    return float(value) if isinstance(value, (int, float)) and value == value else None


def _quietly(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
