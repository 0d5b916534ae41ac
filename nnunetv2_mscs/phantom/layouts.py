"""How a case's files are named and stored in each of the folder layouts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from nnunetv2_mscs.phantom.case import PhantomCase
from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.writing import write_volume
from nnunetv2_mscs.workplace.whole_files import writing

VALIDATION_SHARE, TEST_SHARE = 0.15, 0.15

Store = Callable[[PhantomCase, Path, str], None]


def split_of(position: int, cases: int) -> str:
    """train, val or test: 70 %, 15 %, 15 % of the cases in their order, rounded; at least one is for training."""
    validation = round(cases * VALIDATION_SHARE)
    training = max(1, cases - validation - round(cases * TEST_SHARE))
    return "train" if position < training else "val" if position < training + validation else "test"


def _images_masks(case: PhantomCase, folder: Path, split: str) -> None:
    _volume(case.adc, case.grid, folder / "images" / f"{case.name}_adc.nii.gz")
    _volume(case.dwi, case.grid, folder / "images" / f"{case.name}_dwi.nii.gz")
    _volume(case.mask, case.grid, folder / "masks" / f"{case.name}.nii.gz")


def _sample_folders(case: PhantomCase, folder: Path, split: str) -> None:
    for name, image in (("ADC", case.adc), ("DWI2", case.dwi), ("b0", case.b0), ("mask", case.mask)):
        _volume(image, case.grid, folder / case.name / f"{case.name}_{name}.nii.gz")


def _unlabelled(case: PhantomCase, folder: Path, split: str) -> None:
    _volume(case.adc, case.grid, folder / "scans" / f"{case.name}_adc.nii.gz")
    _volume(case.dwi, case.grid, folder / "scans" / f"{case.name}_dwi.nii.gz")
    _volume(case.mask, case.grid, folder / "references" / f"{case.name}.nii.gz")


def _array_splits(case: PhantomCase, folder: Path, split: str) -> None:
    number = int(case.name.rsplit("_", 1)[-1])
    scaled = np.stack([scaled_by_slice(case.adc), scaled_by_slice(case.dwi)], axis=-1)
    one_hot = np.stack([1 - case.mask, case.mask], axis=-1).astype(np.float32)
    _array(scaled, folder / split / "images" / f"sample_{number}_image.npy")
    _array(one_hot, folder / split / "masks" / f"sample_{number}_mask.npy")


STORES: dict[str, Store] = {
    "images-masks": _images_masks,
    "sample-folders": _sample_folders,
    "array-splits": _array_splits,
    "unlabelled": _unlabelled,
}


def scaled_by_slice(image: np.ndarray) -> np.ndarray:
    """(x, y, z) float32, every slice scaled to [0, 1] by its own minimum and maximum; a constant one becomes 0."""
    image = image.astype(np.float32)
    low, high = image.min(axis=(0, 1)), image.max(axis=(0, 1))
    scaled = (image - low) / np.where(high > low, high - low, 1)
    return np.asarray(scaled, dtype=np.float32)


def _volume(image: np.ndarray, grid: Grid, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(image.T, grid, path)


def _array(array: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path):
        np.save(path, array)
