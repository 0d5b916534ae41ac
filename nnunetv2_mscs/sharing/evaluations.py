"""The evaluation that goes with a shared model: which it is, whose predictions it is of, and what is left out."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.results import SUMMARY, compared_folders, is_comparison, is_evaluation
from nnunetv2_mscs.nnunet_files.dataset import DATASET_NAME
from nnunetv2_mscs.nnunet_files.json_files import read_json
from nnunetv2_mscs.nnunet_files.model_folder import fold_order, model_of, validated_fold
from nnunetv2_mscs.sharing.selecting import Selection

OF_A_RUN = "mscs_run/evaluation"
CROSS_VALIDATION = "cross-validation: each case predicted by the fold that was not trained on it"
# Everything else names cases, or paths of the machine where the evaluation was made.
KEPT = ("format", "version", "label_names", "number_of_cases", "rules_for_empty_masks", "settings", "foreground_mean")
KEPT_OF_LABEL = ("name", "cases", "all_cases", "lesion_cases", "lesions_by_size", "volume_agreement")


def evaluation_of(selection: Selection, named: Path | None) -> dict[str, Any]:
    """The summary of the evaluation that is shared with the models, without names of cases; empty if there is none.

    Args:
        selection: the models.
        named: a folder that `mscs evaluate` wrote; without, that of `mscs run`, if it is of these models.

    Raises:
        MscsError: the named folder holds no evaluation of these models.
    """
    folder = named or (selection.dataset_folder / OF_A_RUN if selection.dataset_folder else None)
    summaries = _summaries(folder) if folder else []
    found = next((one for one in summaries if _whose(one, selection) == CROSS_VALIDATION), None)
    if named:
        if found is None and is_evaluation(named):
            found = summaries[0]
        other = _other_model(Path(str(found.get("predictions", ""))), selection) if found else ""
        if found is None or other:
            raise MscsError(
                f"{named} {f'is an evaluation of {other}, not' if other else 'holds no evaluation'} "
                f"of {selection.models.home}.",
                "Make one with mscs evaluate, and name it.",
            )
    if found is None:
        return {}
    labels = {
        label: {key: one[key] for key in KEPT_OF_LABEL if key in one} for label, one in found.get("labels", {}).items()
    }
    return {"of": _whose(found, selection), **{key: found[key] for key in KEPT if key in found}, "labels": labels}


def _summaries(folder: Path) -> list[dict[str, Any]]:
    """Those in a folder of `mscs evaluate`: one, or those of the models that it compared."""
    folders = [folder] if is_evaluation(folder) else compared_folders(folder) if is_comparison(folder) else []
    return [read_json(one / SUMMARY) for one in folders]


def _whose(summary: Mapping[str, Any], selection: Selection) -> str:
    """Say whose predictions were evaluated; their folder decides, never a name alone."""
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
    """Whether nnU-Net wrote a folder when it validated a numbered fold of a model."""
    return validated_fold(folder) is not None and _is_same(folder.parent.parent, model)


def _is_same(one: Path, other: Path) -> bool:
    return one.is_dir() and other.is_dir() and one.samefile(other)


def _other_model(predictions: Path, selection: Selection) -> str:
    """The model or ensemble whose folder predictions lie in; empty if there is none, or it is the selected one."""
    models = selection.models
    own = selection.folders[models.models[0].identifier]
    for folder in (predictions, *predictions.parents):
        is_model = model_of(folder.name) is not None or folder.name.startswith("ensemble___")
        if not is_model or (len(models.models) == 1 and _is_same(folder, own)):
            continue
        dataset = next((part for part in reversed(folder.parts[:-1]) if DATASET_NAME.fullmatch(part)), "")
        if folder.name != Path(models.home).name or dataset not in ("", models.dataset):
            return f"{dataset} {folder.name}".strip()
    return ""
