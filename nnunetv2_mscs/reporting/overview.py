"""One picture of several cases: one row per case, each with some slices of its scan and masks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from nnunetv2_mscs.reporting.colours import BLACK, GREY, WHITE
from nnunetv2_mscs.reporting.lettering import font, write_lines
from nnunetv2_mscs.reporting.panels import (
    CONTOURS,
    PREDICTION_LAYER,
    TRUTH_LAYER,
    SheetCase,
    draw_panel,
    head_crop,
    panel_size,
)
from nnunetv2_mscs.reporting.slices import choose_slices
from nnunetv2_mscs.scans.channels import ADC, DWI

GAP, LEFT, TOP = 6, 170, 56


class OverviewRow(NamedTuple):
    """A case of the picture.

    Args:
        title: written beside it, several lines.
        case: to draw.
        panels: from left to right, each a channel, the index of a slice and a layer of masks (see `draw_panel`).
    """

    title: str
    case: SheetCase
    panels: list[tuple[str, int, str]]


def result_row(title: str, case: SheetCase) -> OverviewRow:
    """DWI, ADC, truth and prediction on one slice: with the largest true area, else the largest predicted one."""
    assert case.truth is not None
    mask = case.truth if case.truth.any() else case.prediction
    (index,) = choose_slices(mask, None, case.head, count=1).indices
    shown = ((DWI, ""), (ADC, ""), (DWI, TRUTH_LAYER), (DWI, PREDICTION_LAYER))
    return OverviewRow(title, case, [(channel, index, layer) for channel, layer in shown])


def slices_row(title: str, case: SheetCase, *, slices: int) -> OverviewRow:
    """Some slices of the DWI, then the same of the ADC, with the contour of the true lesion."""
    indices = choose_slices(case.truth, None, case.head, count=slices).indices
    return OverviewRow(title, case, [(channel, index, CONTOURS) for channel in (DWI, ADC) for index in indices])


def draw_overview(
    rows: Sequence[OverviewRow], *, height: int, title: str = "", headings: Sequence[str] = ()
) -> Image.Image:
    """Draw the rows below each other, in radiological view: the patient's right is on the left.

    All rows have as many panels; `height` is that of a panel in pixels. The headings stand above the columns.
    """
    drawn = [[Image.fromarray(panel) for panel in _panels(row, height)] for row in rows]
    width = max(panel.width for row in drawn for panel in row)
    columns, header = max(len(row) for row in drawn), TOP if title or headings else GAP
    image = Image.new("RGB", (LEFT + columns * (width + GAP), header + len(rows) * (height + GAP)), BLACK)
    draw, small = ImageDraw.Draw(image), font(13)
    draw.text((image.width / 2, 8), title, font=font(16), fill=WHITE, anchor="ma")
    for i, heading in enumerate(headings):
        draw.text((LEFT + i * (width + GAP) + width / 2, header - 6), heading, font=small, fill=WHITE, anchor="ms")
    for i, (row, panels) in enumerate(zip(rows, drawn, strict=True)):
        top = header + i * (height + GAP)
        write_lines(draw, (GAP, top), row.title.split("\n"), small, WHITE)
        for j, panel in enumerate(panels):
            image.paste(panel, (LEFT + j * (width + GAP) + (width - panel.width) // 2, top))
        for letter, x in (("R", LEFT + 3), ("L", LEFT + width - 12)):
            draw.text((x, top + height / 2), letter, font=small, fill=GREY, anchor="lm")
    return image


def _panels(row: OverviewRow, height: int) -> list[np.ndarray]:
    crop = head_crop(row.case, row.case.head)
    size = panel_size(row.case, crop, height)
    return [draw_panel(row.case, channel, z, crop, size, layer=layer) for channel, z, layer in row.panels]
