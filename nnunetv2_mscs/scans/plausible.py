"""What no scan of a head can hold, however well its files are read."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np

from nnunetv2_mscs.scans.channels import ADC, DWI
from nnunetv2_mscs.scans.findings import Findings
from nnunetv2_mscs.scans.units import TO_MICRO, AdcUnit, head_mask

# Free water at body temperature diffuses at 0.003 mm2/s; noise in air may reach some times that.
LARGEST_ADC_MM2_PER_S = 0.1
# Maps are noisy and mostly positive, z-scored ones about half negative; a mask turned inside out is nearly all lesion.
MOST_NEGATIVE_OF_HEAD = 0.4
MOST_OF_VOLUME, MOST_OF_HEAD = 0.75, 0.6
# Infarcts of a whole hemisphere, swollen, reach some 500 mL; brains have 1000 to 1700 mL.
LARGEST_LESION_ML = 700.0
# Tissue around a lesion has at least this share of its signal, air and bare skull have less.
FAINTEST_TISSUE = 0.2
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


def share_of_head(lesion: np.ndarray, channels: Mapping[str, np.ndarray]) -> float:
    """The share of the head's tissue that a mask marks, by the smaller of two estimates.

    Otsu's threshold finds the brain within the head, but may find a large bright lesion alone. The tissue around the
    mask by its signal beside that inside holds for lesions of any brightness, but counts skin and muscle as tissue.

    Args:
        lesion: (Z, Y, X), of booleans, some of them true.
        channels: (Z, Y, X) by name, finite.
    """
    adc, dwi = channels.get(ADC), channels.get(DWI)
    image = dwi if dwi is not None else next(iter(channels.values()))
    head = head_mask(image if adc is None or dwi is None else adc * dwi)
    by_otsu = float(lesion[head].mean()) if head.any() else 1.0
    inside = float(np.median(image[lesion]))
    around = int(np.count_nonzero(image[~lesion] > FAINTEST_TISSUE * inside)) if inside > 0 else lesion.size
    marked = int(np.count_nonzero(lesion))
    return min(by_otsu, marked / (marked + around))
