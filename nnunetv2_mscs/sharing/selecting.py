"""Which trained models MODEL means: one model folder, or the best configuration or ensemble of a data set."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.best_configuration import BEST_RECORD, FIND_BEST, BestRecord, read_best_record
from nnunetv2_mscs.nnunet_files.checkpoints import FINAL_CHECKPOINT, read_checkpoint
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, DATASET_NAME, dataset_name
from nnunetv2_mscs.nnunet_files.environment import RESULTS
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
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON


@dataclass(frozen=True)
class Selection:
    """Trained models and where they lie.

    Args:
        models: what is selected.
        folders: of every model that prediction needs, by identifier.
        dataset_folder: the folder of the data set's models; None for a model folder that stands alone.
        best: nnU-Net's record of the best configuration, if that selected them and the folds.
    """

    models: ModelSet
    folders: dict[str, Path]
    dataset_folder: Path | None = None
    best: BestRecord | None = None

    @property
    def decisions(self) -> Path:
        """The folder that nnU-Net keeps its decision on the models in; it need not exist."""
        folder, name = self.folders[self.models.models[0].identifier], Path(self.models.decisions)
        return folder / name.name if len(self.models.models) == 1 else folder.parent / name


def select(model: str, folds: Sequence[str] = ()) -> Selection:
    """Find the models that MODEL means.

    Args:
        model: a model folder, a folder of a data set's models, or a data set's id or name.
        folds: those wanted; without, those of the best configuration, or all that are there.

    Raises:
        MscsError: nothing of the kind is there, or a fold of it is not trained to its end.
    """
    place = Path(model)
    if not place.is_dir() and re.fullmatch(rf"[0-9]{{1,3}}|{DATASET_NAME.pattern}", model):
        place = _dataset_folder(model)
    if is_model_folder(place):
        return _single(place, folds)
    if not place.is_dir():
        raise MscsError(f"{model} is no folder.", "Name a model folder, or a data set by its id, name or folder.")
    place = Path(os.path.abspath(place))
    if (place / BEST_RECORD).is_file():
        return _best(place, folds)
    candidates = sorted(path for path in place.iterdir() if is_model_folder(path) and model_of(path.name))
    if len(candidates) == 1:
        return _single(candidates[0], folds)
    found = f"{len(candidates)} models and no {BEST_RECORD}" if candidates else "no trained model"
    raise MscsError(f"{place} holds {found}.", FIND_BEST if candidates else "Name a model folder.")


def _dataset_folder(name_or_id: str) -> Path:
    results = os.environ.get(RESULTS)
    if not results:
        raise MscsError(f"{RESULTS} is not set, so that {name_or_id} cannot be found.", f"export {RESULTS}=FOLDER")
    pattern = dataset_name(int(name_or_id), "*") if name_or_id.isdecimal() else name_or_id
    found = sorted(path for path in Path(results).glob(pattern) if path.is_dir())
    if len(found) != 1:
        count = f"{len(found)} folders" if found else "No folder"
        raise MscsError(f"{count} of {results} named {pattern}.", "Name the model's folder.")
    return found[0]


def _single(folder: Path, folds: Sequence[str]) -> Selection:
    folder = Path(os.path.abspath(folder))
    plans = read_json(folder / PLANS_JSON)
    chosen = _folds(folder, folds)
    model = model_of(folder.name) or _told_by_checkpoint(folder, chosen[0], plans)
    stands_in_results = DATASET_NAME.fullmatch(folder.parent.name) is not None
    dataset = folder.parent.name if stands_in_results else str(plans.get("dataset_name", ""))
    if not DATASET_NAME.fullmatch(dataset):
        raise MscsError(
            f"{folder} belongs to no data set with a name as nnU-Net's ({dataset or 'none'} in {PLANS_JSON}).",
            "Move it to a folder named such as Dataset501_Stroke.",
        )
    return _with_folders(dataset, (model,), chosen, folder.parent, {model.identifier: folder}, own=stands_in_results)


def _best(folder: Path, folds: Sequence[str]) -> Selection:
    if not DATASET_NAME.fullmatch(folder.name):
        raise MscsError(f"{folder} is not named as nnU-Net's folders are.", "Name it such as Dataset501_Stroke.")
    record = read_best_record(folder / BEST_RECORD)
    chosen = tuple(sorted(set(folds), key=fold_order))
    whole = not chosen or set(chosen) == set(record.folds)
    selection = _with_folders(folder.name, record.models, record.folds if whole else chosen, folder, {}, own=True)
    return replace(selection, best=record if whole else None)


def _with_folders(
    dataset: str, models: tuple[Model, ...], folds: tuple[str, ...], parent: Path, known: dict[str, Path], *, own: bool
) -> Selection:
    """The selection with the previous stages of cascades, each fold of each model looked for."""
    for model in models:
        if not is_model_folder(known.get(model.identifier, parent / model.identifier)):
            raise MscsError(f"{parent / model.identifier} is no trained model.", FIND_BEST)
    models = tuple(
        with_previous_stage(model, known.get(model.identifier, parent / model.identifier)) for model in models
    )
    chosen = ModelSet(dataset, models, folds)
    folders = {one.identifier: known.get(one.identifier, parent / one.identifier) for one in chosen.members}
    for folder in folders.values():
        if not is_model_folder(folder):
            raise MscsError(f"{folder} is no trained model, and the cascade needs it.", "Train this stage, too.")
        _folds(folder, folds)
    return Selection(chosen, folders, parent if own else None)


def with_previous_stage(model: Model, folder: Path) -> Model:
    """The model with the stage before it, as its plans have it. Raises MscsError if they are no plans."""
    try:
        stage = _inherited(read_json(folder / PLANS_JSON)["configurations"], model.configuration)
    except (LookupError, TypeError, AttributeError) as error:
        raise MscsError(f"{folder / PLANS_JSON} is no plan of nnU-Net's.", "Is the model whole?") from error
    if stage and not MODEL_PART.fullmatch(stage):
        raise MscsError(f"{folder / PLANS_JSON} names the previous stage {stage!r}.", "Is the model whole?")
    return replace(model, previous_stage=stage)


def _inherited(configurations: dict[str, Any], name: str) -> str:
    """The previous stage of a configuration, or of what it inherits from."""
    seen: set[str] = set()
    while name in configurations and name not in seen:
        seen.add(name)
        if configurations[name].get("previous_stage"):
            return str(configurations[name]["previous_stage"])
        name = configurations[name].get("inherits_from", "")
    return ""


def _folds(folder: Path, wanted: Sequence[str]) -> tuple[str, ...]:
    """The folds wanted, or those there: the numbered ones, or else that of all data.

    Raises:
        MscsError: one of them has no final checkpoint.
    """
    for name in (PLANS_JSON, DATASET_JSON):
        if not (folder / name).is_file():
            raise MscsError(f"{folder} has no {name}.", "Is the model whole?")
    there = list(fold_folders(folder))
    numbered = [fold for fold in there if fold != "all"]
    folds = sorted(dict.fromkeys(wanted), key=fold_order) or numbered or there
    missing = [fold for fold in folds if not (fold_folder(folder, fold) / FINAL_CHECKPOINT).is_file()]
    if missing:
        trained = [fold for fold in there if (fold_folder(folder, fold) / FINAL_CHECKPOINT).is_file()]
        raise MscsError(
            f"{folder}: no {FINAL_CHECKPOINT} in {', '.join(f'fold_{fold}' for fold in missing)}.",
            "Train to the end, or choose others with --folds"
            + (f" (trained to the end: {' '.join(trained)})." if trained else "."),
        )
    return tuple(folds)


def _told_by_checkpoint(folder: Path, fold: str, plans: dict[str, Any]) -> Model:
    """The model in a folder that bears another name, such as one of `mscs import-keras`."""
    file = fold_folder(folder, fold) / FINAL_CHECKPOINT
    checkpoint = read_checkpoint(file)
    parts = (checkpoint.get("trainer_name"), plans.get("plans_name"))
    configuration = (checkpoint.get("init_args") or {}).get("configuration")
    model = model_of("__".join(str(part) for part in (*parts, configuration)))
    if model is None:
        raise MscsError(f"{file} does not say which trainer and plans it is of.", "Is the model whole?")
    return model
