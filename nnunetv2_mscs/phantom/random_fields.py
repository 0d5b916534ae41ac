"""Smooth random fields, made on a few knots and interpolated; they make every head different."""

import numpy as np
from scipy import ndimage

from nnunetv2_mscs.phantom.shapes import Points

REACH_MM = 150.0
# A cubic B-spline without its prefilter leaves (151 / 315)^(3/2) of the deviation of its knots.
KEPT_DEVIATION = (151 / 315) ** 1.5
# How rough: an octave is 2^-HURST as high as the one before.
HURST = 0.6

Axes = tuple[np.ndarray, np.ndarray, np.ndarray]


def smooth_field(rng: np.random.Generator, axes: Axes, wavelength_mm: float) -> np.ndarray:
    """A field of mean 0 and standard deviation near 1 that varies over about `wavelength_mm`.

    Args:
        rng: gives the knots.
        axes: the positions in mm along the three axes of the field, within 150 mm of 0.
        wavelength_mm: the approximate distance between two crests; the distance between knots is half of it.

    Returns:
        Of the axes' lengths, float32.
    """
    field = _knots(rng, wavelength_mm)
    for axis in axes:
        place = (axis + REACH_MM) / (wavelength_mm / 2) + 1
        away = np.abs(place[:, None] - np.arange(len(field)))
        near, far = 2 / 3 - away**2 + away**3 / 2, (2 - away) ** 3 / 6
        weights = np.where(away < 1, near, np.where(away < 2, far, 0)).astype(np.float32)
        field = np.tensordot(field, weights, axes=(0, 1))
    return np.ascontiguousarray(field)


def smooth_field_at(rng: np.random.Generator, points: Points, wavelength_mm: float) -> np.ndarray:
    """The field at any points, given as arrays of coordinates in mm; beyond 150 mm from 0 it repeats."""
    places = np.stack([(p + np.float32(REACH_MM)) / np.float32(wavelength_mm / 2) + 1 for p in points])
    knots = _knots(rng, wavelength_mm)
    return np.asarray(
        ndimage.map_coordinates(knots, places, order=3, prefilter=False, mode="grid-wrap", output=np.float32)
    )


def rough_field(rng: np.random.Generator, axes: Axes, longest_mm: float, shortest_mm: float) -> np.ndarray:
    """A fractal field: octaves from the longest wavelength to the shortest, each `2^-HURST` as high as the one before.

    Level sets of it look like the borders of infarcts; the deviation of the whole is about 1.
    """
    total = np.zeros([len(axis) for axis in axes], np.float32)
    height, power, wavelength = 1.0, 0.0, longest_mm
    while wavelength >= shortest_mm:
        total += np.float32(height) * smooth_field(rng, axes, wavelength)
        power += height**2
        height *= 2**-HURST
        wavelength /= 2
    return total / np.float32(np.sqrt(power) or 1.0)


def _knots(rng: np.random.Generator, wavelength_mm: float) -> np.ndarray:
    count = int(4 * REACH_MM / wavelength_mm) + 4
    return rng.standard_normal((count, count, count), dtype=np.float32) / np.float32(KEPT_DEVIATION)
