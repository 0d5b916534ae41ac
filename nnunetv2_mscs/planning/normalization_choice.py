"""The schemes of `MSCSPlannerADCDWI` for channels called ADC and DWI, or why a data set cannot have them."""

from collections.abc import Iterable, Mapping

import numpy as np

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.planning.normalization import ADCNormalization, DWINormalization
from nnunetv2_mscs.scans.channels import ADC, DWI
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.units import TO_MICRO

SCHEMES = {ADC.casefold(): ADCNormalization.__name__, DWI.casefold(): DWINormalization.__name__}
# Medians of lesions: from severe cytotoxic oedema to free water. The units lie three decades apart.
PLAUSIBLE_LESION_MM2_PER_S = (0.1e-3, 3.0e-3)
OTHERWISE = "Plan with -pl MSCSPlanner, which keeps nnU-Net's normalisation."


def schemes_by_name(channels: Mapping[str, str]) -> dict[str, str]:
    """Scheme by the channel's key in dataset.json, for channels called ADC or DWI in any case.

    Raises:
        MscsError: no channel has one of these names.
    """
    schemes = {key: SCHEMES[name.casefold()] for key, name in channels.items() if name.casefold() in SCHEMES}
    if not schemes:
        raise MscsError(f"No channel is called ADC or DWI, but {', '.join(channels.values())}.", OTHERWISE)
    return schemes


def require_unit(lesions: Mapping[str, float]) -> str:
    """The unit of an ADC channel, a key of `scans.units.TO_MICRO`, from nnU-Net's fingerprint of its lesions.

    Args:
        lesions: `median`, `max` and others of the voxels with a label.

    Raises:
        MscsError: the fingerprint holds no lesions, or their values are in no unit of diffusivity.
    """
    median, most = float(lesions.get("median", np.nan)), float(lesions.get("max", np.nan))
    if not np.isfinite([median, most]).all():
        raise MscsError("The data set's fingerprint has no ADC of lesions.", OTHERWISE)
    unit = unit_of_lesions(median, most)
    if unit is None:
        values = f"median {median:.3g}, at most {most:.3g}"
        raise MscsError(f"The ADC of the lesions ({values}) is in no unit of diffusivity.", OTHERWISE)
    return unit


def unit_of_lesions(median: float, most: float) -> str | None:
    """The unit of an ADC, a key of `scans.units.TO_MICRO`, from the median and the maximum of its lesions.

    Maps scaled to [0, 1] would pass for 10^-3 mm2/s; but there some voxel of a lesion exceeds 1.
    """
    low, high = PLAUSIBLE_LESION_MM2_PER_S
    for name, factor in TO_MICRO.items():
        if low * 1e6 <= median * factor <= high * 1e6:
            return None if name == "10^-3 mm2/s" and most <= 1 + 1e-4 else name
    return None


def require_acceptable(images: Iterable[tuple[str, np.ndarray]]) -> None:
    """Look at some ADC images (identifier, (Z, Y, X)) as preprocessing will.

    Raises:
        MscsError: `ADCNormalization` refuses one of them.
    """
    normalise = ADCNormalization(use_mask_for_norm=False, intensityproperties={})
    for identifier, image in images:
        try:
            normalise.run(image)
        except ScanError as error:
            raise MscsError(f"{identifier}: {error.finding}.", OTHERWISE) from error
