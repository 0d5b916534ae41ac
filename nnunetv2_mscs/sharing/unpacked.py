"""Models unpacked in a hidden place: whether they may be placed, and which of them predict together."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.best_configuration import BEST_RECORD, BestRecord, read_best_record
from nnunetv2_mscs.nnunet_files.checkpoints import CHECKPOINTS
from nnunetv2_mscs.nnunet_files.model_folder import ENSEMBLES, POSTPROCESSING, ModelSet, fold_order, model_of
from nnunetv2_mscs.sharing.archive import Contents
from nnunetv2_mscs.sharing.checkpoints import Checkpoint, inspect_checkpoint
from nnunetv2_mscs.sharing.compatibility import check_model, trained_with
from nnunetv2_mscs.sharing.plans import check_plans
from nnunetv2_mscs.sharing.postprocessing import read_postprocessing
from nnunetv2_mscs.sharing.selecting import with_previous_stage
from nnunetv2_mscs.workplace.whole_files import write_whole


def check_unpacked(
    new: Path, contents: Contents, dataset: Path, trust: Sequence[str]
) -> tuple[list[tuple[ModelSet, int]], list[str]]:
    """Check models in a hidden place, and write nnU-Net's record of the best one anew.

    Args:
        new: the unpacked folder of the data set.
        contents: of the zip.
        dataset: the folder that it is to become, or to become part of.
        trust: packages whose network classes are accepted beside those that are known.

    Returns:
        The models that predict together, with their steps of postprocessing; and notices.

    Raises:
        MscsError: something in it could run code, is damaged or missing, or does not fit the nnU-Net here.
    """
    steps = {file.parent: read_postprocessing(file) for file in sorted(new.rglob(POSTPROCESSING))}
    found: dict[str, ModelSet] = {}
    notices: list[str] = []
    for folder in sorted(path for path in new.iterdir() if path.is_dir() and path.name != ENSEMBLES):
        checkpoint, checkpoints = _checkpoints(folder)
        check_plans(folder, trained_with(folder, checkpoints)[1], trust=trust)
        notices += check_model(folder, checkpoints)
        model = model_of(folder.name)
        assert model is not None
        models = ModelSet(new.name, (with_previous_stage(model, folder),), tuple(checkpoints), checkpoint)
        _refuse_incomplete(models, new, dataset)
        found[folder.name] = models
    sets = [(models, steps.get(new / models.decisions, 0)) for models in _sets(contents, found)]
    return sets, notices + _prepare_record(new / BEST_RECORD, dataset, found)


def _checkpoints(model: Path) -> tuple[str, dict[str, Checkpoint]]:
    """The name of the checkpoints that are predicted with, and these by fold; the others are checked as well.

    Raises:
        MscsError: one of them could run code or is damaged, or no name is there in every fold.
    """
    found = {file: inspect_checkpoint(file) for file in sorted(model.rglob("*.pth"))}
    folders = sorted({file.parent for file in found}, key=_fold_order)
    for name in CHECKPOINTS:
        chosen = {folder.name.removeprefix("fold_"): found.get(folder / name) for folder in folders}
        whole = {fold: checkpoint for fold, checkpoint in chosen.items() if checkpoint is not None}
        if whole and len(whole) == len(folders):
            return name, whole
    raise MscsError(
        f"{model.name} has no checkpoint of one name in all of its folds.", "Ask the sender for one with all folds."
    )


def _fold_order(folder: Path) -> tuple[bool, int]:
    return fold_order(folder.name.removeprefix("fold_"))


def _refuse_incomplete(models: ModelSet, new: Path, dataset: Path) -> None:
    """Raise MscsError unless the stage before a cascade comes with it or is installed."""
    for member in models.members:
        for fold in models.folds:
            file = Path(member.identifier, f"fold_{fold}", models.checkpoint)
            if not (new / file).is_file() and not (dataset / file).is_file():
                raise MscsError(
                    f"{models.home} needs {file}, which is neither in the zip nor installed.",
                    "Ask the sender for a file with both stages.",
                )


def _sets(contents: Contents, found: Mapping[str, ModelSet]) -> list[ModelSet]:
    """The models that predict together: those of the manifest, without one each by itself.

    Raises:
        MscsError: the manifest names models or folds that are not there.
    """
    if not contents.manifest:
        return list(found.values())
    models = contents.manifest.models
    for member in models.members:
        there = found.get(member.identifier)
        if there is None or set(models.folds) - set(there.folds) or there.checkpoint != models.checkpoint:
            raise MscsError(f"The zip lacks folds of {member.identifier}.", "Ask the sender.")
    if any(found[one.identifier].models != (one,) for one in models.models):
        raise MscsError("The manifest and the plans name different stages.", "Ask the sender.")
    return [models]


def _prepare_record(file: Path, dataset: Path, found: Mapping[str, ModelSet]) -> list[str]:
    """Write nnU-Net's record of the best configuration anew, with paths of this machine, or drop it; returns notices.

    Raises:
        MscsError: it is none.
    """
    if not file.is_file():
        return []
    record = read_best_record(file)
    file.unlink()
    chosen = [found.get(model.identifier) for model in record.models]
    if any(one is None or set(record.folds) - set(one.folds) for one in chosen):
        return [f"{BEST_RECORD} is left out: it names models or folds that are not in the zip."]
    models = ModelSet(dataset.name, tuple(one.models[0] for one in chosen if one), record.folds)
    if not (file.parent / models.decisions / POSTPROCESSING).is_file():
        return [f"{BEST_RECORD} is left out: what it has decided on postprocessing is not in the zip."]
    if (dataset / BEST_RECORD).is_file() and not _chose(dataset / BEST_RECORD, record):
        return [f"{dataset / BEST_RECORD} is left as it was: it names other models as the best of those trained here."]
    write_whole(file, json.dumps(record.as_json(models, str(dataset)), indent=2) + "\n")
    return []


def _chose(file: Path, record: BestRecord) -> bool:
    """Whether the record that is there has chosen the same models."""
    try:
        return read_best_record(file).models == record.models
    except MscsError:
        return False
