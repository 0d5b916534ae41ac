"""Smooth random fields, made on a few knots and interpolated: what no two heads share."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

REACH_MM = 150.0


def smooth_field(rng: np.random.Generator, points: Sequence[np.ndarray], wavelength_mm: float) -> np.ndarray:
    """A field of mean 0 and standard deviation near 1 that varies over about `wavelength_mm`.

    Args:
        rng: gives the knots.
        points: the three coordinates in mm, arrays of one shape; beyond 150 mm the field repeats.
        wavelength_mm: about the distance from one crest to the next; knots lie half of it apart.
    """
    step = wavelength_mm / 2
    count = int(2 * REACH_MM / step) + 4
    knots = rng.standard_normal((count, count, count), dtype=np.float32)
    places = np.stack([(p + np.float32(REACH_MM)) / np.float32(step) + 1 for p in np.broadcast_arrays(*points)])
    # A cubic B-spline without its prefilter leaves (151/315)^(3/2) = 0.33 of the knots' deviation.
    field = ndimage.map_coordinates(knots, places, order=3, prefilter=False, mode="grid-wrap", output=np.float32)
    return np.asarray(field / 0.332, dtype=np.float32)


def rough_field(
    rng: np.random.Generator, points: Sequence[np.ndarray], longest_mm: float, shortest_mm: float, *, hurst: float = 0.6
) -> np.ndarray:
    """A fractal field: octaves from the longest wavelength to the shortest, each `2^-hurst` as high as the one before.

    Level sets of it look like the borders of infarcts; the deviation of the whole is about 1.
    """
    total = np.zeros(points[0].shape, np.float32)
    height, power, wavelength = 1.0, 0.0, longest_mm
    while wavelength >= shortest_mm:
        total += np.float32(height) * smooth_field(rng, points, wavelength)
        power += height**2
        height *= 2**-hurst
        wavelength /= 2
    return total / np.float32(np.sqrt(power) or 1.0)
