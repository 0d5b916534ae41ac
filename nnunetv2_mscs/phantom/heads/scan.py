"""One synthetic scan from a seed: a head from a label map is struck by a lesion, scanned, and labelled."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from nnunetv2_mscs.phantom.heads.acquisition import HeadProtocol, acquire, draw_protocol, resample, strip
from nnunetv2_mscs.phantom.heads.artefacts import displace, draw_displacement, draw_gain
from nnunetv2_mscs.phantom.heads.findings import Scene, add_findings
from nnunetv2_mscs.phantom.heads.label_maps import LAST_OF_BRAIN, HeadMap, HeadTissue, read_head
from nnunetv2_mscs.phantom.heads.labelling import outline
from nnunetv2_mscs.phantom.heads.lesion_masks import LesionMasks
from nnunetv2_mscs.phantom.heads.lesions import Plan, draw_plan, efface_sulci, lesion_fraction, strike
from nnunetv2_mscs.phantom.heads.tissues import draw_person
from nnunetv2_mscs.phantom.heads.view import Slices, View, draw_pose, interpolate
from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.lesions import lesion_volume_ml

Array = np.ndarray
LESION_FREE, ADC_MISSING = 0.22, 0.06
ABOVE_MM, BELOW_MM, BELOW_HEAD_MM = 8.0, 6.0, 45.0
LESION_SHARE = 0.6


@dataclass(frozen=True)
class HeadScan:
    """A scan with its truth; arrays are (z, y, x).

    Args:
        adc: int16, 10^-6 mm2/s; all 0 where the scan has none.
        dwi: int16, arbitrary units.
        mask: uint8, 1 where an expert would outline an acute lesion.
        grid: where the voxels lie; of a selection of slices, as if they were neighbours.
        facts: how it was made, for a table.
    """

    adc: Array
    dwi: Array
    mask: Array
    grid: Grid
    facts: dict[str, object]


@lru_cache(maxsize=24)
def _read(path: Path) -> HeadMap:
    return read_head(path)


def make_head_scan(
    seed: int,
    heads: Sequence[Path],
    masks: LesionMasks,
    *,
    most_slices: int | None = None,
    lesion_free: float = LESION_FREE,
    adc_missing: float = ADC_MISSING,
) -> HeadScan:
    """The scan of a seed, which depends on these arguments alone.

    Args:
        seed: 0 or more.
        heads: files of label maps, see `find_heads`.
        masks: shapes of lesions.
        most_slices: make only so many slices, most of them through the lesion: enough to train slice by slice.
        lesion_free: probability of a scan without an acute lesion.
        adc_missing: probability of a scan without an ADC map.
    """
    anatomy, lesion, findings, scanner = (
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(part,))) for part in range(4)
    )
    head = _read(Path(heads[int(anatomy.integers(len(heads)))]))
    head = head.aged(int(anatomy.choice([0, 1], p=[0.55, 0.45])), int(anatomy.choice(5, p=[0.4, 0.2, 0.2, 0.1, 0.1])))
    pose, protocol, person = draw_pose(head, anatomy), draw_protocol(scanner), draw_person(anatomy)
    slices = protocol.slices(*_extent(head, pose.matrix, pose.centre, protocol, scanner))
    coarse = View(head, Slices(slices.centres, np.zeros(1), np.ones(1)), pose, step=4)
    plan = draw_plan(coarse, masks, lesion) if lesion.random() >= lesion_free else Plan()
    if most_slices is not None:
        slices = _selected(coarse, plan, slices, most_slices, lesion)
    view = View(head, slices, pose)

    points = view.points()
    tissues = np.rint(interpolate(head.tissues, points, nearest=True)).astype(np.uint8)
    scene = Scene(view, tissues, person.s0[tissues], person.adc[tissues])
    _texture(scene, findings)
    add_findings(scene, findings)
    healthy = scene.s0 * np.exp(-np.float32(person.b) * scene.adc)
    if plan.kind != "none":
        fraction = lesion_fraction(view, plan, tissues, points)
        strike(scene, plan, fraction, lesion)
        if lesion.random() < 0.4:
            efface_sulci(scene, plan, points)
        dwi = scene.s0 * np.exp(-np.float32(person.b) * scene.adc)
    else:
        fraction, dwi = np.zeros_like(healthy), healthy
    in_brain = ((tissues > 0) & (tissues <= LAST_OF_BRAIN)).astype(np.float32)
    images = {
        name: np.tensordot(slices.weights.astype(np.float32), image, axes=(0, 1))
        for name, image in (
            ("b0", scene.s0),
            ("dwi", dwi),
            ("healthy", healthy),
            ("fraction", fraction),
            ("brain", in_brain),
        )
    }
    return _scanned(images, view, protocol, person.b, plan, head.name, seed, scanner, adc_missing)


def _scanned(
    images: dict[str, Array],
    view: View,
    protocol: HeadProtocol,
    b: float,
    plan: Plan,
    head_name: str,
    seed: int,
    rng: np.random.Generator,
    adc_missing: float,
) -> HeadScan:
    images["ones"] = np.ones_like(images["b0"])
    if rng.random() < 0.9:
        images = displace(images, draw_displacement(view, rng))
    density = np.maximum(images["ones"], 0.2)
    gain = draw_gain(view, images["brain"] / density, rng)
    adc, dwi = acquire(images["b0"] * gain, images["dwi"] * gain, protocol, b, rng)
    sizes, spacing = (protocol.size[1], protocol.size[0]), protocol.spacing[0]
    truth = {name: resample(images[name], sizes, spacing) for name in ("dwi", "healthy", "fraction", "ones", "brain")}
    share = np.maximum(truth["ones"], 0.2)
    noise = protocol.noise * float(np.exp(-b * 0.75))
    label = outline(truth["fraction"] / share, truth["dwi"] / share, truth["healthy"] / share, noise)
    if protocol.stripped:
        kept = strip(truth["brain"] / share, protocol, rng)
        adc, dwi = adc * kept, dwi * kept
        label &= kept
    if rng.random() < adc_missing:
        adc = np.zeros_like(adc)
    stored = rng.uniform(150, 900) / max(float(np.exp(-b * 0.7)), 1e-3)
    mask = label.astype(np.uint8)
    grid = Grid((*protocol.size, len(mask)), protocol.spacing)
    facts: dict[str, object] = {
        "seed": seed,
        "head": head_name,
        "kind": plan.kind,
        "age": plan.age,
        "shape": plan.shape.name if plan.shape else "",
        "volume_ml": round(lesion_volume_ml(mask, grid.voxel_volume_ml), 3),
        "s0_ratio": plan.s0_ratio,
        "adc_ratio": plan.adc_ratio,
        "adc_missing": not adc.any(),
        **{key: value for key, value in asdict(protocol).items() if key != "size"},
    }
    return HeadScan(
        np.rint(adc * 1000).astype(np.int16),
        np.rint(np.minimum(dwi * stored, 32000)).astype(np.int16),
        mask,
        grid,
        facts,
    )


def _extent(
    head: HeadMap, matrix: Array, centre: Array, protocol: HeadProtocol, rng: np.random.Generator
) -> tuple[float, float]:
    """Lowest and highest slice in mm: the brain, and with the skull on some of the head below it."""
    heights = np.linalg.solve(matrix, (np.argwhere(head.parenchyma)[::37] - centre).T)[2]
    below = rng.uniform(0, BELOW_MM if protocol.stripped else BELOW_HEAD_MM)
    return float(heights.min() - below), float(heights.max() + rng.uniform(0, ABOVE_MM))


def _selected(coarse: View, plan: Plan, slices: Slices, count: int, rng: np.random.Generator) -> Slices:
    """So many of the slices: up to 60 % with lesion, the others with brain or, rarely, without."""
    if len(slices.centres) <= count:
        return slices
    points = coarse.points()
    tissues = np.rint(interpolate(coarse.head.tissues, points, nearest=True)).astype(np.uint8)
    brain = ((tissues > 0) & (tissues <= HeadTissue.CEREBELLAR_WHITE)).sum((1, 2, 3))
    struck = (
        (lesion_fraction(coarse, plan, tissues, points) > 0.3).any((1, 2, 3))
        if plan.kind != "none"
        else np.zeros(len(brain), bool)
    )
    weights = np.where(brain > 0.1 * brain.max(), 1.0, 0.15)
    chosen = list(rng.permutation(np.flatnonzero(struck))[: int(LESION_SHARE * count)])
    weights[chosen] = 0
    others = rng.choice(len(brain), count - len(chosen), replace=False, p=weights / weights.sum())
    return Slices(slices.centres[sorted([*chosen, *others])], slices.offsets, slices.weights)


def _texture(scene: Scene, rng: np.random.Generator) -> None:
    """Every tissue varies a little from place to place, alike on both sides and otherwise; fluid pulsates."""
    view, brain = scene.view, scene.tissues <= LAST_OF_BRAIN
    for values in (scene.s0, scene.adc):
        fine, both = rng.uniform(0.02, 0.07), rng.uniform(0.02, 0.07)
        field = fine * view.field(rng, 7) + both * view.symmetric_field(rng, 28)
        values *= np.where(brain, np.exp(field).astype(np.float32)[:, None], np.float32(1))
    fluid = (scene.tissues == HeadTissue.CSF) | (scene.tissues == HeadTissue.VENTRICLE)
    flow = np.exp(-0.15 * np.abs(view.field(rng, 10))).astype(np.float32)
    scene.adc *= np.where(fluid, flow[:, None], np.float32(1))
