"""Normalised surface Dice (Nikolov et al. 2021): the share of two surfaces that lies within a tolerance of the other.

A surface element lies between 2 x 2 x 2 voxels, coded by eight bits that say which of them are in the mask. Its area is
the area of the triangles that marching cubes puts there, so an element across thick slices has its true weight.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from nnunetv2_mscs.evaluation.distances import nearest_mm

CODES = 256
# Headers round voxel sizes; the last digit must not decide whether a voxel is 2 mm away.
ROUNDING_MM = 1e-4


@lru_cache(maxsize=1)
def _triangles() -> tuple[np.ndarray, np.ndarray]:
    """The triangles of all codes in a cube of side 1: their edges, (n, 2, 3), and to which code they belong, (n,)."""
    from skimage.measure import marching_cubes

    edges, codes = [], []
    for code in range(1, CODES - 1):
        cube = np.unpackbits(np.uint8(code)).reshape(2, 2, 2).astype(float)
        corners, faces, _, _ = marching_cubes(cube, 0.5, method="lorensen", allow_degenerate=False)
        first, second, third = (corners[faces[:, corner]] for corner in range(3))
        edges.append(np.stack([second - first, third - first], axis=1))
        codes.append(np.full(len(faces), code))
    return np.concatenate(edges).astype(float), np.concatenate(codes)


@lru_cache(maxsize=64)
def element_areas_mm2(spacing_mm: tuple[float, ...]) -> np.ndarray:
    """The area of a surface element in mm2 by code, (256,).

    A code and its complement are one surface seen from either side. Where marching cubes gives them two areas, the
    smaller one is taken for both, as Nikolov et al. do.
    """
    edges, codes = _triangles()
    areas = np.linalg.norm(np.cross(edges[:, 0] * spacing_mm, edges[:, 1] * spacing_mm), axis=1) / 2
    by_code = np.bincount(codes, areas, CODES)
    return np.minimum(by_code, by_code[::-1])


def element_codes(mask: np.ndarray) -> np.ndarray:
    """The code of every 2 x 2 x 2 voxels, first voxel first bit; (Z + 1, Y + 1, X + 1) uint8 for a (Z, Y, X) mask.

    Outside the image there is nothing: a mask that touches the image's edge has its surface there.
    """
    padded = np.pad(mask, 1).astype(np.uint8)
    codes = np.zeros([size - 1 for size in padded.shape], np.uint8)
    for dz, dy, dx in np.ndindex(2, 2, 2):
        codes <<= 1
        codes |= padded[dz : dz + codes.shape[0], dy : dy + codes.shape[1], dx : dx + codes.shape[2]]
    return codes


def surface_dice(
    reference: np.ndarray, prediction: np.ndarray, spacing_mm: Sequence[float], tolerances_mm: Sequence[float] = (1, 2)
) -> dict[str, float]:
    """NSD of two masks that are not empty, (Z, Y, X) bool, by tolerance, such as `nsd_1mm`."""
    areas = element_areas_mm2(tuple(float(size) for size in spacing_mm))
    codes = element_codes(reference), element_codes(prediction)
    elements = [(code > 0) & (code < CODES - 1) for code in codes]
    reach = max(tolerances_mm) + 2 * ROUNDING_MM
    area, distance = [], []
    for own in (0, 1):
        area.append(areas[codes[own][elements[own]]])
        distance.append(nearest_mm(elements[own], elements[1 - own], spacing_mm, at_most=reach))
    weights, distances = np.concatenate(area), np.concatenate(distance)
    return {
        f"nsd_{tolerance}mm": float(weights[distances <= tolerance + ROUNDING_MM].sum() / weights.sum())
        for tolerance in tolerances_mm
    }
