"""A data set in nnUNet_raw and nnUNet_preprocessed: its name, and the names of its folders and files."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnunetv2_mscs.nnunet_files.environment import folder_if_named

DATASET_NAME = re.compile(r"Dataset[0-9]{3}_[\w.+-]+")
DATASET_JSON = "dataset.json"
IMAGES_TR, LABELS_TR, IMAGES_TS, LABELS_TS = "imagesTr", "labelsTr", "imagesTs", "labelsTs"
IMAGES_OF = {LABELS_TR: IMAGES_TR, LABELS_TS: IMAGES_TS}
# In nnUNet_preprocessed; splits that lie in nnUNet_raw as well are taken over by `mscs run`.
SPLITS, FINGERPRINT, REFERENCES = "splits_final.json", "dataset_fingerprint.json", "gt_segmentations"
# The folds of nnU-Net's cross-validation.
FOLDS = (0, 1, 2, 3, 4)
READER = "MSCSReader"

# The content of splits_final.json: for each fold the cases under "train" and "val".
Folds = Sequence[Mapping[str, Sequence[str]]]


def dataset_name(number: int, name: str) -> str:
    """The full name, such as Dataset001_Stroke; with the name "*" a pattern for all data sets of this number."""
    return f"Dataset{number:03d}_{name}"


def reader_along(axes: str) -> str:
    """The name of our reader that turns all scans to lie along some axes of the patient, such as LPS or RAS."""
    return f"{READER}{axes}"


def folder_of(variable: str, dataset: str) -> Path:
    """A data set's folder in the folder that a variable names; one that does not exist if the variable is not set."""
    root = folder_if_named(variable) if dataset else None
    return root / dataset if root else Path(os.devnull) / variable


def accepts_folds(stored: Folds, folds: Folds) -> bool:
    """Whether nnU-Net's planner takes stored splits for these folds: they may be more, but none may differ."""
    pairs = list(zip(stored, folds, strict=False))
    same = all(set(one[part]) == set(other[part]) for one, other in pairs for part in ("train", "val"))
    return same and len(pairs) == len(folds)


def file_ending(raw: Path) -> str:
    """The ending of a data set's image files, such as .nii.gz, by its dataset.json."""
    return json.loads((raw / DATASET_JSON).read_text())["file_ending"]
