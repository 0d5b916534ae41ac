"""Normalisation of ADC and DWI that nnU-Net finds by name: the ADC keeps its unit, and background stays 0."""

import numpy as np
from nnunetv2.preprocessing.normalization.default_normalization_schemes import ImageNormalization

from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.plausible import UNTOUCHED, corners, sign_of_normalisation
from nnunetv2_mscs.scans.units import SCALED, find_adc_unit, middle

# Both scales bring the deviation within the brain to about 1, that of z-scored data, for which the amplitudes of
# nnU-Net's augmentation are made.
LARGEST_ADC, ADC_SCALE = 3.0, 2.0  # free water, in 10^-3 mm2/s
LARGEST_DWI, DWI_SCALE = 5.0, 3.0  # in medians of parenchyma

REMEDY = UNTOUCHED + " For a data set without such maps plan with -pl MSCSPlannerZScore."

# A voxel is taken as signal above this multiple of the quietest corner's median: 1 in 500 of Rayleigh noise is.
SIGNAL_TO_NOISE = 3.0
# Of each axis of the head: most air lies outside of it, and most of a hemisphere's lesion with its mirror side inside.
MIDDLE = 0.625
# Parenchyma varies by tissue and coil from 0.7 to 1.4 times its median; CSF lies below, most lesions above.
PARENCHYMA = (0.7, 1.4)
# A voxel counts as intensity ** 0.25: that is enough against noise that was left, and too little to favour a lesion.
WEIGHT_EXPONENT = 0.25
BIN = np.log(1.02)
MOST_ITERATIONS = 10


class ADCNormalization(ImageNormalization):
    """ADC in 10^-3 mm2/s, clipped to [0, 3], times 2: the same for every patient, scanner and unit of the file.

    Negative values and those that are not finite become 0; an image without any other value stays 0.

    Raises:
        ScanError: the image is in no unit of diffusivity: scaled to [0, 1], z-scored, or no ADC.
    """

    leaves_pixels_outside_mask_at_zero_if_use_mask_for_norm_is_true = False

    def run(self, image: np.ndarray, seg: np.ndarray | None = None) -> np.ndarray:
        """Image (Z, Y, X) in any unit of `scans.units` -> image of the same shape in [0, 6]."""
        adc = np.where(np.isfinite(image), image, 0)
        if not adc.any():
            return np.zeros(adc.shape, self.target_dtype)
        try:
            unit = find_adc_unit(adc)
        except ScanError as error:
            raise ScanError(error.finding, "Check that this channel is an ADC map. " + REMEDY) from error
        if unit.name == SCALED:
            raise ScanError("ADC is scaled to [0, 1], but this model reads diffusivities", REMEDY)
        normalised = sign_of_normalisation(adc, unit)
        if normalised:
            raise ScanError(normalised, REMEDY)
        to_milli = unit.factor / 1e3
        return (np.clip(adc, 0, LARGEST_ADC / to_milli) * (to_milli * ADC_SCALE)).astype(self.target_dtype)


class DWINormalization(ImageNormalization):
    """DWI relative to the median of its parenchyma, clipped to [0, 5], times 3.

    Negative values and those that are not finite become 0, and so does an image whose other values are all the same.
    """

    leaves_pixels_outside_mask_at_zero_if_use_mask_for_norm_is_true = False

    def run(self, image: np.ndarray, seg: np.ndarray | None = None) -> np.ndarray:
        """Image (Z, Y, X) in any positive multiple of itself -> image of the same shape in [0, 15]."""
        dwi = np.where(np.isfinite(image), image, 0)
        level = parenchyma_level(dwi)
        if level is None:
            return np.zeros(dwi.shape, self.target_dtype)
        return (np.clip(dwi, 0, LARGEST_DWI * level) / level * DWI_SCALE).astype(self.target_dtype)


def parenchyma_level(dwi: np.ndarray) -> float | None:
    """Median of a DWI over likely parenchyma, from the DWI alone.

    In the middle of the head, the level is first the x for which most voxels, each counted as its intensity ** 0.25,
    lie between 0.7 x and 1.4 x; then, in the whole volume, the median of the voxels between these bounds, until both
    agree. What does not exceed 3 times the median of the quietest of the volume's corners is taken as noise.

    Args:
        dwi: (Z, Y, X), finite; skull-stripped or not, zero background or noise around the head.

    Returns:
        None if the voxels above 0 are all the same, or if there are none.
    """
    head = middle(dwi, 1)
    if not (head > 0).any() or head.max() == head[head > 0].min():
        return None
    noise = min(float(np.median(corner)) for corner in corners(head))
    floor = SIGNAL_TO_NOISE * max(noise, 0.0)
    if not (head > floor).any():
        floor = 0.0
    signal = np.where(head > floor, head, 0)
    voxels = signal[signal > 0].astype(np.float64)
    central = middle(signal, MIDDLE)
    level = _fullest_window(central[central > 0].astype(np.float64) if (central > 0).any() else voxels)
    low, high = PARENCHYMA
    for _ in range(MOST_ITERATIONS):
        inside = voxels[(voxels >= low * level) & (voxels <= high * level)]
        if not inside.size or (median := float(np.median(inside))) == level:
            break
        level = median
    return level


def _fullest_window(voxels: np.ndarray) -> float:
    """The x, on a grid of 2 %, with the largest weight of voxels (all above 0) between 0.7 x and 1.4 x."""
    median = np.median(voxels)
    bins = np.floor(np.log(voxels / median) / BIN).astype(int)
    weights = np.bincount(bins - bins.min(), (voxels / median) ** WEIGHT_EXPONENT)
    below = np.concatenate([[0], np.cumsum(weights)])
    down, up = (round(abs(np.log(bound)) / BIN) for bound in PARENCHYMA)
    places = np.arange(weights.size)
    within = below[np.minimum(places + up + 1, weights.size)] - below[np.maximum(places - down, 0)]
    return float(median * np.exp((bins.min() + within.argmax() + 0.5) * BIN))
