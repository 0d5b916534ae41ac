"""Lesion compared with mirrored tissue: how dark it is in the ADC, how bright in the DWI."""

import numpy as np

from nnunetv2_mscs.phantom.pose import Pose
from nnunetv2_mscs.scans.grid import Grid


def mirrored_indices(mask: np.ndarray, grid: Grid, pose: Pose) -> np.ndarray:
    """The voxels that mirror those of a mask across the head's mid-plane, without those that are lesion themselves.

    Args:
        mask: (x, y, z).
        grid: of the mask.
        pose: of the head, which knows its mid-plane.

    Returns:
        (N, 3) indices, nearest voxels; those outside the volume are left out.
    """
    indices = np.argwhere(mask > 0)
    origin = np.asarray(grid.origin)
    across = pose.mirror(origin + indices * grid.spacing)
    mirrored = np.rint((across - origin) / grid.spacing).astype(int)
    mirrored = mirrored[((mirrored >= 0) & (mirrored < mask.shape)).all(axis=1)]
    return mirrored[mask[tuple(mirrored.T)] == 0]


def lesion_ratio(image: np.ndarray, mask: np.ndarray, mirrored: np.ndarray) -> float | None:
    """Mean over the mask's voxels divided by the mean over the mirrored ones; None if either set is empty."""
    if not mask.any() or not len(mirrored):
        return None
    healthy = float(image[tuple(mirrored.T)].mean())
    return float(image[mask > 0].mean()) / healthy if healthy > 0 else None
