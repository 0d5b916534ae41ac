"""What no scan of a head can hold, however well its files are read."""

from itertools import product
from pathlib import Path

import numpy as np

from nnunetv2_mscs.scans.findings import Findings
from nnunetv2_mscs.scans.units import TO_MICRO, AdcUnit, head_mask

# Free water at body temperature diffuses at 0.003 mm2/s; noise in air may reach some times that.
LARGEST_ADC_MM2_PER_S = 0.1
# Maps are noisy and mostly positive, z-scored ones about half negative; a mask turned inside out is nearly all lesion.
MOST_NEGATIVE_OF_HEAD = 0.4
MOST_OF_VOLUME, MOST_OF_HEAD = 0.75, 0.6
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
    labels: np.ndarray, dwi: np.ndarray | None, adc: np.ndarray | None, path: Path, findings: Findings
) -> None:
    """Report masks that mark more than a lesion can fill.

    Args:
        labels: (Z, Y, X), above 0 in the lesion.
        dwi: (Z, Y, X), finite; None without one, and then the head is not known.
        adc: (Z, Y, X), finite; it keeps the head whole where the DWI of a large lesion outshines it.
        path: the mask's file.
        findings: where errors and warnings are reported.
    """
    lesion = labels > 0
    if lesion.all():
        findings.error("mask marks every voxel", "Use 0 for background.", file=path)
    elif (share := float(lesion.mean())) > MOST_OF_VOLUME:
        findings.error(
            f"mask marks {share * 100:.3g} % of all voxels: inverted?",
            "Use 0 for background and 1 for lesion; a one-hot code has the background first.",
            file=path,
        )
    elif dwi is not None and lesion.any():
        head = head_mask(dwi if adc is None else adc * dwi)
        share = float(lesion[head].mean()) if head.any() else 0.0
        if share > MOST_OF_HEAD:
            findings.warning(
                f"mask marks {share:.0%} of the head", "Check that it marks the lesion, not the brain.", file=path
            )
