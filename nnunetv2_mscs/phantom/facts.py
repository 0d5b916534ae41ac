"""The truth about a phantom, known from its making: its row in phantoms.csv."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class CaseFacts:
    """The truth about one case.

    Args:
        case: the case identifier.
        kind: lacunar, wedge, territory, emboli, or none.
        age_h: hours since the vessel closed.
        volume_true_ml: lesion volume on the fine grid.
        volume_mask_ml: the mask's volume.
        pieces: connected pieces of the mask, 26-connectivity.
        core_adc: of the infarct's core, 10^-3 mm2/s.
        adc_ratio: mean ADC of the mask over that of the mirrored tissue, as measured on the images.
        dwi_ratio: likewise of the DWI.
        shine_through: patches with a long T2 and no restricted diffusion.
        old_lesions: old infarcts.
        susceptibility: bright spots at the skull base.
        field_t: field strength in tesla.
        echo_time_ms: echo time.
    """

    case: str
    kind: str
    age_h: float | None
    volume_true_ml: float
    volume_mask_ml: float
    pieces: int
    core_adc: float | None
    adc_ratio: float | None
    dwi_ratio: float | None
    shine_through: int
    old_lesions: int
    susceptibility: int
    field_t: float
    echo_time_ms: float

    def as_row(self) -> dict[str, str]:
        """The values as text with four digits; a missing value is empty."""
        return {
            name: "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
            for name, value in asdict(self).items()
        }
