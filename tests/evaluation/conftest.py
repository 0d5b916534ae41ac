"""Small masks on disk, and `mscs evaluate` run in this process."""

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.scans.grid import Grid

GRID = Grid((24, 20, 8), (1.2, 1.2, 5.0), (-10.0, 4.0, 30.0))


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def blob(seed: int, grid: Grid = GRID) -> np.ndarray:
    """A few boxes of random size, (Z, Y, X) uint8."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(grid.shape, np.uint8)
    for _ in range(3):
        start = [int(rng.integers(0, n - 3)) for n in mask.shape]
        stop = [s + int(rng.integers(1, 6)) for s in start]
        mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = 1
    return mask


def save(array: np.ndarray, path: Path, grid: Grid = GRID) -> Path:
    """Write a (Z, Y, X) array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(grid.place(sitk.GetImageFromArray(array)), str(path))
    return path


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """PREDICTIONS and REFERENCES of four cases: one exact, two of errors, one with nothing in either."""
    predictions, references = tmp_path / "predictions", tmp_path / "references"
    for number in range(3):
        reference = blob(number)
        prediction = np.roll(reference, number, axis=2)
        save(reference, references / f"case_{number}.nii.gz")
        save(prediction, predictions / f"case_{number}.nii.gz")
    nothing = np.zeros(GRID.shape, np.uint8)
    save(nothing, references / "case_3.nii.gz")
    save(nothing, predictions / "case_3.nii.gz")
    return predictions, references


@pytest.fixture
def mscs() -> Callable[..., Ended]:
    """`mscs` in this process."""

    def run(*words: object) -> Ended:
        arguments: Sequence[str] = [str(word) for word in words]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main(arguments)
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Ended(code, out.getvalue(), err.getvalue())

    return run
