"""One picture of several cases: DWI, ADC, true and predicted lesion, on the slice where the lesion is largest."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnunetv2_mscs.reporting.colours import PREDICTION, TRUTH
from nnunetv2_mscs.reporting.windows import ADC_WINDOW, BRIGHTEST_PERCENTILE
from nnunetv2_mscs.workplace.whole_files import whole_file

COLUMNS = ("DWI", "ADC", "truth", "prediction")
INCHES_A_PANEL = 2.3


@dataclass(frozen=True)
class Case:
    """A scan with its masks; arrays are (z, y, x) as nnU-Net reads them, in LPS order.

    Args:
        title: written beside the case, several lines.
        dwi: in any unit.
        adc: in 10^-6 mm2/s.
        truth: boolean mask.
        prediction: boolean mask.
        spacing_mm: (z, y, x).
    """

    title: str
    dwi: np.ndarray
    adc: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    spacing_mm: tuple[float, float, float]


def slice_to_show(case: Case) -> int:
    """The slice with most of the true lesion; without one most of the predicted lesion; else the middle one."""
    for mask in (case.truth, case.prediction):
        if mask.any():
            return int(mask.sum(axis=(1, 2)).argmax())
    return len(case.truth) // 2


def draw_overview(cases: Sequence[Case], file: Path, *, title: str) -> None:
    """Write the picture as PNG, a row a case; whole or not at all.

    The ADC window is fixed (0 to 2500 10^-6 mm2/s), the DWI's ends at its 99.7th percentile. Radiological view: the
    patient's right is on the left.
    """
    rows, columns = len(cases), len(COLUMNS)
    height = INCHES_A_PANEL * max(case.dwi.shape[1] * case.spacing_mm[1] for case in cases)
    height /= max(case.dwi.shape[2] * case.spacing_mm[2] for case in cases)
    figure = Figure(figsize=(INCHES_A_PANEL * columns + 1.7, height * rows + 0.75), facecolor="black")
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(
        left=1.7 / figure.get_figwidth(),
        right=1,
        bottom=0,
        top=1 - 0.75 / figure.get_figheight(),
        wspace=0.02,
        hspace=0.02,
    )
    figure.suptitle(title, color="white", fontsize=11, y=1 - 0.12 / figure.get_figheight(), va="top")
    for row, case in zip(grid, cases, strict=True):
        _draw_case(row, case)
    for axes, column in zip(grid[0], COLUMNS, strict=True):
        colour = {"truth": TRUTH, "prediction": PREDICTION}.get(column, "white")
        heading = f"ADC, {ADC_WINDOW[0]:.0f} to {ADC_WINDOW[1] / 1000:g} x 10⁻³ mm²/s" if column == "ADC" else column
        axes.set_title(heading, color=colour, fontsize=9, pad=4)
    with whole_file(file) as unfinished:
        figure.savefig(unfinished, format="png", dpi=110, facecolor="black")


def _draw_case(row: Sequence[Axes], case: Case) -> None:
    z = slice_to_show(case)
    dwi, adc = case.dwi[z], case.adc[z]
    brightest = float(np.percentile(case.dwi, BRIGHTEST_PERCENTILE))
    extent = (0.0, dwi.shape[1] * case.spacing_mm[2], dwi.shape[0] * case.spacing_mm[1], 0.0)
    for axes, column in zip(row, COLUMNS, strict=True):
        axes.set_axis_off()
        image, window = (adc, ADC_WINDOW) if column == "ADC" else (dwi, (0.0, brightest))
        axes.imshow(image, cmap="gray", vmin=window[0], vmax=window[1], extent=extent, interpolation="nearest")
        if column in ("truth", "prediction"):
            mask = case.truth[z] if column == "truth" else case.prediction[z]
            colour = TRUTH if column == "truth" else PREDICTION
            _fill(axes, mask, colour, extent)
    row[0].text(-0.04, 0.5, case.title, color="white", fontsize=9, ha="right", va="center", transform=row[0].transAxes)
    for axes, letter, place in ((row[0], "R", 0.03), (row[0], "L", 0.97)):
        axes.text(place, 0.5, letter, color="gray", fontsize=8, ha="center", va="center", transform=axes.transAxes)


def _fill(axes: Axes, mask: np.ndarray, colour: str, extent: tuple[float, float, float, float]) -> None:
    """Colour exactly the voxels of the mask, so that the DWI shines through."""
    overlay = np.zeros((*mask.shape, 4))
    overlay[mask] = matplotlib.colors.to_rgba(colour, 0.65)
    axes.imshow(overlay, extent=extent, interpolation="nearest")
