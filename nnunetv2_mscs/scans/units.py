"""The unit an ADC map is stored in, found from the diffusivity of the brain itself."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from nnunetv2_mscs.scans.findings import ScanError

# Medians of whole brains, CSF and lesions included, lie between 0.7 and 1.1e-3 mm2/s; the units lie three decades
# apart, so that a band of one decade is wide enough for any patient and leaves no doubt.
PLAUSIBLE_MEDIAN_MM2_PER_S = (0.3e-3, 3.0e-3)
TO_MICRO = {"10^-6 mm2/s": 1.0, "10^-3 mm2/s": 1e3, "mm2/s": 1e6}
SCALED = "scaled"

KEPT_MASKS = 8
_MASKS: dict[tuple[str, tuple[int, ...], bytes], np.ndarray] = {}
# By the threshold of so many voxels, or somewhat fewer, real heads differ in less than 1 % of their voxels.
VOXELS_FOR_THRESHOLD = 200_000


@dataclass(frozen=True)
class AdcUnit:
    """A unit of ADC as found in one case.

    Args:
        name: a key of `TO_MICRO`, or "scaled" for maps brought to [0, 1].
        factor: what brings the map to 10^-6 mm2/s; 1 for scaled maps.
        negative_share: share of all voxels where the map is below 0.
        negative_share_of_head: the same among the head's voxels.
    """

    name: str
    factor: float
    negative_share: float
    negative_share_of_head: float


def head_mask(dwi: np.ndarray) -> np.ndarray:
    """Tissue, apart from air, in a diffusion-weighted volume: Otsu's threshold, the brightest and darkest 1 % clipped.

    Checks, measurements and pictures all ask for it: the last masks are kept, found again by what the volume holds.

    Args:
        dwi: (Z, Y, X), finite.
    """
    content = np.ascontiguousarray(dwi)
    key = dwi.dtype.str, dwi.shape, hashlib.sha256(content.view(np.uint8).data).digest()
    if (bits := _MASKS.get(key)) is not None:
        return np.unpackbits(bits, count=dwi.size).view(bool).reshape(dwi.shape)
    mask = _head_mask(content)
    if len(_MASKS) >= KEPT_MASKS:
        _MASKS.pop(next(iter(_MASKS)), None)
    _MASKS[key] = np.packbits(mask)
    return mask


def _head_mask(dwi: np.ndarray) -> np.ndarray:
    some = _spread(dwi)
    low, high = np.percentile(some, [1, 99])
    if not high > low:
        return dwi > low
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.Execute(sitk.GetImageFromArray(np.clip(some, low, high).astype(np.float32)[None]))
    return dwi > otsu.GetThreshold()


def _spread(array: np.ndarray) -> np.ndarray:
    """Voxels from everywhere in a large volume: a step without a divisor in common with its axes meets all columns."""
    step = max(1, array.size // VOXELS_FOR_THRESHOLD)
    while math.gcd(step, array.size) > 1:
        step += 1
    return array.ravel()[::step]


def middle(array: np.ndarray, share: float = 0.5) -> np.ndarray:
    """View of the middle part of a volume: inside the head when nothing else says where the head is.

    Zeros around the head do not count, so that padding changes nothing.

    Args:
        array: (Z, Y, X), or of any other number of axes.
        share: of each axis of the smallest box that holds all voxels above 0.
    """
    positive = array > 0
    slices = []
    for axis in range(array.ndim):
        held = np.flatnonzero(positive.any(tuple(other for other in range(array.ndim) if other != axis)))
        first, end = (held[0], held[-1] + 1) if held.size else (0, array.shape[axis])
        margin = int((end - first) * (1 - share) / 2)
        slices.append(slice(first + margin, end - margin))
    return array[tuple(slices)]


def find_adc_unit(adc: np.ndarray, dwi: np.ndarray | None = None) -> AdcUnit:
    """Find the unit of an ADC map by the median over the brain.

    A map is taken as min-max scaled when ADC and DWI both lie in [0, 1] and the ADC is too large to be mm2/s; or,
    when DWI is absent or not scaled, when the map runs up to exactly 1. A map in 10^-3 mm2/s goes well beyond 1 in CSF.

    Args:
        adc: (Z, Y, X), finite.
        dwi: (Z, Y, X) on the same grid; without it the middle of the volume stands for the brain, and where no unit
            fits that, all voxels above 0 do.

    Raises:
        ScanError: the median fits none of the units.
    """
    brains = [adc[head_mask(dwi)]] if dwi is not None else [middle(adc), adc]
    inside = brains[0]
    negative = float((adc < 0).mean()), float((inside < 0).mean()) if inside.size else 0.0
    if _is_scaled(adc, dwi):
        return AdcUnit(SCALED, 1.0, *negative)
    low, high = PLAUSIBLE_MEDIAN_MM2_PER_S
    medians = [float(np.median(brain[brain > 0])) if (brain > 0).any() else 0.0 for brain in brains]
    for median in medians:
        for name, factor in TO_MICRO.items():
            if low * 1e6 <= median * factor <= high * 1e6:
                return AdcUnit(name, factor, *negative)
    ranges = ", ".join(f"{low * 1e6 / f:g} to {high * 1e6 / f:g} in {name}" for name, f in TO_MICRO.items())
    raise ScanError(
        f"ADC unit not recognised: the brain's median is {medians[0]:.4g}; expected {ranges}",
        "Check that this is an ADC map, in a unit or scaled to [0, 1], and not the DWI: by its name, its option, or in "
        "a combined file its place.",
    )


def _is_scaled(adc: np.ndarray, dwi: np.ndarray | None) -> bool:
    top = float(adc.max())
    if not _within_unit_range(adc) or top < 0.05:
        return False
    if dwi is not None and _within_unit_range(dwi):
        return True
    return top > 0.999


def _within_unit_range(array: np.ndarray) -> bool:
    return bool(array.min() >= -1e-6 and array.max() <= 1 + 1e-4)
