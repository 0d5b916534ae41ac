"""How a lesion stands out from the rest of the head, by which an ADC map and a DWI are distinguished."""

from dataclasses import dataclass

import numpy as np

from nnunetv2_mscs.scans.units import head_mask

FEWEST_VOXELS = 20
CLEARLY_RAISED, CLEARLY_LOWERED = 1.1, 0.9


@dataclass(frozen=True)
class Contrast:
    """Median in the lesion over median in the rest of the head, in ADC and in DWI.

    Where diffusion is restricted, as in an acute infarct, the ADC is low and the DWI bright.
    """

    adc: float
    dwi: float

    @property
    def looks_swapped(self) -> bool:
        """Whether the ADC is clearly raised and the DWI lowered: the very opposite of an acute infarct."""
        return self.adc > CLEARLY_RAISED and self.dwi < CLEARLY_LOWERED


def lesion_contrast(adc: np.ndarray, dwi: np.ndarray, labels: np.ndarray) -> Contrast | None:
    """The contrast of a lesion, the same but for the order if ADC and DWI are given the wrong way round.

    The head is therefore taken from the product of the two, high in tissue and low in air and noise whichever is which.

    Args:
        adc: (Z, Y, X), finite, in any unit.
        dwi: (Z, Y, X), likewise.
        labels: (Z, Y, X), above 0 in the lesion.

    Returns:
        The contrast, or None for a lesion of fewer than 20 voxels, or without a head around it to compare with.
    """
    lesion = labels > 0
    rest = head_mask(adc * dwi) & ~lesion
    if min(np.count_nonzero(lesion), np.count_nonzero(rest)) < FEWEST_VOXELS:
        return None
    around = float(np.median(adc[rest])), float(np.median(dwi[rest]))
    if min(around) <= 0:
        return None
    return Contrast(float(np.median(adc[lesion])) / around[0], float(np.median(dwi[lesion])) / around[1])
