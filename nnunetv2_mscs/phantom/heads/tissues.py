"""Water, relaxation and diffusion of the tissues of a head, as one person at one scanner has them."""

from dataclasses import dataclass

import numpy as np

from nnunetv2_mscs.phantom.heads.label_maps import LAST_OF_BRAIN, HeadTissue


@dataclass(frozen=True)
class HeadConstants:
    """One tissue: proton density relative to water, T1 and T2 in ms, ADC in 10^-3 mm2/s."""

    density: float
    t1_ms: float
    t2_ms: float
    adc: float


# As `phantom.tissues` (sources there), between 1.5 and 3 T; outside the brain fat is suppressed.
CONSTANTS = {
    HeadTissue.AIR: HeadConstants(0.0, 1000, 50, 0.0),
    HeadTissue.WHITE: HeadConstants(0.70, 980, 71, 0.70),
    HeadTissue.CORTEX: HeadConstants(0.82, 1450, 96, 0.85),
    HeadTissue.DEEP_GREY: HeadConstants(0.80, 1270, 81, 0.75),
    HeadTissue.PALLIDUM: HeadConstants(0.76, 1070, 62, 0.75),
    HeadTissue.BRAINSTEM: HeadConstants(0.73, 1020, 77, 0.74),
    HeadTissue.CEREBELLAR_CORTEX: HeadConstants(0.81, 1320, 88, 0.78),
    HeadTissue.CEREBELLAR_WHITE: HeadConstants(0.72, 1000, 74, 0.70),
    HeadTissue.CSF: HeadConstants(1.0, 4300, 1900, 3.0),
    HeadTissue.VENTRICLE: HeadConstants(1.0, 4300, 2000, 3.05),
    HeadTissue.VESSEL: HeadConstants(0.8, 1600, 60, 1.3),
    HeadTissue.DURA: HeadConstants(0.6, 1200, 50, 1.0),
    HeadTissue.EYE: HeadConstants(1.0, 3600, 700, 2.4),
    HeadTissue.SOFT: HeadConstants(0.5, 950, 42, 1.2),
    HeadTissue.MUSCLE: HeadConstants(0.4, 950, 40, 1.2),
    HeadTissue.BONE: HeadConstants(0.05, 450, 28, 0.8),
    HeadTissue.FAT: HeadConstants(0.2, 350, 58, 0.6),
    HeadTissue.SKIN: HeadConstants(0.4, 900, 42, 1.1),
}
LARGEST_ADC = 3.2


@dataclass(frozen=True)
class Person:
    """S0 relative to white matter's and ADC in 10^-3 mm2/s by `HeadTissue`, and b in 10^3 s/mm2."""

    s0: np.ndarray
    adc: np.ndarray
    b: float
    echo_time_ms: float


def draw_person(rng: np.random.Generator) -> Person:
    """S0 = density (1 - exp(-TR/T1)) exp(-TE/T2), T2 and ADC within 10 to 15 % of the constants.

    Real trace images show less contrast of grey to white than one exponential gives: it is shrunk by a random power.
    """
    uniform = rng.uniform
    echo, repetition, b = uniform(60, 120), uniform(3500, 9000), uniform(0.8, 1.2)
    s0, adc = np.zeros(len(HeadTissue)), np.zeros(len(HeadTissue))
    for tissue, constants in CONSTANTS.items():
        spread = 0.12 if tissue <= LAST_OF_BRAIN else 0.35
        t2 = constants.t2_ms * (1 + spread * uniform(-1, 1))
        density = constants.density * (1 + 0.05 * uniform(-1, 1))
        s0[tissue] = density * (1 - np.exp(-repetition / constants.t1_ms)) * np.exp(-echo / t2)
        adc[tissue] = constants.adc * (1 + (0.10 if tissue <= LAST_OF_BRAIN else 0.4) * uniform(-1, 1))
    white = s0[HeadTissue.WHITE]
    power = uniform(0.3, 1.0)
    contrasted = slice(HeadTissue.CORTEX, HeadTissue.CEREBELLAR_WHITE + 1)
    s0[contrasted] = white * (s0[contrasted] / white) ** power
    # Coils and inflow make the lowest slices brighter or darker than the rest.
    s0[[HeadTissue.CEREBELLAR_CORTEX, HeadTissue.CEREBELLAR_WHITE]] *= uniform(0.85, 1.2)
    s0[HeadTissue.CSF] *= uniform(0.5, 1.0)
    outside = slice(LAST_OF_BRAIN + 1, None)
    s0[outside] *= np.exp(uniform(np.log(0.1), np.log(2.0))) * np.exp(rng.normal(0, 0.5, len(s0[outside])))
    s0 /= white
    return Person(s0.astype(np.float32), np.minimum(adc, LARGEST_ADC).astype(np.float32), float(b), float(echo))
