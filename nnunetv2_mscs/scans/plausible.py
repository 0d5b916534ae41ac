"""What no scan of a head can hold, however well its files are read."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np

from nnunetv2_mscs.scans.channels import ADC, DWI
from nnunetv2_mscs.scans.findings import Findings
from nnunetv2_mscs.scans.units import SCALED, TO_MICRO, AdcUnit, head_mask, middle

# Free water at body temperature diffuses at 0.003 mm2/s; noise in air may reach some times that.
LARGEST_ADC_MM2_PER_S = 0.1
# Maps are noisy and mostly positive, z-scored ones about half negative; a mask turned inside out is nearly all lesion.
MOST_NEGATIVE_OF_HEAD = 0.4
MOST_OF_VOLUME, MOST_OF_HEAD = 0.75, 0.6
# Infarcts of a whole hemisphere, swollen, reach some 500 mL; brains have 1000 to 1700 mL.
LARGEST_LESION_ML = 700.0
# Tissue around a lesion has at least this share of its signal, air and bare skull have less.
FAINTEST_TISSUE = 0.2
# Lesions of both sides that reach from edge to edge leave more between them than a mask of the brain does.
SPAN_OF_BRAIN, FILLED_BY_BRAIN, LEAST_OF_HEAD = 0.6, 0.6, 0.2
BRIGHT_AIR, DARK_MIDDLE = 0.9, 0.75
NO_BRAIN_MASK = "Give the mask of the lesion. If it is one after all: --allow-large-masks"
UNTOUCHED = "Give the map in a unit of diffusivity, not z-scored or otherwise normalised."


def check_adc(adc: np.ndarray, unit: AdcUnit, path: Path, findings: Findings) -> bool:
    """Whether an ADC map can be one, in the unit it was found to have; if not, the reason is among the findings.

    Args:
        adc: (Z, Y, X), finite, as stored.
        unit: as found by `find_adc_unit`.
        path: its file, for messages.
        findings: where errors are reported.
    """
    extreme = float(max(adc.max(), adc.min(), key=abs))
    diffusivity = extreme * unit.factor / TO_MICRO["mm2/s"]
    if unit.name in TO_MICRO and abs(diffusivity) > LARGEST_ADC_MM2_PER_S:
        findings.error(
            f"ADC of {extreme:.4g} in {unit.name} found, {abs(diffusivity) / 0.003:.2g} times that of free water",
            "The file is damaged or the map went wrong: export it again.",
            file=path,
        )
        return False
    if (unit.factor > 1 or unit.name == SCALED) and (adc == np.rint(adc)).all():
        findings.error(
            f"ADC holds {len(np.unique(adc))} whole numbers alone ({unit.name}): it was rounded when saved",
            "Export it with decimals, or in 10^-6 mm2/s.",
            file=path,
        )
        return False
    normalised = sign_of_normalisation(adc, unit)
    if normalised:
        findings.error(normalised, UNTOUCHED, file=path)
        return False
    return True


def sign_of_normalisation(adc: np.ndarray, unit: AdcUnit) -> str | None:
    """What about a map's negative values says that it was z-scored or the like; None if nothing does.

    Args:
        adc: (Z, Y, X), finite, as stored.
        unit: as found by `find_adc_unit`.
    """
    if unit.negative_share_of_head > MOST_NEGATIVE_OF_HEAD:
        return f"ADC is negative in {unit.negative_share_of_head:.0%} of the head"
    air = np.concatenate(corners(adc))
    brain = float(np.median(adc[adc > 0])) if (adc > 0).any() else 0.0
    if (air < 0).mean() > 0.9 and np.median(air) < -0.1 * brain:
        return f"ADC is negative in the air of the volume's corners (median {np.median(air):.3g})"
    return None


def bright_air(array: np.ndarray) -> float | None:
    """The value of the air, by the volume's corners, if it is the brightest of the volume; None for a sound scan.

    Args:
        array: (Z, Y, X), finite.
    """
    air = float(np.median(np.concatenate(corners(array))))
    is_brightest = air > max(0.0, BRIGHT_AIR * float(array.max()))
    return air if is_brightest and float(np.median(middle(array))) < DARK_MIDDLE * air else None


def corners(array: np.ndarray) -> list[np.ndarray]:
    """The voxels within an eighth of each axis from a corner, flat, one array for each of the eight of (Z, Y, X)."""
    depths = [max(1, n // 8) for n in array.shape]
    ends = product(*((slice(depth), slice(-depth, None)) for depth in depths))
    return [array[corner].ravel() for corner in ends]


def check_mask_extent(
    labels: np.ndarray,
    channels: Mapping[str, np.ndarray],
    voxel_volume_ml: float,
    path: Path,
    findings: Findings,
    *,
    allow_large: bool = False,
) -> None:
    """Report masks that mark more than a lesion can fill: inverted ones, and those of the brain or the head.

    Args:
        labels: (Z, Y, X), above 0 in the lesion.
        channels: (Z, Y, X) by name, finite; without any the head is not known.
        voxel_volume_ml: the volume of a voxel.
        path: the mask's file.
        findings: where errors are reported.
        allow_large: report them as warnings, but for masks of nearly all voxels.
    """
    lesion = labels > 0
    report = findings.warning if allow_large else findings.error
    volume_ml = np.count_nonzero(lesion) * voxel_volume_ml
    if lesion.all():
        findings.error("mask marks every voxel", "Use 0 for background.", file=path)
    elif (share := float(lesion.mean())) > MOST_OF_VOLUME:
        findings.error(
            f"mask marks {share * 100:.3g} % of all voxels: inverted?",
            "Use 0 for background and 1 for lesion; a one-hot code has the background first.",
            file=path,
        )
    elif volume_ml > LARGEST_LESION_ML:
        report(
            f"mask marks {volume_ml:.0f} mL, more than any lesion fills (at most {LARGEST_LESION_ML:.0f} mL): a mask "
            "of the brain?",
            NO_BRAIN_MASK,
            file=path,
        )
    elif lesion.any() and channels and (share := share_of_head(lesion, channels)) > MOST_OF_HEAD:
        report(
            f"mask marks {share:.0%} of the head's tissue ({volume_ml:.3g} mL), more than any lesion does (at most "
            f"{MOST_OF_HEAD:.0%}): a mask of the brain?",
            NO_BRAIN_MASK,
            file=path,
        )
    elif lesion.any() and channels and _spans_head(lesion, channels):
        report(
            f"mask fills the head from side to side ({volume_ml:.3g} mL), more than any lesion does: a mask of the "
            "brain?",
            NO_BRAIN_MASK,
            file=path,
        )


def share_of_head(lesion: np.ndarray, channels: Mapping[str, np.ndarray]) -> float:
    """The share of the head's tissue that a mask marks, by the smaller of two estimates.

    Otsu's threshold finds the brain within the head, but may find a large bright lesion alone. The tissue around the
    mask by its signal beside that inside holds for lesions of any brightness, but counts skin and muscle as tissue.

    Args:
        lesion: (Z, Y, X), of booleans, some of them true.
        channels: (Z, Y, X) by name, finite.
    """
    image = _image(channels)
    head = _head(channels)
    by_otsu = float(lesion[head].mean()) if head.any() else 1.0
    inside = float(np.median(image[lesion]))
    around = int(np.count_nonzero(image[~lesion] > FAINTEST_TISSUE * inside)) if inside > 0 else lesion.size
    marked = int(np.count_nonzero(lesion))
    return min(by_otsu, marked / (marked + around))


def _image(channels: Mapping[str, np.ndarray]) -> np.ndarray:
    return channels[DWI] if DWI in channels else next(iter(channels.values()))


def _head(channels: Mapping[str, np.ndarray]) -> np.ndarray:
    """Tissue by Otsu's threshold, of ADC times DWI if both are there."""
    return head_mask(channels[ADC] * channels[DWI] if {ADC, DWI} <= channels.keys() else _image(channels))


def _spans_head(lesion: np.ndarray, channels: Mapping[str, np.ndarray]) -> bool:
    """Whether a mask reaches through most of the head along each axis and fills the middle half of its own box.

    A brain mask does, however bright the scalp around it is. The infarct of a hemisphere reaches through half.
    """
    image = _image(channels)
    tissue = lesion | head_mask(image) | _head(channels) | (image > FAINTEST_TISSUE * float(np.median(image[lesion])))
    if np.count_nonzero(lesion) < LEAST_OF_HEAD * np.count_nonzero(tissue):
        return False
    box, around = _box(lesion), _box(tissue)
    spans = [(a.stop - a.start) / (b.stop - b.start) for a, b in zip(box, around, strict=True)]
    quarters = [(side.stop - side.start) // 4 for side in box]
    inner = tuple(slice(a.start + quarter, a.stop - quarter) for a, quarter in zip(box, quarters, strict=True))
    return min(spans) > SPAN_OF_BRAIN and float(lesion[inner].mean()) > FILLED_BY_BRAIN


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    """The box of a mask, but for the outermost 2 % of its voxels at either end of each axis."""
    ends = np.percentile(np.argwhere(mask), [2, 98], axis=0).round().astype(int)
    return tuple(slice(int(first), int(last) + 1) for first, last in ends.T)
