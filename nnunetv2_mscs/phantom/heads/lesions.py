"""Acute lesions: shapes of real masks, showers of small emboli, lacunes and stripes; S0 and ADC by their age."""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from nnunetv2_mscs.phantom.heads.findings import Scene
from nnunetv2_mscs.phantom.heads.label_maps import HeadMap, HeadTissue
from nnunetv2_mscs.phantom.heads.lesion_masks import LesionMasks, LesionShape
from nnunetv2_mscs.phantom.heads.view import View, affine, interpolate, rotation

Array = np.ndarray
LEAST_IN_PARENCHYMA, MOST_TRIES = 0.7, 5


@dataclass(frozen=True)
class Small:
    """An ellipsoid in the head: its centre in voxels, semi-axes in mm, turn, and how far its contrast is developed."""

    centre: Array
    radii_mm: Array
    turn: Array
    strength: float
    within: HeadTissue | None = None


@dataclass
class Plan:
    """What strikes a head: nothing, one mask, small lesions, or both.

    Args:
        kind: "none", "mask", "small" or "both".
        age: "hyperacute", "acute" or "subacute".
        s0_ratio: of the lesion to the tissue that it struck.
        adc_ratio: likewise.
    """

    kind: str = "none"
    age: str = ""
    s0_ratio: float = 1.0
    adc_ratio: float = 1.0
    shape: LesionShape | None = None
    warp: Array = field(default_factory=lambda: np.eye(4))
    bends: tuple[tuple[int, float, float], ...] = ()
    softness: float = 1.0
    small: list[Small] = field(default_factory=list)
    noise_seed: int = 0


def draw_ratios(rng: np.random.Generator) -> tuple[str, float, float]:
    """Age, and S0 and ADC relative to the tissue struck: swelling comes after the fall of the ADC and stays longer."""
    age = str(rng.choice(["hyperacute", "acute", "subacute"], p=[0.22, 0.48, 0.30]))
    s0, adc = {
        "hyperacute": (rng.uniform(1.0, 1.15), rng.uniform(0.45, 0.75)),
        "acute": (rng.uniform(1.1, 1.8), rng.uniform(0.35, 0.72)),
        "subacute": (rng.uniform(1.4, 2.4), rng.uniform(0.65, 1.08)),
    }[age]
    return age, float(s0), float(adc)


def draw_plan(view: View, masks: LesionMasks, rng: np.random.Generator) -> Plan:
    """A plan for a head that is struck, of 0.1 to 200 mL."""
    kind = str(rng.choice(["mask", "small", "both"], p=[0.52, 0.30, 0.18]))
    age, s0, adc = draw_ratios(rng)
    plan = Plan(kind, age, s0, adc, softness=float(rng.uniform(0.7, 1.7)), noise_seed=int(rng.integers(1 << 31)))
    if kind != "small":
        for _ in range(MOST_TRIES):
            plan.shape = masks.draw(float(np.exp(rng.uniform(np.log(0.15), np.log(200)))), rng)
            plan.warp = _warp(plan.shape, rng)
            low, high = rng.uniform(0.3, 1.5), rng.uniform(1.0, 4.0)
            plan.bends = tuple(
                (int(rng.integers(1 << 31)), wavelength, amount)
                for wavelength, amount in ((rng.uniform(40, 80), high), (rng.uniform(12, 25), low))
                for _ in range(3)
            )
            if _share_in_parenchyma(view, plan) >= LEAST_IN_PARENCHYMA:
                break
    if kind != "mask":
        plan.small = draw_small(view.head, rng)
    return plan


def draw_small(head: HeadMap, rng: np.random.Generator) -> list[Small]:
    """1 to 30 small lesions: emboli mostly in cortex and beside one another, stripes, lacunes, and dots in the pons."""
    count = int(rng.choice([1, 1, 2, 3, 5, 8, 12, 20, 30]))
    cortex, white, deep, stem = (
        np.argwhere(head.tissues == t)
        for t in (HeadTissue.CORTEX, HeadTissue.WHITE, HeadTissue.DEEP_GREY, HeadTissue.BRAINSTEM)
    )
    back = np.argwhere((head.tissues == HeadTissue.CEREBELLAR_CORTEX) | (head.tissues == HeadTissue.CEREBELLAR_WHITE))
    fallback = np.argwhere(head.parenchyma)
    pools = [pool if len(pool) else fallback for pool in (cortex, white, deep, stem, back)]
    seat = pools[int(rng.choice(5, p=[0.35, 0.30, 0.12, 0.13, 0.10]))]
    first = seat[rng.integers(len(seat))]
    spread = float(np.exp(rng.uniform(np.log(12), np.log(90))))
    faint = rng.random() < 0.4
    small = []
    for i in range(count):
        pool = seat if i == 0 else pools[int(rng.choice(5, p=[0.45, 0.33, 0.06, 0.04, 0.12]))]
        centre = first if i == 0 else _near(pool, first, spread, rng)
        radius = float(np.exp(rng.uniform(np.log(1.3), np.log(6.0 if count < 6 else 4.0))))
        gyral = rng.random() < 0.25 and pool is cortex
        radii = radius * rng.uniform(0.7, 1.5, 3) * (2.2 if gyral else 1)
        if rng.random() < 0.15:  # a stripe along the ventricle or between two territories
            radii = radius * np.array([0.7, rng.uniform(1.8, 3.5), rng.uniform(0.8, 2)])
        strength = float(rng.uniform(0.25, 0.7) if faint else rng.uniform(0.6, 1.1))
        turn = rotation(rng.uniform(-0.6, 0.6, 3))
        small.append(Small(centre.astype(float), radii, turn, strength, HeadTissue.CORTEX if gyral else None))
    return small


def _near(pool: Array, first: Array, spread: float, rng: np.random.Generator) -> Array:
    """A member of the pool at about this distance in mm or less; any one in a third of the draws."""
    some = pool[rng.integers(len(pool), size=60)]
    if rng.random() < 0.33:
        return some[0]
    return some[int(np.argmin(np.abs(np.linalg.norm(some - first, axis=1) - rng.exponential(spread))))]


def _warp(shape: LesionShape, rng: np.random.Generator) -> Array:
    """MNI mm -> voxel of the mask's box, turned, scaled and moved at random about its centre."""
    matrix = rotation(np.deg2rad(rng.uniform(-15, 15, 3))) @ np.diag(rng.uniform(0.85, 1.2, 3))
    about = np.eye(4)
    about[:3, :3] = matrix
    about[:3, 3] = shape.centre_mni - matrix @ (shape.centre_mni + rng.uniform(-5, 5, 3))
    return np.linalg.inv(shape.to_mni) @ about


def _share_in_parenchyma(view: View, plan: Plan) -> float:
    """The share of the mask that falls into parenchyma."""
    points = view.points()
    struck = _mask_fraction(view, plan, points) > 0.5
    tissues = interpolate(view.head.tissues, points[:, struck], nearest=True)
    return float(((tissues > 0.5) & (tissues < 7.5)).mean()) if tissues.size else 0.0


def _mask_fraction(view: View, plan: Plan, points: Array) -> Array:
    assert plan.shape is not None
    places = affine(plan.warp @ view.head.to_mni, points)
    for axis, (seed, wavelength, amount) in enumerate(plan.bends):
        bend = np.float32(amount) * view.field(np.random.default_rng(seed), wavelength)
        places[axis % 3] += bend[:, None]
    mask = np.pad(plan.shape.mask, 3).astype(np.float32)
    return interpolate(ndimage.gaussian_filter(mask, 0.8), places + np.float32(3))


def lesion_fraction(view: View, plan: Plan, tissues: Array, points: Array) -> Array:
    """How far every point (slice, sub-slice, row, column) is lesion, 0 to 1, in parenchyma alone."""
    fraction = np.zeros(tissues.shape, np.float32)
    if plan.kind in ("mask", "both"):
        fraction = np.clip(_mask_fraction(view, plan, points), 0, 1) ** np.float32(plan.softness)
    if plan.small:
        wobble = view.field(np.random.default_rng(plan.noise_seed), 9.0)
        for one in plan.small:
            _add_small(view, one, fraction, tissues, points, wobble)
    return np.where((tissues > 0) & (tissues <= HeadTissue.CEREBELLAR_WHITE), fraction, np.float32(0))


def _add_small(view: View, one: Small, fraction: Array, tissues: Array, points: Array, wobble: Array) -> None:
    """Lay an ellipsoid into the fraction, in the box of the view that can hold it."""
    place, reach = view.from_voxel(one.centre), 1.6 * float(one.radii_mm.max()) + 8
    z, y, x = (np.flatnonzero(np.abs(axis - at) <= reach) for axis, at in zip(view.axes, place, strict=True))
    if not (len(z) and len(y) and len(x)):
        return
    box = (slice(z[0], z[-1] + 1), slice(None), slice(y[0], y[-1] + 1), slice(x[0], x[-1] + 1))
    away = points[:, box[0], :, box[2], box[3]] - one.centre.astype(np.float32).reshape(3, 1, 1, 1, 1)
    away = np.tensordot((one.turn / one.radii_mm[:, None]).astype(np.float32), away, axes=1)
    distance = np.sqrt((away**2).sum(0))
    edge = np.float32(one.radii_mm.mean() / 1.6)
    bumps = 1 + 0.35 * wobble[box[0], box[2], box[3]][:, None]
    filled = np.float32(one.strength) * np.clip((bumps - distance) * edge + 0.5, 0, 1)
    if one.within is not None:
        filled = filled * (tissues[box] == one.within)
    np.maximum(fraction[box], filled, out=fraction[box])


def strike(scene: Scene, plan: Plan, fraction: Array, rng: np.random.Generator) -> None:
    """Change S0 and ADC within the lesion, unevenly, some with spared islands, some with effaced sulci."""
    view = scene.view
    uneven = rng.uniform(0.12, 0.3)
    s0_bend, adc_bend = (np.exp(uneven * view.field(rng, 30) + 0.1 * view.field(rng, 8)) for _ in range(2))
    s0 = 1 + (plan.s0_ratio - 1) * np.clip(s0_bend, 0.2, 2)
    adc = np.clip(1 - (1 - plan.adc_ratio) * np.clip(adc_bend, 0.2, 1.6), 0.25, 1.4)
    if rng.random() < 0.3:
        spared = 1 / (1 + np.exp(-4 * (view.field(rng, 22) - rng.uniform(0.6, 1.4))))
        s0, adc = 1 + (s0 - 1) * (1 - spared), 1 + (adc - 1) * (1 - spared)
    scene.s0 *= 1 + (s0 - 1).astype(np.float32)[:, None] * fraction
    scene.adc *= 1 + (adc - 1).astype(np.float32)[:, None] * fraction


def efface_sulci(scene: Scene, plan: Plan, points: Array) -> None:
    """Swollen tissue fills the fluid between the gyri within a mask."""
    if plan.kind not in ("mask", "both"):
        return
    filled = (scene.tissues == HeadTissue.CSF) & (_mask_fraction(scene.view, plan, points) > 0.5)
    scene.s0[filled] = plan.s0_ratio
    scene.adc[filled] = plan.adc_ratio * 0.8
