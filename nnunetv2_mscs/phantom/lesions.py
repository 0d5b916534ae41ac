"""Places and shapes of lesions: level sets that grow until they have a randomly drawn volume."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nnunetv2_mscs.phantom.random_fields import Axes, rough_field, smooth_field
from nnunetv2_mscs.phantom.settings import Lesions
from nnunetv2_mscs.phantom.shapes import Points, cone, ellipsoid

VOLUME_LIMITS_ML = (0.1, 200.0)
BEYOND_REACH_MM = 1e3

# Shares of the kinds up to each volume in mL: a lacune is small, and a large infarct takes a territory.
KINDS = ("lacunar", "wedge", "territory", "emboli")
SHARES = (
    (1.5, (0.5, 0.2, 0.0, 0.3)),
    (15.0, (0.1, 0.5, 0.15, 0.25)),
    (50.0, (0.0, 0.35, 0.5, 0.15)),
    (1e9, (0, 0.1, 0.9, 0)),
)


class Pattern(NamedTuple):
    """The distribution of the infarcts of a set.

    Args:
        median_volume_ml: of all lesions of a case together; volumes are log-normal.
        log_deviation: standard deviation of the volume's logarithm.
        shares: of the kinds up to each volume in mL.
        pieces: fewest and most pieces of emboli.
    """

    median_volume_ml: float
    log_deviation: float
    shares: tuple[tuple[float, tuple[float, ...]], ...]
    pieces: tuple[int, int]


PATTERNS: dict[Lesions, Pattern] = {
    # Acute DWI lesions of stroke trials: medians of 5 to 20 mL, log-normal over three decades.
    "any": Pattern(7.0, 1.5, SHARES, (3, 12)),
    # For what depends on lesions one by one: some larger than 1 mL, most far smaller.
    "scattered": Pattern(5.0, 0.7, ((1e9, (0, 0, 0, 1)),), (10, 25)),
}


@dataclass(frozen=True)
class Infarct:
    """An acute infarct as drawn.

    Args:
        kind: one of `KINDS`.
        volume_ml: that it is grown to.
        side: 1 for the left, -1 for the right.
        age_h: hours since the vessel closed.
        core_adc: in its core, 10^-3 mm2/s.
        s0_gain: how much oedema raises S0.
        pieces: fewest and most pieces, if its kind is emboli.
    """

    kind: str
    volume_ml: float
    side: int
    age_h: float
    core_adc: float
    s0_gain: float
    pieces: tuple[int, int] = PATTERNS["any"].pieces


def draw_infarct(rng: np.random.Generator, lesions: Lesions = "any") -> Infarct:
    """Draw volume, kind, side and age, and their effect on ADC and S0.

    ADC falls within minutes and stays low for days; T2 rises with the water taken up over the first days
    (Schlaug et al., Neurology 49 (1997) 113; Lansberg et al., AJNR 22 (2001) 637).
    """
    pattern = PATTERNS[lesions]
    volume = pattern.median_volume_ml * np.exp(pattern.log_deviation * rng.standard_normal())
    volume = float(np.clip(volume, *VOLUME_LIMITS_ML))
    shares = next(shares for limit, shares in pattern.shares if volume <= limit)
    age = float(np.clip(20 * np.exp(rng.standard_normal()), 1.5, 150))
    swelling = 1 - np.exp(-age / 24)
    return Infarct(
        kind=str(rng.choice(KINDS, p=shares)),
        volume_ml=volume,
        side=int(rng.choice([-1, 1])),
        age_h=age,
        core_adc=float(np.clip(rng.normal(0.425, 0.06), 0.3, 0.6)),
        s0_gain=float(1.08 + 0.6 * swelling * np.exp(0.3 * rng.standard_normal())),
        pieces=pattern.pieces,
    )


class Place(NamedTuple):
    """The brain as lesions see it, on the coarse grid.

    Args:
        points: coordinates in the head's frame, left, front, up, in mm.
        axes: positions of the same points in the scanner, along z, y, x, in mm.
        depth: below the brain's surface, mm.
        volume_ml: of brain at each point.
    """

    points: Points
    axes: Axes
    depth: np.ndarray
    volume_ml: np.ndarray


def infarct_level(infarct: Infarct, place: Place, rng: np.random.Generator) -> np.ndarray:
    """A level set, below 0 in the infarct, that holds about its volume of brain."""
    u, v, w = place.points
    shape, roughness = SHAPES[infarct.kind]((u * infarct.side, v, w), place, infarct, rng)
    level = shape + np.float32(roughness) * rough_field(rng, place.axes, 32, 6)
    level += np.maximum(0, 2.5 - u * infarct.side) * 20
    return grown(level, place, infarct.volume_ml)


def grown(level: np.ndarray, place: Place, volume_ml: float) -> np.ndarray:
    """The level set shifted so that `volume_ml` of brain lies below 0."""
    brain = np.flatnonzero(place.volume_ml)
    values = level.ravel()[brain]
    order = np.argsort(values, kind="stable")
    filled = np.cumsum(place.volume_ml.ravel()[brain[order]])
    at = min(int(np.searchsorted(filled, volume_ml)), len(order) - 1)
    return (level - values[order[at]]).astype(np.float32)


def _radius_mm(volume_ml: float) -> float:
    return float((volume_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3))


def _somewhere(place: Place, where: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    """A random point of the brain where `where` is true; anywhere in the brain if it is true nowhere."""
    brain = place.volume_ml > 0
    found = np.flatnonzero(where & brain)
    if not found.size:
        found = np.flatnonzero(brain)
    at = int(rng.choice(found))
    u, v, w = (float(np.abs(p.flat[at]) if i == 0 else p.flat[at]) for i, p in enumerate(place.points))
    return u, v, w


def _lacunar(own: Points, place: Place, infarct: Infarct, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Deep: basal ganglia, thalamus, corona radiata, or the pons."""
    u, v, w = own
    if rng.random() < 0.15:
        deep = (np.abs(u) < 10) & (u > 2) & (v > -24) & (v < -4) & (w < -24) & (w > -44)
    else:
        deep = (u > 9) & (u < 30) & (v > -28) & (v < 25) & (w > -4) & (w < 34)
    radius = _radius_mm(infarct.volume_ml)
    stretch = rng.uniform(0.7, 1.4, 3)
    return ellipsoid(own, _somewhere(place, deep, rng), radius * stretch), 0.18 * radius


def _wedge(own: Points, place: Place, infarct: Infarct, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """A branch of an artery: a cone from the white matter to the cortex; sometimes of the cerebellum."""
    u, v, w = own
    radius = _radius_mm(infarct.volume_ml)
    if rng.random() < 0.12:
        start, end = (12.0, -38.0, -36.0), _somewhere(place, (u > 18) & (w < -24) & (v < -48), rng)
    else:
        end = _somewhere(place, (u > 14) & (w > -12) & (place.depth < 6) & (place.depth > 0), rng)
        start = (0.55 * end[0] + 4, 0.55 * end[1] - 2, 0.5 * end[2] + 8)
    reach = float(np.linalg.norm(np.subtract(end, start)))
    deep = 1 - min(1.0, 2.2 * radius / reach)
    apex = np.add(start, deep * np.subtract(end, start))
    far = ellipsoid(own, end, (2.2 * radius,) * 3)
    return np.maximum(cone(own, apex, end, rng.uniform(0.4, 0.8)), far), 0.22 * radius


def _territory(own: Points, place: Place, infarct: Infarct, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Most of an artery: the middle cerebral one, its upper or lower division, seldom the anterior or posterior one."""
    choices = {
        "middle": ((50, -4, 12), (30, 58, 40)),
        "upper division": ((46, 12, 22), (30, 44, 32)),
        "lower division": ((50, -32, 4), (26, 42, 32)),
        "deep": ((26, 0, 12), (12, 28, 20)),
        "posterior": ((18, -62, 2), (20, 30, 18)),
        "anterior": ((8, 34, 36), (14, 46, 26)),
    }
    large = infarct.volume_ml > 40
    name = str(
        rng.choice(list(choices), p=(0.5, 0.2, 0.2, 0, 0.06, 0.04) if large else (0.1, 0.2, 0.2, 0.25, 0.15, 0.1))
    )
    centre, radii = choices[name]
    moved = np.add(centre, rng.normal(0, 4, 3))
    return ellipsoid(own, moved, radii), 0.15 * float(np.mean(radii))


def _emboli(own: Points, place: Place, infarct: Infarct, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """A shower: several pieces of different sizes near the cortex of one side."""
    u, _, w = own
    fewest, most = infarct.pieces
    count = int(rng.integers(fewest, most + 1))
    sizes = rng.lognormal(0, 0.6, count)
    scale = _radius_mm(infarct.volume_ml / float((sizes**3).sum()))
    cortical = (u > 8) & (w > -14) & (place.depth < 14) & (place.depth > 1)
    level = np.full(u.shape, BEYOND_REACH_MM, np.float32)
    for size in sizes * scale:
        stretch = rng.uniform(0.75, 1.3, 3)
        level = np.minimum(level, ellipsoid(own, _somewhere(place, cortical & (u > 0), rng), size * stretch))
    return level, 0.2 * scale


Shape = Callable[[Points, Place, Infarct, np.random.Generator], tuple[np.ndarray, float]]
SHAPES: dict[str, Shape] = {"lacunar": _lacunar, "wedge": _wedge, "territory": _territory, "emboli": _emboli}


class Traps(NamedTuple):
    """Lesions that look like an acute infarct but are not, on the coarse grid.

    Args:
        shine_through: 0 to 1, where a long T2 shines through.
        old_lesion: a level set, below 0 in infarcts of former times.
        counts: how many of each, and of bright spots at the skull base.
        spots: places of these in the head's frame, mm.
    """

    shine_through: np.ndarray
    old_lesion: np.ndarray
    counts: dict[str, int]
    spots: list[tuple[float, float, float]]


def draw_traps(place: Place, rng: np.random.Generator) -> Traps:
    """Patches of long T2 in white matter, old infarcts, and spots where susceptibility piles up the signal."""
    counts = {
        "shine_through": int(rng.choice(4, p=(0.45, 0.3, 0.15, 0.1))),
        "old_lesion": int(rng.choice(3, p=(0.6, 0.3, 0.1))),
        "susceptibility": int(rng.choice(4, p=(0.35, 0.25, 0.25, 0.15))),
    }
    u, v, w = place.points
    white = (place.depth > 14) & (w > -2) & (np.abs(u) > 14)
    shine = np.zeros(u.shape, np.float32)
    for _ in range(counts["shine_through"]):
        centre, side = _somewhere(place, white, rng), rng.choice([-1, 1])
        level = ellipsoid((u * side, v, w), centre, rng.uniform(3, 9, 3)) + 1.2 * smooth_field(rng, place.axes, 9)
        shine = np.maximum(shine, np.clip(0.5 - level / 3, 0, 1))
    old = np.full(u.shape, BEYOND_REACH_MM, np.float32)
    for _ in range(counts["old_lesion"]):
        volume, side = float(np.clip(2 * np.exp(1.3 * rng.standard_normal()), 0.1, 40)), int(rng.choice([-1, 1]))
        former = Infarct("lacunar" if volume < 1.5 else "wedge", volume, side, 0, 0, 1)
        old = np.minimum(old, infarct_level(former, place, rng))
    base = [(18.0, 52.0, -21.0), (46.0, -14.0, -40.0), (44.0, 38.0, -32.0), (30.0, -30.0, -38.0)]
    picks = rng.permutation(len(base))[: counts["susceptibility"]]
    spots = [(float(rng.choice([-1, 1])) * base[i][0], base[i][1], base[i][2]) for i in picks]
    return Traps(shine, old, counts, spots)
