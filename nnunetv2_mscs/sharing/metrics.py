"""Metrics that a shared model carries: nnU-Net's of its cross-validation, and an evaluation of `mscs evaluate`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.catalogue import MAIN_METRICS, METRICS
from nnunetv2_mscs.evaluation.results import SUMMARY, compared_folders, is_comparison, is_evaluation
from nnunetv2_mscs.nnunet_files.dataset import DATASET_NAME
from nnunetv2_mscs.nnunet_files.json_files import read_json, read_json_if_there
from nnunetv2_mscs.nnunet_files.model_folder import VALIDATION, fold_folder, fold_order, model_of, validated_fold
from nnunetv2_mscs.sharing.selecting import Selection

OF_A_RUN = "mscs_run/evaluation"
CROSS_VALIDATION = "cross-validation: each case predicted by the fold that was not trained on it"
# What does not name cases or places of the machine where the evaluation was made.
KEPT = ("format", "version", "label_names", "number_of_cases", "rules_for_empty_masks", "settings", "foreground_mean")
KEPT_OF_LABEL = ("name", "cases", "all_cases", "lesion_cases", "lesions_by_size", "volume_agreement")


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
    found: dict[str, Any] | None = None
    if named:
        found = _named_summary(selection, named)
    elif selection.dataset_folder:
        found = _own_summary(selection, selection.dataset_folder / OF_A_RUN)
    if not found:
        return {}
    kept = {key: found[key] for key in KEPT if key in found}
    labels = {
        label: {key: one[key] for key in KEPT_OF_LABEL if key in one} for label, one in found.get("labels", {}).items()
    }
    return {"of": _whose(found, selection), **kept, "labels": labels}


def _named_summary(selection: Selection, folder: Path) -> dict[str, Any]:
    """The evaluation that the user names; of a comparison the models' own.

    Raises:
        MscsError: it is none, or one of other models.
    """
    again = "Make one with mscs evaluate, and name it."
    if is_evaluation(folder):
        found = read_json(folder / SUMMARY)
    else:
        own = _own_summary(selection, folder)
        if own is None:
            raise MscsError(f"{folder} holds no evaluation of {selection.models.home}.", again)
        found = own
    other = _other_model(Path(str(found.get("predictions", ""))), selection)
    if other:
        raise MscsError(f"{folder} is an evaluation of {other}, not of {selection.models.home}.", again)
    return found


def _own_summary(selection: Selection, folder: Path) -> dict[str, Any] | None:
    """The evaluation of the models' own cross-validation, alone or among several; None if there is none."""
    if is_evaluation(folder):
        summaries = [read_json(folder / SUMMARY)]
    elif is_comparison(folder):
        summaries = [read_json(one / SUMMARY) for one in compared_folders(folder)]
    else:
        summaries = []
    return next((summary for summary in summaries if _whose(summary, selection) == CROSS_VALIDATION), None)


def _whose(summary: Mapping[str, Any], selection: Selection) -> str:
    """In words, whose predictions were evaluated. It is their place that tells, never a name alone."""
    folders = {Path(str(one.get("prediction", ""))).parent for one in summary.get("files", {}).values()}
    own = selection.folders[selection.models.models[0].identifier]
    if folders and all(_is_same(folder, selection.decisions) for folder in folders):
        return CROSS_VALIDATION
    if folders and len(selection.models.models) == 1 and all(_is_validation(folder, own) for folder in folders):
        folds = sorted({folder.parent.name.removeprefix("fold_") for folder in folders}, key=fold_order)
        if folds == sorted(selection.models.folds, key=fold_order):
            return CROSS_VALIDATION
        return f"validation of this model's folds {' '.join(folds)}, which are not those of this file"
    name = re.sub(r"[^\w .+-]", "", str(summary.get("model", "")))
    return f'predictions named "{name}", which nothing verifies to be of this model'


def _is_validation(folder: Path, model: Path) -> bool:
    """Whether a folder is nnU-Net's of the validation of a numbered fold of a model."""
    return validated_fold(folder) is not None and _is_same(folder.parent.parent, model)


def _is_same(one: Path, other: Path) -> bool:
    return one.is_dir() and other.is_dir() and one.samefile(other)


def _other_model(predictions: Path, selection: Selection) -> str:
    """The model or ensemble whose folder predictions lie in, if that is another than the selected; else empty."""
    home = Path(selection.models.home).name
    own = selection.folders[selection.models.models[0].identifier]
    single = len(selection.models.models) == 1
    for folder in (predictions, *predictions.parents):
        is_model = model_of(folder.name) is not None or folder.name.startswith("ensemble___")
        if not is_model or (single and _is_same(folder, own)):
            continue
        dataset = next((part for part in reversed(folder.parts[:-1]) if DATASET_NAME.fullmatch(part)), "")
        if folder.name != home or dataset not in ("", selection.models.dataset):
            return f"{dataset} {folder.name}".strip()
    return ""


def fold_scores(model_folder: Path, folds: tuple[str, ...]) -> list[FoldScore]:
    """nnU-Net's mean Dice of the cases that each fold was validated on, of those folds that were."""
    scores = []
    for fold in sorted(folds, key=fold_order):
        summary = read_json_if_there(fold_folder(model_folder, fold) / VALIDATION / SUMMARY)
        if summary:
            scores.append(FoldScore(fold, len(summary.get("metric_per_case", [])), _dice(summary)))
    return scores


def cross_validation(decisions: Path) -> FoldScore | None:
    """nnU-Net's mean Dice over the cases of all folds; None if nnUNetv2_find_best_configuration did not run."""
    summary = read_json_if_there(decisions / SUMMARY)
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
