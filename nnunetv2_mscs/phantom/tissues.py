"""Published constants of the tissues of the head, and the signal that they give."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

B_VALUE = 1.0  # 10^3 s/mm2, with diffusivities in 10^-3 mm2/s


class Tissue(IntEnum):
    """Labels of the fine grid."""

    AIR = 0
    SCALP = 1
    SKIN = 2
    SKULL = 3
    CSF = 4
    GREY = 5
    WHITE = 6
    DEEP_GREY = 7
    PALLIDUM = 8
    BRAINSTEM = 9
    CEREBELLUM = 10
    EYE = 11
    OLD_LESION = 12


FIRST_PARENCHYMA, LAST_PARENCHYMA = Tissue.GREY, Tissue.CEREBELLUM


@dataclass(frozen=True)
class Constants:
    """One tissue.

    Args:
        density: of protons, relative to water.
        t1_ms: longitudinal relaxation at 1.5 T and 3 T.
        t2_ms: transverse relaxation at 1.5 T and 3 T.
        adc: apparent diffusion coefficient in 10^-3 mm2/s.
    """

    density: float
    t1_ms: tuple[float, float]
    t2_ms: tuple[float, float]
    adc: float


# T1, T2 of white and grey matter: Stanisz et al., Magn Reson Med 54 (2005) 507. Basal ganglia and iron's effect on the
# pallidum: Wansapura et al., J Magn Reson Imaging 9 (1999) 531. CSF: Spijkerman et al., MAGMA 31 (2018) 415.
# Water contents: Whittall et al., Magn Reson Med 37 (1997) 34; fat and skin are dim as diffusion EPI suppresses fat.
# ADC: Helenius et al., AJNR 23 (2002) 194 (white 0.70, deep grey 0.75, cortex 0.89); free water at 37 degrees 3.0.
CONSTANTS = {
    Tissue.AIR: Constants(0.0, (1000, 1000), (50, 50), 0.0),
    Tissue.SCALP: Constants(0.22, (300, 380), (60, 55), 0.6),
    Tissue.SKIN: Constants(0.45, (900, 1100), (45, 40), 1.2),
    Tissue.SKULL: Constants(0.05, (400, 500), (30, 25), 0.8),
    Tissue.CSF: Constants(1.0, (4300, 4300), (2200, 2000), 3.0),
    Tissue.GREY: Constants(0.82, (1120, 1820), (95, 99), 0.85),
    Tissue.WHITE: Constants(0.70, (880, 1080), (72, 69), 0.70),
    Tissue.DEEP_GREY: Constants(0.80, (1050, 1500), (84, 80), 0.75),
    Tissue.PALLIDUM: Constants(0.76, (950, 1200), (68, 58), 0.75),
    Tissue.BRAINSTEM: Constants(0.73, (900, 1150), (78, 76), 0.74),
    Tissue.CEREBELLUM: Constants(0.81, (1050, 1600), (88, 87), 0.78),
    Tissue.EYE: Constants(1.0, (4000, 4000), (1500, 1200), 2.7),
    Tissue.OLD_LESION: Constants(0.92, (1900, 2300), (210, 200), 1.6),
}


@dataclass(frozen=True)
class Protocol:
    """Diffusion-weighted spin-echo EPI as a hospital runs it.

    Args:
        field_t: 1.5 or 3 tesla.
        echo_time_ms: TE.
        repetition_time_ms: TR.
    """

    field_t: float
    echo_time_ms: float
    repetition_time_ms: float

    def signal_without_diffusion(self, constants: Constants) -> float:
        """S0 = density * (1 - exp(-TR / T1)) * exp(-TE / T2)."""
        at = 0 if self.field_t < 2 else 1
        recovered = 1 - np.exp(-self.repetition_time_ms / constants.t1_ms[at])
        return float(constants.density * recovered * np.exp(-self.echo_time_ms / constants.t2_ms[at]))


def draw_protocol(rng: np.random.Generator) -> Protocol:
    """One of the scanners that stroke units have."""
    return Protocol(float(rng.choice([1.5, 3.0])), float(rng.uniform(72, 98)), float(rng.uniform(4000, 7000)))


def signal_tables(protocol: Protocol, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """S0 relative to white matter's, and ADC in 10^-3 mm2/s, by label; ADC and S0 differ between people by 3 %."""
    white = protocol.signal_without_diffusion(CONSTANTS[Tissue.WHITE])
    s0 = np.array([protocol.signal_without_diffusion(CONSTANTS[tissue]) / white for tissue in Tissue])
    adc = np.array([CONSTANTS[tissue].adc for tissue in Tissue])
    s0 *= 1 + 0.03 * rng.standard_normal(len(s0))
    adc *= 1 + 0.03 * rng.standard_normal(len(adc))
    s0[Tissue.WHITE] = 1.0
    adc[Tissue.CSF] = min(adc[Tissue.CSF], 3.1)
    return s0.astype(np.float32), adc.astype(np.float32)
