"""The grey window of a scan: which value is drawn black and which white, with a text that says so."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nnunetv2_mscs.scans.channels import ADC, DWI
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.units import SCALED, find_adc_unit, head_mask

ADC_WINDOW = (0.0, 2500.0)  # 10^-6 mm2/s
BRIGHTEST_PERCENTILE, DARKEST_PERCENTILE = 99.7, 1.0
ADC_TEXT = f"{ADC_WINDOW[0]:.0f} to {ADC_WINDOW[1]:.0f} x 10⁻⁶ mm²/s"


@dataclass(frozen=True)
class Window:
    """Values drawn from black to white.

    Values up to `low` are black, from `high` on white; `text` says so to the reader, with the unit or the rule.
    """

    low: float
    high: float
    text: str


def fixed_adc_window() -> Window:
    """0 to 2500, for maps in 10^-6 mm2/s."""
    return Window(*ADC_WINDOW, ADC_TEXT)


def percentile_window(image: np.ndarray, *, from_zero: bool, of_head: bool = True) -> Window:
    """A window up to the 99.7th percentile, from 0 (for a DWI) or from the first percentile.

    Args:
        image: (Z, Y, X), finite.
        from_zero: black is 0.
        of_head: take the percentiles over the head's voxels instead of all.
    """
    head = head_mask(image) if of_head else np.ones_like(image, dtype=bool)
    inside = image[head] if head.any() else image.ravel()
    low = 0.0 if from_zero else float(np.percentile(inside, DARKEST_PERCENTILE))
    high = float(np.percentile(inside, BRIGHTEST_PERCENTILE))
    high = high if high > low else low + 1
    place = "head" if of_head else "volume"
    start = "0" if from_zero else f"{low:.4g} (percentile {DARKEST_PERCENTILE:g})"
    return Window(low, high, f"{start} to {high:.4g} (percentile {BRIGHTEST_PERCENTILE:g} of the {place})")


def choose_windows(
    channels: Mapping[str, np.ndarray], *, normalised: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, Window]]:
    """The channels with the ADC in 10^-6 mm2/s where its unit is known, and a window for each.

    Args:
        channels: (Z, Y, X) by name, finite.
        normalised: the values come from nnU-Net's preprocessing and have no unit.
    """
    images, windows = dict(channels), {}
    for name, image in channels.items():
        if normalised:
            window = percentile_window(image, from_zero=False, of_head=False)
            windows[name] = Window(window.low, window.high, f"normalised by nnU-Net, {window.text}")
        elif name == ADC:
            images[name], windows[name] = _adc(image, channels.get(DWI))
        else:
            windows[name] = percentile_window(image, from_zero=name == DWI or bool(image.min() >= 0))
    return images, windows


def _adc(adc: np.ndarray, dwi: np.ndarray | None) -> tuple[np.ndarray, Window]:
    try:
        unit = find_adc_unit(adc, dwi)
    except ScanError:
        window = percentile_window(adc, from_zero=False)
        return adc, Window(window.low, window.high, f"unit not recognised, {window.text}")
    if unit.name == SCALED:
        return adc, Window(0.0, 1.0, "0 to 1 (scaled, without unit)")
    return adc * np.float32(unit.factor), fixed_adc_window()
