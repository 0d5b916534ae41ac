"""One phantom from its seed: a head is built, struck, and scanned."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nnunetv2_mscs.phantom.acquisition import scan
from nnunetv2_mscs.phantom.anatomy import draw_build, level_sets
from nnunetv2_mscs.phantom.facts import CaseFacts
from nnunetv2_mscs.phantom.grids import COARSE_MM, Grids
from nnunetv2_mscs.phantom.labelling import label_slice
from nnunetv2_mscs.phantom.lesions import Infarct, Place, Traps, draw_infarct, draw_traps, grown, infarct_level
from nnunetv2_mscs.phantom.pose import Pose, draw_pose
from nnunetv2_mscs.phantom.ratios import lesion_ratio, mirrored_indices
from nnunetv2_mscs.phantom.settings import PhantomSettings
from nnunetv2_mscs.phantom.signal import Signals, parenchyma, slice_signals
from nnunetv2_mscs.phantom.tissues import Protocol, draw_protocol, signal_tables
from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.lesions import count_pieces, lesion_volume_ml

HEAD, LESION, SCANNER, NOISE = range(4)
GROWTH, MOST_GROWTHS = 1.4, 8


@dataclass(frozen=True)
class PhantomCase:
    """A scan with its truth; arrays are (x, y, z).

    Args:
        name: the case identifier.
        adc: int16, 10^-6 mm2/s.
        dwi: int16, arbitrary units, b = 1000 s/mm2.
        b0: int16, likewise, b = 0.
        mask: uint8, 1 where at least half of the voxel is acute infarct; see `Struck.mask` for the smallest.
        grid: where the voxels lie.
        pose: of the head, which knows its mid-plane.
        facts: the truth about it.
    """

    name: str
    adc: np.ndarray
    dwi: np.ndarray
    b0: np.ndarray
    mask: np.ndarray
    grid: Grid
    pose: Pose
    facts: CaseFacts

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size in mm along x, y, z."""
        return self.grid.spacing


def case_name(index: int) -> str:
    return f"phantom_{index:03d}"


class Struck(NamedTuple):
    """An infarct in its place: its level set, the fraction of each voxel that it fills (z, y, x), and its volume."""

    level: np.ndarray
    fraction: np.ndarray
    volume_ml: float

    @property
    def fills_a_voxel(self) -> bool:
        """Whether it fills half of any voxel."""
        return bool((self.fraction >= 0.5).any())

    @property
    def mask(self) -> np.ndarray:
        """The voxels (z, y, x) that it fills at least by half; if there are none, the fullest one."""
        mask = self.fraction >= 0.5
        if not self.fills_a_voxel:
            mask.flat[self.fraction.argmax()] = True
        return mask


def phantom_case(settings: PhantomSettings, seed: int, index: int) -> PhantomCase:
    """The case `index` of a set, which depends on these three alone.

    Args:
        settings: how it is scanned.
        seed: of the set, 0 or more.
        index: of the case, 0 or more.
    """
    rngs = [np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, part))) for part in range(4)]
    pose, build = draw_pose(rngs[HEAD]), draw_build(rngs[HEAD])
    grids = Grids.around(pose, settings)
    levels = level_sets(grids.coarse_points(), grids.coarse_axes, build, rngs[HEAD])
    place = _place(grids, levels)
    traps = draw_traps(place, rngs[HEAD])
    labels = np.stack([label_slice(read, grids.fine_points(k)[0], build) for k, read in grids.slices(levels)])
    has_lesion = rngs[LESION].random() >= settings.lesion_free
    infarct = draw_infarct(rngs[LESION], settings.lesions) if has_lesion else None
    struck = _strike(infarct, place, grids, labels, rngs[LESION]) if infarct else None
    protocol = draw_protocol(rngs[SCANNER])
    signals = Signals(signal_tables(protocol, rngs[SCANNER]), infarct, build.small_vessel_disease)
    fields = {"ventricles": levels["ventricles"], "shine": traps.shine_through, "old": traps.old_lesion}
    b0, dwi = _averaged_signals(grids, labels, fields | ({"infarct": struck.level} if struck else {}), signals)
    images = scan(b0, dwi, grids, traps.spots, settings, rngs[SCANNER], rngs[NOISE])
    mask = np.zeros(settings.grid.shape, np.uint8)
    mask[grids.voxels] = struck.mask if struck else 0
    adc, dwi, b0, mask = (np.ascontiguousarray(image.T) for image in (*images, mask))
    facts = _facts(case_name(index), (adc, dwi, mask), settings.grid, pose, infarct, struck, traps, protocol)
    return PhantomCase(facts.case, adc, dwi, b0, mask, settings.grid, pose, facts)


def _place(grids: Grids, levels: dict[str, np.ndarray]) -> Place:
    """The brain on the coarse grid; sulci are too thin for it, so they reduce the share of tissue near the surface."""
    depth = -np.minimum(np.minimum(levels["cerebrum"], levels["cerebellum"]), levels["brainstem"])
    share = np.clip(depth / COARSE_MM, 0, 1) * np.where(depth < 14, 0.88, 1.0)
    for fluid in ("ventricles", "sylvian"):
        share *= np.clip(levels[fluid] / COARSE_MM + 0.5, 0, 1)
    share *= _within_volume(grids, share.shape)
    return Place(grids.coarse_points(), grids.coarse_axes, depth, (share * (COARSE_MM**3 / 1000)).astype(np.float32))


def _within_volume(grids: Grids, shape: tuple[int, ...]) -> np.ndarray:
    """1 where the coarse grid lies within the slices, 0 at its rim, which only serves the interpolation."""
    z = grids.z.coarse
    inside = (z >= grids.z.fine[0]) & (z <= grids.z.fine[-1])
    return np.broadcast_to(inside[:, None, None], shape)


def _strike(infarct: Infarct, place: Place, grids: Grids, labels: np.ndarray, rng: np.random.Generator) -> Struck:
    """Put the infarct into the brain; it grows, up to a limit, until it fills half of at least one voxel."""
    level, volume = infarct_level(infarct, place, rng), infarct.volume_ml
    for _ in range(MOST_GROWTHS):
        struck = _fill(level, grids, labels)
        if struck.fills_a_voxel:
            break
        volume *= GROWTH
        level = grown(level, place, volume)
    return struck


def _fill(level: np.ndarray, grids: Grids, labels: np.ndarray) -> Struck:
    fraction = np.zeros((grids.z.count, grids.y.count, grids.x.count), np.float32)
    cells = 0
    for k, read in grids.slices({"infarct": level}):
        filled = parenchyma(labels[k]) & (read["infarct"] < 0)
        cells += int(np.count_nonzero(filled))
        fraction[k // grids.z.parts] += grids.averaged(filled) / grids.z.parts
    return Struck(level, fraction, cells * grids.fine_volume_ml)


def _averaged_signals(
    grids: Grids, labels: np.ndarray, fields: dict[str, np.ndarray], signals: Signals
) -> tuple[np.ndarray, np.ndarray]:
    """b0 and DWI of the voxels, (z, y, x): the means of the signals of their cells, which is partial volume."""
    b0, dwi = np.zeros((2, grids.z.count, grids.y.count, grids.x.count), np.float32)
    for k, read in grids.slices(fields):
        for image, cells in zip((b0, dwi), slice_signals(labels[k], read, signals), strict=True):
            image[k // grids.z.parts] += grids.averaged(cells) / grids.z.parts
    return b0, dwi


def _facts(
    name: str,
    images: tuple[np.ndarray, np.ndarray, np.ndarray],
    grid: Grid,
    pose: Pose,
    infarct: Infarct | None,
    struck: Struck | None,
    traps: Traps,
    protocol: Protocol,
) -> CaseFacts:
    adc, dwi, mask = images
    mirrored = mirrored_indices(mask, grid, pose)
    return CaseFacts(
        case=name,
        kind=infarct.kind if infarct else "none",
        age_h=infarct.age_h if infarct else None,
        volume_true_ml=struck.volume_ml if struck else 0.0,
        volume_mask_ml=lesion_volume_ml(mask, grid.voxel_volume_ml),
        pieces=count_pieces(mask),
        core_adc=infarct.core_adc if infarct else None,
        adc_ratio=lesion_ratio(adc, mask, mirrored),
        dwi_ratio=lesion_ratio(dwi, mask, mirrored),
        shine_through=traps.counts["shine_through"],
        old_lesions=traps.counts["old_lesion"],
        susceptibility=len(traps.spots),
        field_t=protocol.field_t,
        echo_time_ms=protocol.echo_time_ms,
    )
