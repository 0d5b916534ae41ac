"""The signal of every fine cell: S = S0 exp(-b ADC), with the changes of S0 and ADC by disease."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from nnunetv2_mscs.phantom.lesions import Infarct
from nnunetv2_mscs.phantom.tissues import B_VALUE, FIRST_PARENCHYMA, LAST_PARENCHYMA, Tissue

# White matter around the ventricles of small-vessel disease: T2 and ADC raised (Helenius et al., Stroke 33 (2002) 45).
CAP_MM, CAP_S0, CAP_ADC = 7.0, 0.45, 0.3
SHINE_S0, SHINE_ADC = 0.75, 0.12
RIM_MM, RIM_SHARE = 1.5, 0.4


class Signals(NamedTuple):
    """The parameters of the signals of one case.

    Args:
        tables: S0 relative to white matter's, and ADC in 10^-3 mm2/s, by label.
        infarct: the acute one, if any.
        small_vessel_disease: 0 to 1.
    """

    tables: tuple[np.ndarray, np.ndarray]
    infarct: Infarct | None
    small_vessel_disease: float


def parenchyma(labels: np.ndarray) -> np.ndarray:
    """The cells of brain in which an infarct can be."""
    return (labels >= FIRST_PARENCHYMA) & (labels <= LAST_PARENCHYMA)


def slice_signals(
    labels: np.ndarray, fields: Mapping[str, np.ndarray], signals: Signals
) -> tuple[np.ndarray, np.ndarray]:
    """b0 and DWI, relative to white matter's b0, of one fine slice.

    Args:
        labels: (Y, X) of `Tissue`.
        fields: ventricles (distance in mm), shine (0 to 1), old and infarct (level sets), each (Y, X).
        signals: the rest.
    """
    brain = parenchyma(labels)
    infarct = brain & (fields["infarct"] < 0) if signals.infarct else np.zeros_like(brain)
    labels = np.where(brain & (fields["old"] < 0) & ~infarct, np.uint8(Tissue.OLD_LESION), labels)
    s0, adc = (table[labels] for table in signals.tables)
    white = (labels == Tissue.WHITE) & ~infarct
    caps = np.clip(1 - fields["ventricles"] / CAP_MM, 0, 1) * np.float32(signals.small_vessel_disease)
    bright = np.where(white, caps, 0)
    shine = np.where(white, np.clip(fields["shine"], 0, 1), 0)
    s0 *= 1 + np.float32(CAP_S0) * bright + np.float32(SHINE_S0) * shine
    adc += np.float32(CAP_ADC) * bright + np.float32(SHINE_ADC) * shine
    if signals.infarct:
        rim = RIM_SHARE * np.exp(fields["infarct"][infarct] / RIM_MM)
        s0[infarct] *= signals.infarct.s0_gain + (1 - signals.infarct.s0_gain) * rim
        adc[infarct] = signals.infarct.core_adc + (adc[infarct] - signals.infarct.core_adc) * rim
    return s0, s0 * np.exp(-np.float32(B_VALUE) * adc)
