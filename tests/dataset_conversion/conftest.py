"""Small synthetic scans in any layout, and the command run in this process."""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from nnunetv2_mscs.cli.main import main

SHAPE_XYZ = (20, 16, 8)
AFFINE = np.diag([-1.2, 1.2, 5.0, 1.0])
AFFINE[:3, 3] = [12, -10, -20]


@dataclass
class Phantom:
    """A head with a lesion, arrays in (x, y, z): ADC in mm2/s, DWI, mask."""

    adc: np.ndarray
    dwi: np.ndarray
    mask: np.ndarray

    def scaled(self) -> np.ndarray:
        """ADC and DWI min-max scaled, (x, y, z, 2)."""
        return np.stack([(a - a.min()) / (a.max() - a.min()) for a in (self.adc, self.dwi)], axis=-1)

    def one_hot(self) -> np.ndarray:
        return np.stack([1 - self.mask, self.mask], axis=-1).astype(np.float32)


def make_phantom(seed: int = 0, *, radius: int = 1, shape: tuple[int, int, int] = SHAPE_XYZ) -> Phantom:
    rng = np.random.default_rng(seed)
    grids = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    head = np.asarray(sum(g**2 for g in grids) < 0.8)
    mask = np.zeros(shape, np.uint8)
    x, y, z = (n // 2 for n in shape)
    mask[x - 5 - radius : x - 4 + radius, y - radius : y + 1 + radius, z - 1 : z + 1] = 1
    top = mask[x - 5 - radius : x - 4 + radius, y - radius : y + 1 + radius, z + 1]
    top.flat[:] = [seed >> bit & 1 for bit in range(top.size)]
    adc = rng.normal(850e-6, 60e-6, shape)
    adc[x : x + 3, y - 1 : y + 2] = 2800e-6
    adc = np.where(mask == 1, rng.normal(450e-6, 30e-6, shape), adc)
    dwi = np.where(mask == 1, rng.normal(450, 20, shape), rng.normal(220, 15, shape))
    adc, dwi = np.where(head, adc, 0), np.where(head, dwi, rng.uniform(0, 8, shape))
    return Phantom(adc.astype(np.float32), dwi.astype(np.float32), mask)


def save(array: np.ndarray, path: Path, affine: np.ndarray = AFFINE) -> Path:
    """Write an array in (x, y, z[, c]) order in the format of the path's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez_compressed(path, array)
    elif path.suffix in (".mha", ".nrrd"):
        import SimpleITK as sitk

        nibabel.save(nibabel.Nifti1Image(array, affine), path.with_suffix(".nii"))
        sitk.WriteImage(sitk.ReadImage(str(path.with_suffix(".nii"))), str(path))
        path.with_suffix(".nii").unlink()
    else:
        nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def save_case(folder: Path, name: str, phantom: Phantom, ending: str = ".nii.gz") -> None:
    """One case in the images/masks layout, one file per channel."""
    save(phantom.adc, folder / f"images/{name}_adc{ending}")
    save(phantom.dwi, folder / f"images/{name}_dwi{ending}")
    save(phantom.mask, folder / f"masks/{name}{ending}")


@pytest.fixture
def tools() -> Any:
    """The helpers of this file."""
    return type(
        "Tools", (), {f.__name__: staticmethod(f) for f in (make_phantom, save, save_case)} | {"AFFINE": AFFINE}
    )


@pytest.fixture
def source(tmp_path) -> Path:
    """Three cases a, b, c in the images/masks layout."""
    for seed, name in enumerate("abc"):
        save_case(tmp_path / "source", name, make_phantom(seed, radius=seed + 1), ".nii")
    return tmp_path / "source"


@dataclass
class Outcome:
    """What a command left: exit code and its two streams."""

    code: int
    out: str
    err: str


@pytest.fixture
def mscs() -> Callable[..., Outcome]:
    """Run `mscs` in this process, with one process of work unless told otherwise."""

    def run(*words: object) -> Outcome:
        argv = [str(word) for word in words]
        if argv[0] == "convert" and "-np" not in argv:
            argv += ["-np", "1"]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main(argv)
            except SystemExit as error:
                code = int(error.code or 0)
        return Outcome(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def raw(nnunet_folders) -> Path:
    """The folder $nnUNet_raw, empty."""
    return nnunet_folders / "nnUNet_raw"
