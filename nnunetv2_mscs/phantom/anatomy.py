"""A head as level sets: signed distances in mm on the coarse grid, in the frame of a standard head."""

from dataclasses import dataclass

import numpy as np

from nnunetv2_mscs.phantom.grids import COARSE_MM
from nnunetv2_mscs.phantom.random_fields import Axes, smooth_field, smooth_field_at
from nnunetv2_mscs.phantom.shapes import Points, ellipsoid, merged, tube

WARP_MM, WARP_WAVELENGTH_MM = 2.2, 70.0
LONGEST_DIRECTION_MM = 60.0


@dataclass(frozen=True)
class Build:
    """Differences between brains other than their size.

    Args:
        atrophy: 0 in the young to 1: wide sulci, large ventricles, more fluid around the brain.
        ventricles: their width relative to the average.
        asymmetry: how much broader the left hemisphere is than the right one, as a fraction.
        sulcal_spacing_mm: wavelength of the folding.
        skull_mm: thickness of the skull.
        scalp_mm: thickness of the scalp.
        small_vessel_disease: 0 to 1: bright caps around the ventricles.
    """

    atrophy: float
    ventricles: float
    asymmetry: float
    sulcal_spacing_mm: float
    skull_mm: float
    scalp_mm: float
    small_vessel_disease: float


def draw_build(rng: np.random.Generator) -> Build:
    """A stroke patient, more often old than young."""
    atrophy = float(rng.beta(2.2, 2.0))
    return Build(
        atrophy=atrophy,
        ventricles=float(0.75 + 0.6 * atrophy + rng.normal(0, 0.1)),
        asymmetry=float(rng.normal(0, 0.015)),
        sulcal_spacing_mm=float(rng.uniform(15.5, 19)),
        skull_mm=float(rng.uniform(5.5, 8)),
        scalp_mm=float(rng.uniform(4.5, 7.5)),
        small_vessel_disease=float(np.clip(rng.normal(atrophy, 0.3), 0, 1)),
    )


def level_sets(points: Points, axes: Axes, build: Build, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The signed distances that `label_slice` reads, negative inside, each of the points' shape.

    Args:
        points: coordinates in the head's frame, left, front, up, in mm.
        axes: positions of the same points in the scanner, along z, y, x, in mm.
        build: of this brain.
        rng: gives the folding and the bends.
    """
    bent = _bent(points, axes, WARP_MM, WARP_WAVELENGTH_MM, rng)
    u, v, w = bent
    aside = np.abs(u) * (1 - np.float32(build.asymmetry) * np.sign(u))
    half = (aside, v, w)
    cerebrum, cerebellum, brainstem = _cerebrum(half), _cerebellum(half), _brainstem(half)
    gap = 0.2 + 1.5 * build.atrophy
    inner = merged(merged(cerebrum, cerebellum, 14), brainstem, 10) - np.float32(gap)
    skull = inner - np.float32(build.skull_mm) * (1 + 0.15 * smooth_field(rng, axes, 60))
    thalamus, caudate, putamen, pallidum = _deep_grey(half, build)
    return {
        "head": merged(skull - np.float32(build.scalp_mm), _face_and_neck(half), 10),
        "skull": skull,
        "inner": inner,
        "cerebrum": cerebrum,
        "cerebellum": cerebellum,
        "brainstem": brainstem,
        "sylvian": _sylvian(_bent(half, axes, 3.0, 24, rng), build),
        "midline": np.float32(1.2) * smooth_field(rng, axes, 50),
        "callosum": _above_callosum(v, w),
        "ventricles": _ventricles(half, build),
        "deep_grey": np.minimum(np.minimum(thalamus, caudate), putamen),
        "pallidum": pallidum,
        "eyes": ellipsoid(half, (32, 70, -34), (12, 12, 12)),
        "flesh": smooth_field(rng, axes, 14),
        **_folding(bent, axes, cerebrum, build, rng),
        "folia": _folia(half) + np.float32(0.35) * smooth_field(rng, axes, 16),
    }


def _bent(points: Points, axes: Axes, by_mm: float, wavelength_mm: float, rng: np.random.Generator) -> Points:
    """The points after a smooth random displacement, which bends the shapes drawn on them."""
    u, v, w = (p + np.float32(by_mm) * smooth_field(rng, axes, wavelength_mm) for p in points)
    return u, v, w


def _cerebrum(half: Points) -> np.ndarray:
    aside, v, w = half
    narrowing = 1 + 0.001 * v
    dome = ellipsoid((aside * narrowing, v, w), (0, -2, -4), (66, 82, 72), power=2.35)
    floor = -20 + 7 / (1 + np.exp((v + 22) / 6)) + 10 * np.exp(-((aside / 20) ** 2) - ((v + 5) / 22) ** 2)
    upper = -merged(-dome, -(floor - w), 8)
    temporal = ellipsoid((aside, v, w - 0.12 * v), (40, 2, -23), (23, 46, 23))
    return merged(upper, temporal, 4)


def _cerebellum(half: Points) -> np.ndarray:
    lobe = ellipsoid(half, (23, -53, -37), (30, 27, 23))
    return merged(lobe, ellipsoid(half, (0, -50, -34), (14, 22, 20)), 6)


def _brainstem(half: Points) -> np.ndarray:
    path = [(0.0, -12.0, -2.0), (0.0, -15.0, -16.0), (0.0, -14.0, -34.0), (0.0, -25.0, -54.0), (0.0, -30.0, -100.0)]
    return tube(half, path, (15, 14, 15, 9, 6))


def _face_and_neck(half: Points) -> np.ndarray:
    face = ellipsoid(half, (0, 30, -70), (66, 62, 72))
    return merged(face, ellipsoid(half, (0, -20, -90), (66, 72, 62)), 20)


def _sylvian(half: Points, build: Build) -> np.ndarray:
    """The Sylvian fissure: a sheet from the side inwards, rising backwards, and the cistern over the insula."""
    aside, v, w = half
    height = -6 - 0.3 * (v - 15) + 0.5 * (aside - 45)
    open_mm = np.float32(1.0 + 1.6 * build.atrophy)
    sheet = np.maximum(np.abs(w - height) - open_mm, np.maximum(36 - aside, np.abs(v + 2) - 36))
    insula = np.maximum(np.abs(aside - 38) - open_mm, ellipsoid(half, (38, 2, 3), (40, 24, 13)))
    return np.minimum(sheet, insula)


def _above_callosum(v: np.ndarray, w: np.ndarray) -> np.ndarray:
    """A level below 0 in the fissure between the hemispheres: outside the corpus callosum and what lies beneath it."""
    bridge = np.hypot(np.maximum(np.abs(v + 3) - 18, 0), np.maximum(w - 8, 0)) - 20
    return np.where(w > -14, -bridge, np.minimum(-bridge, 30 - v)).astype(np.float32)


def _ventricles(half: Points, build: Build) -> np.ndarray:
    aside = half[0]
    wide = build.ventricles
    out = 1.5 + 2.5 * wide
    body = [(out + 5, 33.0, 8.0), (out + 1, 17.0, 16.0), (out + 3, -8.0, 23.0), (20.0 + out, -34.0, 14.0)]
    radii = np.array([2.0, 5.5, 5.2, 6.5])
    lateral = tube(half, body, radii * wide, flatness=1.5)
    back = tube(half, [body[-1], (20.0 + out, -58.0, 8.0)], np.array([6.0, 1.5]) * wide, flatness=1.3)
    temporal = tube(half, [body[-1], (33.0, -28.0, -8.0), (31.0, -4.0, -19.0)], np.array([5.5, 2.2, 1.8]) * wide)
    third = ellipsoid(half, (0, -8, 0), (1.6 + 1.2 * wide, 15, 10))
    fourth = ellipsoid(half, (0, -32, -36), (8, 5.5, 9))
    cistern = ellipsoid(half, (0, 9, -23), (11, 9, 7))
    behind = ellipsoid(half, (0, -33, -4), (9, 4, 6))
    found = np.minimum(np.minimum(lateral, back), temporal)
    septum = np.float32(1.0) - aside
    found = np.maximum(found, septum)
    for other in (third, fourth, cistern, behind):
        found = np.minimum(found, other)
    return found.astype(np.float32)


def _deep_grey(half: Points, build: Build) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Thalamus, caudate, putamen and pallidum; wide ventricles push them aside."""
    aside, v, w = half
    pushed = (aside - np.float32(2.5 * (build.ventricles - 1)), v, w)
    angle = np.radians(14)
    turned = (
        pushed[0] * np.float32(np.cos(angle)) + v * np.float32(np.sin(angle)),
        v * np.float32(np.cos(angle)) - pushed[0] * np.float32(np.sin(angle)),
        w,
    )
    thalamus = ellipsoid(pushed, (11, -17, 6), (9, 15, 9))
    caudate = tube(pushed, [(13, 24, 4), (15, 10, 16), (18, -12, 25)], (6, 5, 2.5), flatness=1.3)
    putamen = ellipsoid(turned, (27.5, -4, 2), (5, 16, 12))
    pallidum = ellipsoid(turned, (20.5, -7, 0), (3.6, 10, 7))
    return thalamus, caudate, putamen, pallidum


def _folding(
    points: Points, axes: Axes, cerebrum: np.ndarray, build: Build, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Sulci: the sheets where a random field, which varies only along the brain's surface, is 0.

    Returns:
        sulcus, the distance to the nearest sheet, signed by its side; and sulcus_floor, below 0 where sulci reach.
    """
    u, v, w = points
    # Looking from a line along the brain's length rather than from a point keeps the folds upright at both ends.
    back = np.clip(v, -35, 35)
    reach = np.sqrt(u * u + (v - back) ** 2 + w * w) + 1
    shrink = LONGEST_DIRECTION_MM / reach
    inwards = (0.12 * (reach - LONGEST_DIRECTION_MM)).astype(np.float32)
    surface = (u * shrink + inwards, back + (v - back) * shrink - inwards, w * shrink + inwards)
    field = smooth_field_at(rng, surface, build.sulcal_spacing_mm)
    steps = np.gradient(field)
    steepness = np.sqrt(sum(step * step for step in steps)) / np.float32(COARSE_MM)
    depth = np.clip(14 + 5 * smooth_field(rng, axes, 30), 6, 22)
    return {
        "sulcus": (field / np.maximum(steepness, 0.03)).astype(np.float32),
        "sulcus_floor": (-cerebrum - depth).astype(np.float32),
    }


def _folia(half: Points) -> np.ndarray:
    """A phase that grows by 1 from one fold of the cerebellum to the next, about 5 mm apart, bent around the pons."""
    aside, v, w = half
    return (np.sqrt(aside**2 * 0.5 + (v + 10) ** 2 + 1.5 * (w + 25) ** 2) / np.float32(5.0)).astype(np.float32)
