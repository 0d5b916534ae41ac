"""Distances between two masks in mm, voxel centre to voxel centre: HD95, ASSD and average Hausdorff distances.

The voxel of a mask that is nearest to a voxel outside of it always lies on the mask's border: one step along any axis
towards that voxel would be nearer and thus is not in the mask. So one search tree of border voxels serves them all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

FACES = ndimage.generate_binary_structure(3, 1)
PERCENTILE = 95


@dataclass(frozen=True)
class Directed:
    """Distances in mm from one mask to another.

    Args:
        border: of each border voxel to the nearest border voxel of the other mask, (n,).
        outside: of each voxel outside the other mask to its nearest voxel, (m,).
        voxels: how many voxels the mask has; those inside the other mask are 0 mm away from it.
    """

    border: np.ndarray
    outside: np.ndarray
    voxels: int


def border_of(mask: np.ndarray) -> np.ndarray:
    """Voxels of a mask that share a face with a voxel outside of it, or with the image's edge; (Z, Y, X) bool."""
    return mask & ~ndimage.binary_erosion(mask, FACES)


def nearest_mm(
    points: np.ndarray, others: np.ndarray, spacing_mm: Sequence[float], *, at_most: float = np.inf
) -> np.ndarray:
    """How far the nearest voxel of `others` lies from each voxel of `points`, two (Z, Y, X) masks, in mm.

    Returns:
        (n,) in the order of `np.argwhere(points)`; infinite where nothing lies nearer than `at_most`.
    """
    # Balancing a tree of a grid's points takes longer than it saves.
    tree = cKDTree(np.argwhere(others) * spacing_mm, balanced_tree=False, compact_nodes=False)
    return tree.query(np.argwhere(points) * spacing_mm, distance_upper_bound=at_most)[0]


def directed_distances(mask: np.ndarray, other: np.ndarray, spacing_mm: Sequence[float]) -> Directed:
    """Distances from `mask` to `other`, both (Z, Y, X) bool with at least one voxel each."""
    border, other_border, outside = border_of(mask), border_of(other), mask & ~other
    distance = np.zeros(mask.shape)
    asked = (border & ~other_border) | outside
    if asked.any():
        distance[asked] = nearest_mm(asked, other_border, spacing_mm)
    return Directed(distance[border], distance[outside], int(np.count_nonzero(mask)))


def surface_distances(reference: Directed, prediction: Directed) -> dict[str, float]:
    """HD95 and ASSD, from the distances of either mask to the other."""
    borders = (reference.border, prediction.border)
    return {
        "hd95_mm": max(float(np.percentile(border, PERCENTILE)) for border in borders),
        "assd_mm": float(sum(border.sum() for border in borders) / sum(border.size for border in borders)),
    }


def average_hausdorff_distances(reference: Directed, prediction: Directed) -> dict[str, float]:
    """AHD as the larger and as the mean of the two directed means, and balanced (Aydin et al. 2021).

    Balanced means that both sums are divided by the reference's size, so that a large prediction is no advantage.
    """
    sums = float(reference.outside.sum()), float(prediction.outside.sum())
    means = sums[0] / reference.voxels, sums[1] / prediction.voxels
    return {
        "ahd_max_mm": max(means),
        "ahd_mean_mm": sum(means) / 2,
        "ahd_balanced_mm": sum(sums) / reference.voxels / 2,
    }
