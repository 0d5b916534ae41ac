"""Which normalisation a data set's channels get, and why: by their names and by the unit of the ADC."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nnunetv2_mscs.planning.normalization import ADCNormalization, DWINormalization
from nnunetv2_mscs.scans.channels import ADC, DWI
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.units import TO_MICRO

Normalisation = Literal["adc-dwi", "nnunet"]
SCHEMES = {ADC.casefold(): ADCNormalization.__name__, DWI.casefold(): DWINormalization.__name__}
# Medians of lesions: from severe cytotoxic oedema to free water. The units lie three decades apart.
PLAUSIBLE_LESION_MM2_PER_S = (0.1e-3, 3.0e-3)


@dataclass(frozen=True)
class NormalisationChoice:
    """Scheme by the channel's key in dataset.json, for those that nnU-Net's own rules do not decide; and the reason."""

    schemes: Mapping[str, str]
    reason: str


def choose_normalisation(
    wanted: Normalisation, channels: Mapping[str, str], intensities: Mapping[str, Mapping[str, float]]
) -> NormalisationChoice:
    """Our schemes for channels called ADC and DWI, in any case, if the ADC has a unit of diffusivity.

    Args:
        wanted: "nnunet" for none of ours.
        channels: key in dataset.json -> name.
        intensities: nnU-Net's fingerprint of the lesions: key -> median, max and others.
    """
    schemes = {key: SCHEMES[name.casefold()] for key, name in channels.items() if name.casefold() in SCHEMES}
    if wanted == "nnunet":
        return NormalisationChoice({}, "normalisation: by nnU-Net's rules for every channel")
    if not schemes:
        return NormalisationChoice({}, "normalisation: nnU-Net's, because no channel is called ADC or DWI")
    units = []
    for key, scheme in schemes.items():
        if scheme != ADCNormalization.__name__:
            continue
        lesions = intensities.get(key, {})
        median, most = float(lesions.get("median", np.nan)), float(lesions.get("max", np.nan))
        if not np.isfinite([median, most]).all():
            return NormalisationChoice({}, "normalisation: nnU-Net's, because the fingerprint has no ADC of lesions")
        unit = unit_of_lesions(median, most)
        if unit is None:
            reason = (
                f"normalisation: nnU-Net's, because the ADC of the lesions (median {median:.3g}, at most {most:.3g}) "
            )
            return NormalisationChoice({}, reason + "is in no unit of diffusivity")
        units.append(unit)
    words = [_words(channels[key], scheme, units) for key, scheme in schemes.items()]
    if len(schemes) < len(channels):
        words.append("the others by nnU-Net's rules")
    return NormalisationChoice(schemes, f"normalisation: {', '.join(words)}")


def unit_of_lesions(median: float, most: float) -> str | None:
    """The unit of an ADC, a key of `scans.units.TO_MICRO`, from the median and the maximum of its lesions.

    Maps scaled to [0, 1] would pass for 10^-3 mm2/s; but there some voxel of a lesion exceeds 1.
    """
    low, high = PLAUSIBLE_LESION_MM2_PER_S
    for name, factor in TO_MICRO.items():
        if low * 1e6 <= median * factor <= high * 1e6:
            return None if name == "10^-3 mm2/s" and most <= 1 + 1e-4 else name
    return None


def first_refusal(images: Iterable[tuple[str, np.ndarray]]) -> str | None:
    """Which of some ADC images (identifier, (Z, Y, X)) `ADCNormalization` refuses, and why; None if it takes all."""
    normalise = ADCNormalization(use_mask_for_norm=False, intensityproperties={})
    for identifier, image in images:
        try:
            normalise.run(image)
        except ScanError as error:
            return f"normalisation: nnU-Net's, because of {identifier}: {error.finding}"
    return None


def _words(channel: str, scheme: str, units: list[str]) -> str:
    if scheme == ADCNormalization.__name__:
        return f"{channel} by its unit (lesions are in {units[0]})"
    return f"{channel} by the median of its parenchyma"


def schemes_with(choice: NormalisationChoice, channels: Mapping[str, str], schemes: list[str], masks: list[Any]):
    """nnU-Net's schemes and uses of the mask, one per channel, with those chosen in their place, which use no mask."""
    chosen = [choice.schemes.get(key, scheme) for key, scheme in zip(channels, schemes, strict=True)]
    return chosen, [False if key in choice.schemes else mask for key, mask in zip(channels, masks, strict=True)]
