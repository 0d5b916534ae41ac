"""How `MSCSPlanner` normalises a data set: by schemes of its own for ADC and DWI, or by nnU-Net's rules, and why."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from nnunetv2_mscs.planning.normalization import ADCNormalization, DWINormalization
from nnunetv2_mscs.scans.channels import ADC, DWI
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.units import TO_MICRO

SCHEMES = {ADC.casefold(): ADCNormalization.__name__, DWI.casefold(): DWINormalization.__name__}
# Medians of lesions: from severe cytotoxic oedema to free water. The units lie three decades apart.
PLAUSIBLE_LESION_MM2_PER_S = (0.1e-3, 3.0e-3)


class Choice(NamedTuple):
    """The channels that one of our schemes normalises (key in dataset.json -> scheme), and the reason in words."""

    schemes: dict[str, str]
    reason: str


NNUNETS_RULES = Choice({}, "normalisation: by nnU-Net's rules")


def choose_schemes(
    channels: Mapping[str, str],
    lesions: Mapping[str, Mapping[str, float]],
    images: Callable[[str], Iterable[tuple[str, np.ndarray]]],
) -> Choice:
    """Our schemes for channels called ADC or DWI in any case; nnU-Net's if there are none, or the ADC is in no unit.

    Args:
        channels: names by key, as in dataset.json.
        lesions: by key, nnU-Net's fingerprint of the voxels with a label: `median`, `max` and others.
        images: gives some images of a channel, as (case, (Z, Y, X)); preprocessing must not refuse them later.
    """
    schemes = {key: SCHEMES[name.casefold()] for key, name in channels.items() if name.casefold() in SCHEMES}
    if not schemes:
        return NNUNETS_RULES
    words = []
    for key, scheme in schemes.items():
        if scheme == ADCNormalization.__name__:
            values = lesions.get(key, {})
            unit = unit_of_lesions(values)
            obstacle = _without_unit(channels[key], values) if unit is None else _refusal(images(key))
            if obstacle:
                return Choice({}, f"{NNUNETS_RULES.reason}, because {obstacle}")
            words.append(f"{channels[key]} by its unit (lesions are in {unit})")
        else:
            words.append(f"{channels[key]} by the median of its parenchyma")
    others = ["the others by nnU-Net's rules"] if len(words) < len(channels) else []
    return Choice(schemes, f"normalisation: {', '.join(words + others)}")


def unit_of_lesions(lesions: Mapping[str, float]) -> str | None:
    """The unit of an ADC, a key of `scans.units.TO_MICRO`, from the median and the maximum of its lesions; or None.

    Maps scaled to [0, 1] would pass for 10^-3 mm2/s; but there some voxel of a lesion exceeds 1.
    """
    median, most = _median_and_most(lesions)
    low, high = PLAUSIBLE_LESION_MM2_PER_S
    for name, factor in TO_MICRO.items():
        if low * 1e6 <= median * factor <= high * 1e6:
            return None if name == "10^-3 mm2/s" and most <= 1 + 1e-4 else name
    return None


def _median_and_most(lesions: Mapping[str, float]) -> tuple[float, float]:
    return float(lesions.get("median", np.nan)), float(lesions.get("max", np.nan))


def _without_unit(channel: str, lesions: Mapping[str, float]) -> str:
    median, most = _median_and_most(lesions)
    if not np.isfinite([median, most]).all():
        return f"the data set's fingerprint has no {channel} of lesions"
    return f"the {channel} of the lesions (median {median:.3g}, at most {most:.3g}) is in no unit of diffusivity"


def _refusal(images: Iterable[tuple[str, np.ndarray]]) -> str:
    """Why preprocessing would refuse one of these ADC images, or ""."""
    normalise = ADCNormalization(use_mask_for_norm=False, intensityproperties={})
    for case, image in images:
        try:
            normalise.run(image)
        except ScanError as error:
            return f"preprocessing would refuse {case} ({error.finding})"
    return ""
