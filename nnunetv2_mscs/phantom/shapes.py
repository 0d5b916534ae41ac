"""Signed distances (mm, negative inside) of the few solids of which the anatomy is composed."""

from collections.abc import Sequence

import numpy as np

Points = tuple[np.ndarray, np.ndarray, np.ndarray]
Numbers = Sequence[float] | np.ndarray


def ellipsoid(points: Points, centre: Numbers, radii: Numbers, *, power: float = 2.0) -> np.ndarray:
    """The distance to an ellipsoid along the axes, to first order; a `power` above 2 makes it more like a box."""
    scaled = [(p - np.float32(c)) / np.float32(r) for p, c, r in zip(points, centre, radii, strict=True)]
    steep = [np.abs(q) ** np.float32(power - 1) for q in scaled]
    level = sum(np.abs(q) * s for q, s in zip(scaled, steep, strict=True)) ** np.float32(1 / power)
    slope = np.sqrt(sum((s / np.float32(r)) ** 2 for s, r in zip(steep, radii, strict=True)))
    return np.asarray((level - 1) * level ** (power - 1) / np.maximum(slope, 1e-4), dtype=np.float32)


def tube(
    points: Points, path: Sequence[tuple[float, float, float]], radii: Numbers, *, flatness: float = 1.0
) -> np.ndarray:
    """The distance to a tube along a path whose radius changes from corner to corner.

    Args:
        points: coordinates in mm.
        path: the corners.
        radii: the tube's radius at each corner.
        flatness: how many times less wide along the first axis than along the others the tube is.
    """
    stretched = (points[0] * np.float32(flatness), points[1], points[2])
    corners = [(x * flatness, y, z) for x, y, z in path]
    nearest = np.full(points[0].shape, np.inf, np.float32)
    for (start, r0), (end, r1) in zip(
        zip(corners[:-1], radii[:-1], strict=True), zip(corners[1:], radii[1:], strict=True), strict=True
    ):
        way = np.subtract(end, start)
        along = sum((p - np.float32(s)) * np.float32(d) for p, s, d in zip(stretched, start, way, strict=True))
        share = np.clip(along / np.float32(way @ way), 0, 1)
        gap = sum((p - s - share * d) ** 2 for p, s, d in zip(stretched, start, way.astype(np.float32), strict=True))
        nearest = np.minimum(nearest, np.sqrt(gap) - (np.float32(r0) + share * np.float32(r1 - r0)))
    return nearest.astype(np.float32)


def cone(points: Points, apex: Numbers, towards: Numbers, slope: float) -> np.ndarray:
    """The distance to an endless cone from `apex` towards a point, as wide as `slope` times the way from the apex."""
    axis = np.subtract(towards, apex)
    axis = (axis / np.linalg.norm(axis)).astype(np.float32)
    offsets = [p - np.float32(a) for p, a in zip(points, apex, strict=True)]
    along = sum(o * a for o, a in zip(offsets, axis, strict=True))
    square = sum(o * o for o in offsets)
    across = np.sqrt(np.maximum(square - along * along, 0))
    side = (across - np.float32(slope) * along) / np.float32(np.hypot(1, slope))
    return np.asarray(np.where(along > 0, side, np.sqrt(square)), dtype=np.float32)


def merged(a: np.ndarray, b: np.ndarray, softness_mm: float) -> np.ndarray:
    """The union of two solids, its inner edge rounded over `softness_mm`."""
    blend = np.maximum(softness_mm - np.abs(a - b), 0) / softness_mm
    return np.minimum(a, b) - blend * blend * np.float32(softness_mm / 4)
