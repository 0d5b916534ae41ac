"""The number of starts that the training of each fold needed, as its checkpoint records it."""

from collections.abc import Mapping
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.checkpoints import MOST_TRAINED_FIRST, read_checkpoint
from nnunetv2_mscs.nnunet_files.model_folder import fold_folders
from nnunetv2_mscs.reporting.report.content import Notice
from nnunetv2_mscs.training.starts import START

REMEDY = (
    "In a failed start the network learned to predict no lesion at all; docs/training.md says why. If that happens in "
    "several folds, look at labels and normalisation, or lower the initial learning rate."
)


def notices_of_starts(model: str, folder: Path) -> list[Notice]:
    """A warning for each fold of a model folder whose training had to start again."""
    starts = {fold: starts_of(place) for fold, place in fold_folders(folder).items()}
    return [
        Notice("warning", f"{model}: the training of fold {fold} needed {number} starts.", REMEDY)
        for fold, number in starts.items()
        if number > 1
    ]


def starts_of(fold: Path) -> int:
    """The number of starts of a fold's training; 1 where no checkpoint records another."""
    checkpoint = next((file for name in MOST_TRAINED_FIRST if (file := fold / name).is_file()), None)
    if checkpoint is None:
        return 1
    try:
        arguments = read_checkpoint(checkpoint).get("init_args")
    except MscsError:
        return 1
    entry = arguments.get(START) if isinstance(arguments, Mapping) else None
    number = entry.get("number") if isinstance(entry, Mapping) else None
    return number if isinstance(number, int) else 1
