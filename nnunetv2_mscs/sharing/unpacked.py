"""Models unpacked in a hidden place: whether they may be placed, and which of them predict together."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.best_configuration import BEST_RECORD, BestRecord, read_best_record
from nnunetv2_mscs.nnunet_files.checkpoints import CHECKPOINTS
from nnunetv2_mscs.nnunet_files.model_folder import POSTPROCESSING, Model, ModelSet, fold_folder, fold_order
from nnunetv2_mscs.sharing.archive import Contents
from nnunetv2_mscs.sharing.checkpoints import Checkpoint, inspect_checkpoint
from nnunetv2_mscs.sharing.compatibility import check_model
from nnunetv2_mscs.sharing.postprocessing import read_postprocessing
from nnunetv2_mscs.sharing.selecting import with_previous_stage
from nnunetv2_mscs.workplace.whole_files import write_whole


def check_unpacked(
    new: Path, contents: Contents, dataset: Path, trust: Sequence[str]
) -> tuple[list[tuple[ModelSet, int]], list[str]]:
    """Check models in a hidden place, and rewrite nnU-Net's record of the best one.

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
    for folder in (new / name for name in contents.models):
        name, checkpoints = _checkpoints(folder)
        notices += check_model(folder, checkpoints, trust=trust)[1]
        model = with_previous_stage(Model(*folder.name.split("__")), folder)
        found[folder.name] = ModelSet(new.name, (model,), tuple(checkpoints), name)
    sets = list(found.values())
    if contents.manifest:
        sets = [contents.manifest.models]
        if any(one.identifier not in found or found[one.identifier].models != (one,) for one in sets[0].models):
            raise MscsError("The manifest and the plans name different models or stages.", "Ask the sender.")
    for models in (*found.values(), *sets):
        _refuse_incomplete(models, dict.fromkeys(found, new), dataset)
    notices += _renew_record(new / BEST_RECORD, dataset, found)
    return [(models, steps.get(new / models.decisions, 0)) for models in sets], notices


def _checkpoints(model: Path) -> tuple[str, dict[str, Checkpoint]]:
    """The name of the checkpoints that are predicted with, and these by fold; the others are checked as well.

    Raises:
        MscsError: one of them could run code or is damaged, or there is no name that every fold has.
    """
    found = {file: inspect_checkpoint(file) for file in sorted(model.rglob("*.pth"))}
    folds = sorted({file.parent.name.removeprefix("fold_") for file in found}, key=fold_order)
    for name in CHECKPOINTS:
        files = {fold: fold_folder(model, fold) / name for fold in folds}
        if files and all(file in found for file in files.values()):
            return name, {fold: found[file] for fold, file in files.items()}
    raise MscsError(
        f"{model.name} has no checkpoint of one name in all of its folds.", "Ask the sender for one with all folds."
    )


def _refuse_incomplete(models: ModelSet, in_zip: Mapping[str, Path], dataset: Path) -> None:
    """Raise MscsError unless every fold is in the zip; of a stage before a cascade, in the zip or installed."""
    for member in models.members:
        for fold in models.folds:
            file = Path(member.identifier, f"fold_{fold}", models.checkpoint)
            if not (in_zip.get(member.identifier, dataset) / file).is_file():
                raise MscsError(
                    f"{models.home} needs {file}, which is neither in the zip nor installed.",
                    "Ask the sender for a file with all folds and both stages.",
                )


def _renew_record(file: Path, dataset: Path, found: Mapping[str, ModelSet]) -> list[str]:
    """Rewrite nnU-Net's record of the best configuration with paths of this machine, or drop it; returns notices.

    Raises:
        MscsError: it is no such record.
    """
    if not file.is_file():
        return []
    record = read_best_record(file)
    file.unlink()
    models = ModelSet(dataset.name, record.models, record.folds)
    is_complete = all(
        one.identifier in found and not set(record.folds) - set(found[one.identifier].folds) for one in record.models
    )
    if not is_complete or not (file.parent / models.decisions / POSTPROCESSING).is_file():
        return [f"{BEST_RECORD} is left out: the models, folds or postprocessing that it names are not all in the zip."]
    if (dataset / BEST_RECORD).is_file() and not _chose(dataset / BEST_RECORD, record):
        return [f"{dataset / BEST_RECORD} is left as it was: it names other models as the best of those trained here."]
    write_whole(file, json.dumps(record.as_json(models, str(dataset)), indent=2) + "\n")
    return []


def _chose(file: Path, record: BestRecord) -> bool:
    """Whether the record in a file chose the same models."""
    try:
        return read_best_record(file).models == record.models
    except MscsError:
        return False
