"""Small new scans: a head with a lesion, seen as ADC, DWI and b0, in any form."""

from pathlib import Path

import numpy as np

from tests.stored_scans import along, oblique, write_nifti

SHAPE = (20, 24, 6)
AFFINE = np.diag([-8.0, 8.0, 14.0, 1.0])
AFFINE[:3, 3] = [76.0, -92.0, -35.0]
B_VALUE = 1000.0


def scan(seed: int = 0) -> dict[str, np.ndarray]:
    """ADC in 10^-6 mm2/s, DWI and b0 that fit it, (x, y, z) float32."""
    random = np.random.default_rng(seed)
    x, y, z = np.indices(SHAPE)
    centre = [(n - 1) / 2 for n in SHAPE]
    head = ((x - centre[0]) / 8) ** 2 + ((y - centre[1]) / 10) ** 2 + ((z - centre[2]) / 3.2) ** 2 < 1
    lesion = head & (np.hypot(x - 6, y - 9) < 2.5) & (abs(z - 3) < 2)
    adc = np.where(lesion, 450.0, 850.0) + random.normal(0, 30, SHAPE)
    b0 = np.where(head, 900.0, 8.0) + random.normal(0, 2, SHAPE)
    dwi = b0 * np.exp(-adc * 1e-6 * B_VALUE)
    return {
        "adc": np.where(head, adc, 0).astype(np.float32),
        "dwi": dwi.astype(np.float32),
        "b0": b0.astype(np.float32),
    }


def write(
    folder: Path,
    names: dict[str, str],
    *,
    seed: int = 0,
    axes: str = "",
    tilt: tuple[float, ...] = (),
    affine: np.ndarray = AFFINE,
) -> Path:
    """Write a scan as NIfTI: the file of each of adc, dwi and b0 by its name."""
    placed = oblique(affine, *tilt) if tilt else affine
    for channel, name in names.items():
        array = scan(seed)[channel]
        write_nifti(folder / name, *(along(array, placed, axes) if axes else (array, placed)))
    return folder


def write_study(folder: Path, *, seed: int = 0, **how) -> Path:
    """The usual study: adc.nii.gz and dwi.nii.gz in a folder."""
    return write(folder, {"adc": "adc.nii.gz", "dwi": "dwi.nii.gz"}, seed=seed, **how)
