"""A small head as FreeSurfer would segment it, on a grid of its own, and a few lesion masks in MNI space."""

from pathlib import Path

import nibabel
import numpy as np

WHITE, CORTEX, VENTRICLE, STEM, CEREBELLUM = (2, 41), (3, 42), (4, 43), 16, 8


def segmentation(spacing: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and affine of an egg-shaped brain in the middle of MNI space, stored along L, A, S."""
    size = [round(n / s) for n, s in zip((160, 190, 160), spacing, strict=True)]
    affine = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    affine[:3, 3] = [80, -115, -70]
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), -1)
    x, y, z = np.moveaxis(grid @ affine[:3, :3].T + affine[:3, 3], -1, 0)
    radius = np.sqrt((x / 66) ** 2 + ((y + 18) / 84) ** 2 + ((z - 8) / 62) ** 2)
    labels = np.zeros(size, np.int16)
    for side, where in enumerate((x < 0, x >= 0)):
        labels[(radius < 1) & where] = CORTEX[side]
        labels[(radius < 0.85) & where] = WHITE[side]
        labels[(radius < 0.25) & where] = VENTRICLE[side]
    labels[(radius < 1) & (z < -20) & (y < -40)] = CEREBELLUM
    labels[(np.hypot(x, y + 25) < 12) & (z < -15) & (z > -60)] = STEM
    return labels, affine


def write_head(folder: Path, spacing: tuple[float, ...] = (2.0, 2.0, 2.0)) -> Path:
    labels, affine = segmentation(spacing)
    path = folder / "aseg.nii.gz"
    nibabel.save(nibabel.Nifti1Image(labels, affine), path)
    return path


def write_masks(folder: Path) -> None:
    """Balls in the right hemisphere of 3 to 12 voxels of 2 mm, and one of a scan that is left out."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = [-90, -126, -72]
    radii = {"bwsrsub-3_lesion": 9, "sub-10": 3, "sub-11": 6, "sub-12": 12, "ArterialAtlas136": 5}
    for name, radius in radii.items():
        grid = np.indices((91, 109, 91))
        mask = sum((axis - centre) ** 2 for axis, centre in zip(grid, (62, 54, 45), strict=True)) <= radius**2
        nibabel.save(nibabel.Nifti1Image(mask.astype(np.uint8), affine), folder / f"{name}.nii.gz")
