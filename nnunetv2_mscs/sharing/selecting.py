"""Which trained models MODEL means: one model folder, or the best configuration or ensemble of a data set."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.best_configuration import BEST_RECORD, FIND_BEST, BestRecord, read_best_record
from nnunetv2_mscs.nnunet_files.checkpoints import FINAL_CHECKPOINT, read_checkpoint
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, DATASET_NAME
from nnunetv2_mscs.nnunet_files.json_files import read_json
from nnunetv2_mscs.nnunet_files.model_folder import (
    MODEL_PART,
    Model,
    ModelSet,
    fold_folder,
    fold_folders,
    fold_order,
    is_model_folder,
    model_of,
)
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON, configuration_of
from nnunetv2_mscs.nnunet_files.trained import DATASET_WORD, TRAIN_ONE, model_folders, results_of


@dataclass(frozen=True)
class Selection:
    """Trained models and their folders.

    Args:
        models: what is selected.
        folders: of every model that prediction needs, by identifier.
        dataset_folder: the folder of the data set's models; None for a model folder that is in no such folder.
        best: nnU-Net's record of the best configuration, if it names these models and folds.
    """

    models: ModelSet
    folders: dict[str, Path]
    dataset_folder: Path | None
    best: BestRecord | None = None

    @property
    def decisions(self) -> Path:
        """The folder of nnU-Net's decision on the postprocessing of these models; it need not exist."""
        folder, name = self.folders[self.models.models[0].identifier], Path(self.models.decisions)
        return folder / name.name if len(self.models.models) == 1 else folder.parent / name


def select(model: str, folds: Sequence[str] = ()) -> Selection:
    """Find the models that MODEL means.

    Args:
        model: a model folder, a folder of a data set's models, or a data set's id or name.
        folds: those wanted; without, those of the best configuration, or all that are there.

    Raises:
        MscsError: there are no such models, or a fold is not trained to its end.
    """
    place = Path(model)
    if not place.is_dir() and DATASET_WORD.fullmatch(model):
        place = results_of(model)
    if not place.is_dir():
        raise MscsError(f"{model} is no folder.", "Name a model folder, or a data set by its id, name or folder.")
    place = Path(os.path.abspath(place))
    if is_model_folder(place):
        return _one_model(place, folds)
    if (place / BEST_RECORD).is_file():
        return _best(place, folds)
    models = model_folders(place)
    if len(models) == 1:
        return _one_model(models[0], folds)
    found = f"{len(models)} models and no {BEST_RECORD}" if models else "no trained model"
    raise MscsError(f"{place} holds {found}.", FIND_BEST if models else TRAIN_ONE)


def _one_model(folder: Path, folds: Sequence[str]) -> Selection:
    plans = read_json(folder / PLANS_JSON)
    chosen = _folds(folder, folds)
    model = model_of(folder.name) or _model_in_checkpoint(fold_folder(folder, chosen[0]) / FINAL_CHECKPOINT, plans)
    is_in_results = DATASET_NAME.fullmatch(folder.parent.name) is not None
    dataset = folder.parent.name if is_in_results else str(plans.get("dataset_name", ""))
    if not DATASET_NAME.fullmatch(dataset):
        raise MscsError(
            f"{folder} belongs to no data set with a name as nnU-Net's ({dataset or 'none'} in {PLANS_JSON}).",
            "Move it to a folder named such as Dataset501_Stroke.",
        )
    models = ModelSet(dataset, (model,), chosen)
    return _with_previous_stages(
        Selection(models, {model.identifier: folder}, folder.parent if is_in_results else None)
    )


def _best(folder: Path, folds: Sequence[str]) -> Selection:
    if not DATASET_NAME.fullmatch(folder.name):
        raise MscsError(f"{folder} is not named as nnU-Net's folders are.", "Name it such as Dataset501_Stroke.")
    record = read_best_record(folder / BEST_RECORD)
    chosen = tuple(sorted(set(folds), key=fold_order))
    is_whole = not chosen or set(chosen) == set(record.folds)
    models = ModelSet(folder.name, record.models, record.folds if is_whole else chosen)
    folders = {model.identifier: folder / model.identifier for model in record.models}
    return _with_previous_stages(Selection(models, folders, folder, record if is_whole else None))


def _with_previous_stages(selection: Selection) -> Selection:
    """Add the first stages of cascades. Raises MscsError if a model is not there or a fold of it is not trained."""
    given = selection.folders
    staged = tuple(with_previous_stage(one, given[one.identifier]) for one in selection.models.models)
    models = replace(selection.models, models=staged)
    beside = given[staged[0].identifier].parent
    folders = {one.identifier: given.get(one.identifier, beside / one.identifier) for one in models.members}
    for folder in folders.values():
        if not is_model_folder(folder):
            raise MscsError(f"{folder} is not a trained model, and the cascade needs it.", "Train this stage, too.")
        _folds(folder, models.folds)
    return replace(selection, models=models, folders=folders)


def with_previous_stage(model: Model, folder: Path) -> Model:
    """The model with the stage before it, as its plans have it. Raises MscsError if they are no plans."""
    try:
        planned = configuration_of(read_json(folder / PLANS_JSON)["configurations"], model.configuration)
    except (LookupError, TypeError, AttributeError) as error:
        raise MscsError(f"{folder / PLANS_JSON} is not a plan of nnU-Net's.", "Is the model complete?") from error
    stage = str(planned.get("previous_stage") or "")
    if stage and not MODEL_PART.fullmatch(stage):
        raise MscsError(f"{folder / PLANS_JSON} names the previous stage {stage!r}.", "Is the model complete?")
    return replace(model, previous_stage=stage)


def _folds(folder: Path, wanted: Sequence[str]) -> tuple[str, ...]:
    """The folds wanted; without, the numbered folds of a model, or else fold_all.

    Raises:
        MscsError: one of them has no final checkpoint.
    """
    missing_file = next((name for name in (PLANS_JSON, DATASET_JSON) if not (folder / name).is_file()), None)
    if missing_file:
        raise MscsError(f"{folder} has no {missing_file}.", "Is the model complete?")
    there = list(fold_folders(folder))
    trained = [fold for fold in there if (fold_folder(folder, fold) / FINAL_CHECKPOINT).is_file()]
    folds = sorted(set(wanted), key=fold_order) or [fold for fold in there if fold != "all"] or there
    missing = [f"fold_{fold}" for fold in folds if fold not in trained]
    if missing or not folds:
        choice = f" (trained to the end: {' '.join(trained)})" if trained else ""
        raise MscsError(
            f"{folder}: no {FINAL_CHECKPOINT} in {', '.join(missing) or 'any fold'}.",
            f"Train to the end, or choose others with --folds{choice}.",
        )
    return tuple(folds)


def _model_in_checkpoint(file: Path, plans: dict[str, Any]) -> Model:
    """The model whose folder has another name, such as one of `mscs import-keras`."""
    checkpoint = read_checkpoint(file)
    configuration = (checkpoint.get("init_args") or {}).get("configuration")
    parts = (checkpoint.get("trainer_name"), plans.get("plans_name"), configuration)
    model = model_of("__".join(map(str, parts)))
    if model is None:
        raise MscsError(f"{file} does not say which trainer and plans it is of.", "Is the model complete?")
    return model
