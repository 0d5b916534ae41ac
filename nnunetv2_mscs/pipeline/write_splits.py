"""`python -m nnunetv2_mscs.pipeline.write_splits DATASET`: the data set's folds, written before any training starts.

The folds of the raw data set are copied if it has some, as after `mscs convert`; else they are made as nnU-Net makes
them. Otherwise trainings that start together would each write them. Folds that a user has put there stay.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import FOLDS, LABELS_TR, SPLITS, accepts_folds, file_ending
from nnunetv2_mscs.workplace.whole_files import write_whole


def write_splits(dataset: str) -> Path:
    """Write splits_final.json into the data set's folder of nnUNet_preprocessed, unless it is there already.

    Raises:
        MscsError: there are too few cases to split.
    """
    from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw
    from nnunetv2.utilities.crossval_split import generate_crossval_split
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    raw, file = Path(nnUNet_raw) / dataset, Path(nnUNet_preprocessed) / dataset / SPLITS
    if file.is_file():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    if (raw / SPLITS).is_file():
        write_whole(file, (raw / SPLITS).read_text())
        return file
    cases = sorted(get_filenames_of_train_images_and_targets(str(raw)))
    if len(cases) < len(FOLDS):
        raise MscsError(
            f"{dataset} has {len(cases)} training cases; nnU-Net splits no fewer than {len(FOLDS)}.",
            f"Give more cases, or write {raw / SPLITS} yourself.",
        )
    write_whole(file, json.dumps(generate_crossval_split(cases, seed=12345, n_splits=len(FOLDS)), indent=4) + "\n")
    return file


def check_splits(file: Path, raw: Path, folds: Sequence[int]) -> None:
    """Check that existing splits are what nnU-Net and a cross-validation need.

    Args:
        file: splits_final.json in nnUNet_preprocessed.
        raw: the data set in nnUNet_raw.
        folds: that are asked for.

    Raises:
        MscsError: they lack a fold, which nnU-Net would make up; name a case without a mask; train and validate on the
            same case; or are not those of the raw data set, which nnU-Net refuses.
    """
    splits = _read(file)
    if lacking := [fold for fold in folds if fold >= len(splits)]:
        raise MscsError(
            f"The data set is split into {len(splits)} folds; there is no fold {lacking[0]}.",
            f"Choose --folds {' '.join(map(str, range(len(splits))))}, or give more patients.",
        )
    ending = file_ending(raw)
    masks = {mask.name.removesuffix(ending) for mask in (raw / LABELS_TR).iterdir()}
    for number, fold in enumerate(splits):
        if unknown := sorted({*fold["train"], *fold["val"]} - masks):
            raise MscsError(f"{file} has {unknown[0]} in fold {number}, a case without a mask.", _remedy(file))
        if twice := sorted(set(fold["train"]) & set(fold["val"])):
            raise MscsError(f"{file} trains and validates fold {number} on {twice[0]}.", _remedy(file))
    of_raw = raw / SPLITS
    if of_raw.is_file() and not accepts_folds(splits, _read(of_raw)):
        raise MscsError(f"{file} has other folds than {of_raw}, which nnU-Net refuses.", _remedy(file))


def _remedy(file: Path) -> str:
    return f"Correct {file.name}, or remove it from nnUNet_preprocessed: then it is made again."


def _read(file: Path) -> list[dict[str, Any]]:
    """Raises MscsError if it is not what nnU-Net takes."""
    try:
        splits = json.loads(file.read_text())
        if not all(isinstance(fold[part], list) for fold in splits for part in ("train", "val")):
            raise ValueError("train and val are lists of cases")
    except (ValueError, KeyError, TypeError) as error:
        raise MscsError(f"{file} is not a list of folds, each with train and val: {error}.", _remedy(file)) from None
    return splits


if __name__ == "__main__":
    try:
        print(write_splits(sys.argv[1]))
    except MscsError as error:
        sys.exit(str(error))
