"""What echo-planar imaging does near air: stretched and piled-up signal, bright ribbons, ghosts, uneven slices."""

from collections.abc import Mapping

import numpy as np

from nnunetv2_mscs.phantom.heads.view import FINE_MM, View
from nnunetv2_mscs.phantom.random_fields import smooth_field

Array = np.ndarray

# Air beside the brain, mm of MNI space, and how far from there a source may lie: sinuses above the orbits, petrous bone
# on both sides, the pole of the temporal lobes, the ear canals.
AIR = (
    ((0, 50, -18), (16, 12, 8)),
    ((48, -18, -26), (10, 18, 8)),
    ((-48, -18, -26), (10, 18, 8)),
    ((38, 14, -32), (8, 8, 8)),
    ((-38, 14, -32), (8, 8, 8)),
    ((0, 20, -30), (10, 12, 8)),
    ((30, -60, -45), (15, 12, 10)),
    ((-30, -60, -45), (15, 12, 10)),
)


def draw_displacement(view: View, rng: np.random.Generator) -> Array:
    """How far every point (slice, row, column) is moved along the rows by fields of air, in rows.

    A bump of height A and width s along the rows compresses by up to 0.6 A / s: near 1 the signal piles up.
    """
    z, y, x = (axis.astype(np.float32) for axis in view.axes)
    moved = np.float32(rng.uniform(0, 1.2)) * smooth_field(rng, view.axes, rng.uniform(70, 120))
    sign, strength = rng.choice([-1.0, 1.0]), np.exp(rng.uniform(np.log(0.3), np.log(1.6)))
    for place, reach in AIR:
        if rng.random() < 0.35:
            continue
        for _ in range(int(rng.integers(1, 3))):
            at = view.from_mni(np.array(place) + rng.normal(0, 0.5, 3) * reach)
            width = rng.uniform((5, 4, 7), (12, 10, 18))
            height = sign * strength * rng.uniform(0.3, 1.6) * width[1] * rng.choice([1.0, 1.0, -0.6])
            bump = [np.exp(-(((a - c) / w) ** 2) / 2) for a, c, w in zip((z, y, x), at, width, strict=True)]
            moved += np.float32(height) * bump[0][:, None, None] * bump[1][:, None] * bump[2]
    return moved / np.float32(FINE_MM)


def displace(images: Mapping[str, Array], moved: Array) -> dict[str, Array]:
    """Images (slice, row, column) whose signal is moved along the rows and kept: it adds up where it comes together."""
    slices, rows, columns = moved.shape
    target = np.clip(np.arange(rows, dtype=np.float32)[:, None] + moved, 0, rows - 1.001)
    low = target.astype(np.int64)
    part = (target - low).ravel()
    index = ((np.arange(slices)[:, None, None] * rows + low) * columns + np.arange(columns)).ravel()
    result = {}
    for name, image in images.items():
        flat = image.ravel()
        total = np.bincount(index, flat * (1 - part), minlength=image.size)
        total += np.bincount(index + columns, flat * part, minlength=image.size)[: image.size]
        result[name] = total.reshape(image.shape).astype(np.float32)
    return result


def draw_gain(view: View, brain: Array, rng: np.random.Generator) -> Array:
    """A factor (slice, row, column) of both images: ribbons and patches of piled-up signal, and of lost signal.

    Args:
        view: of the head.
        brain: fraction of brain (slice, row, column).
        rng: gives number, places and strength.
    """
    gain = np.ones(brain.shape, np.float32)
    if rng.random() < 0.12:
        return gain
    level = view.mni[2].mean((1, 2))
    low = np.flatnonzero((level < -2) & (brain.mean((1, 2)) > 0.02))
    any_slice = np.flatnonzero(brain.mean((1, 2)) > 0.02)
    for _ in range(int(rng.integers(2, 14))):
        slices = low if len(low) and rng.random() < 0.88 else any_slice
        if len(slices):
            _add_ribbons(gain, view, brain, int(rng.choice(slices)), rng)
    for _ in range(int(rng.integers(0, 4))):  # wide patches, most of them at the frontal and temporal base
        place, reach = AIR[rng.integers(len(AIR))]
        at, width = view.from_mni(np.array(place) + rng.normal(0, 1, 3) * reach), rng.uniform(4, 15, 3)
        height = rng.uniform(0.3, 2.2) if rng.random() < 0.7 else -rng.uniform(0.4, 0.95)
        bump = [np.exp(-(((a - c) / w) ** 2)) for a, c, w in zip(view.axes, at, width, strict=True)]
        gain *= np.float32(1) + np.float32(height) * (bump[0][:, None, None] * bump[1][:, None] * bump[2]).astype(
            np.float32
        )
    return np.maximum(gain, np.float32(0.03))


def _add_ribbons(gain: Array, view: View, brain: Array, middle: int, rng: np.random.Generator) -> None:
    """Curved bright ribbons at the side of the temporal lobes or at the frontal pole, through a few slices."""
    inside = brain[middle] > 0.5
    rows = np.flatnonzero(inside.sum(1) > 8)
    if len(rows) < 10:
        return
    front, back = rows[0], rows[-1]
    height = np.exp(rng.uniform(np.log(0.25), np.log(5)))
    width, length = rng.uniform(1.1, 4.0) / FINE_MM, rng.uniform(3, 15) / FINE_MM
    places: list[tuple[float, float, float]] = []
    if rng.random() < 0.7:
        row = int(front + (back - front) * rng.uniform(0.12, 0.8))
        columns = np.flatnonzero(inside[row])
        if len(columns) < 6:
            return
        angle, offset = rng.uniform(-0.7, 0.7), rng.uniform(-3, 9)
        for column, side in ((columns[0], 1.0), (columns[-1], -1.0)):
            if rng.random() < 0.8:
                place = (row + rng.normal(0, 2), column + side * (offset + rng.normal(0, 1.5)))
                places.append((*place, side * angle + rng.normal(0, 0.2)))
    else:
        centre = np.flatnonzero(inside.any(0)).mean()
        column = int(np.clip(centre + rng.normal(0, 16), 0, inside.shape[1] - 1))
        filled = np.flatnonzero(inside[:, column])
        if not len(filled):
            return
        places.append((filled[0] + rng.uniform(-1.5, 6), float(column), rng.normal(0, 0.35)))
    thickness = rng.uniform(2.5, 8)
    y, x = np.mgrid[: gain.shape[1], : gain.shape[2]].astype(np.float32)
    for down, across, angle in places:
        bend, own = rng.normal(0, 0.03), height * rng.uniform(0.6, 1.3)
        u = (x - across) * np.cos(angle) + (y - down) * np.sin(angle)
        w = (y - down) * np.cos(angle) - (x - across) * np.sin(angle) + bend * u * u
        ribbon = np.exp(-((u / length) ** 2) - (w / width) ** 2).astype(np.float32)
        for k, z in enumerate(view.slices.centres):
            share = np.exp(-(((z - view.slices.centres[middle]) / thickness) ** 2))
            if share > 0.1:
                gain[k] += np.float32(own * share) * ribbon


def ghosts(image: Array, strength: float) -> Array:
    """Half of the field of view away lies a faint copy, as odd and even echoes differ."""
    return image + np.float32(strength) * np.roll(image, image.shape[1] // 2, axis=1)


def slice_factors(count: int, rng: np.random.Generator) -> Array:
    """Brightness of each slice of the DWI: scattered by a few percent, in some scans one or two slices dark or lost."""
    factors = 1 + rng.uniform(0, 0.04) * rng.standard_normal(count)
    if rng.random() < 0.08:
        factors[rng.integers(count, size=int(rng.integers(1, 3)))] *= rng.choice([0.0, rng.uniform(0.3, 0.8)])
    return factors.astype(np.float32)
