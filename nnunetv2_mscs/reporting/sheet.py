"""The sheet of a case: slices through the lesion with the masks, and all that is needed to read them printed on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from nnunetv2_mscs.reporting.colours import FALSE_NEGATIVE, FALSE_POSITIVE, PREDICTION, TRUE_POSITIVE, TRUTH
from nnunetv2_mscs.reporting.layers import contour_overlay, enlarged, error_overlay, grey, laid_over
from nnunetv2_mscs.reporting.lettering import font, line_height, shortened, wrapped, write_lines
from nnunetv2_mscs.reporting.slices import ShownSlices, choose_slices
from nnunetv2_mscs.reporting.windows import Window
from nnunetv2_mscs.scans.channels import DWI
from nnunetv2_mscs.scans.units import head_mask

CONTOURS, ERRORS = "contours", "errors"
SLICES, PANEL_HEIGHT = 6, 250
MARGIN, GAP, LEFT, HEADING = 14, 8, 128, 24
SMALLEST_WIDTH = 900
HEAD_MARGIN_MM = 12.0
SCALE_BARS_MM = (50, 20, 10, 5)
BLACK, WHITE, GREY = "#000000", "#ffffff", "#a0a0a0"


@dataclass(frozen=True)
class SheetCase:
    """What a sheet shows. Arrays are (Z, Y, X): slices from the feet up, rows from the front, columns from the right.

    Args:
        name: the case identifier.
        channels: images by name, finite; without any the masks are drawn on black.
        windows: one for each channel.
        spacing_mm: (z, y, x).
        truth: boolean mask, or None if there is none.
        prediction: likewise.
        label: what the masks are of.
        facts: a line below the name, such as metrics.
        positions_mm: of the slices' centres along the patient's axis, upwards; None if unknown.
        oriented: left and right are known.
        measured: the spacing is known.
        notes: sentences for the reader, such as that an image is missing.
    """

    name: str
    channels: Mapping[str, np.ndarray]
    windows: Mapping[str, Window]
    spacing_mm: tuple[float, float, float]
    truth: np.ndarray | None = None
    prediction: np.ndarray | None = None
    label: str = "lesion"
    facts: str = ""
    positions_mm: tuple[float, ...] | None = None
    oriented: bool = True
    measured: bool = True
    notes: tuple[str, ...] = ()

    @property
    def background(self) -> str | None:
        """The channel that masks are laid over: the DWI, where there is one."""
        return DWI if DWI in self.channels else next(iter(self.channels), None)

    @property
    def head(self) -> np.ndarray:
        """Tissue apart from air, (Z, Y, X) boolean; without an image the whole volume."""
        if self.background is not None:
            return head_mask(self.channels[self.background])
        given = next(mask for mask in (self.truth, self.prediction) if mask is not None)
        return np.ones_like(given)


@dataclass(frozen=True)
class Sheet:
    """A sheet as drawn.

    Args:
        image: RGB.
        shown: the slices and why.
        panels: (left, top, right, bottom) in pixels by row (a channel's name, "contours" or "errors") and slice.
    """

    image: Image.Image
    shown: ShownSlices
    panels: dict[tuple[str, int], tuple[int, int, int, int]] = field(default_factory=dict)


def draw_sheet(
    case: SheetCase, *, slices: int = SLICES, panel_height: int = PANEL_HEIGHT, smooth: bool = True
) -> Sheet:
    """Draw a case: a column a slice; a row a channel, a row with the masks' contours, and one with the errors.

    The slice with most false voxels and that with the largest true area are always among them, the others lie evenly
    over the slices with a mask. Images are interpolated unless `smooth` is false; masks never are.

    Args:
        case: what to show.
        slices: how many at most.
        panel_height: of a slice in pixels.
        smooth: interpolate the images.
    """
    head = case.head
    shown = choose_slices(case.truth, case.prediction, head, count=slices)
    crop = _crop(case, head)
    size = _panel_size(case, crop, panel_height)
    rows = _rows(case)
    width = max(LEFT + len(shown.indices) * (size[1] + GAP) + MARGIN, SMALLEST_WIDTH)
    header, footer = _header(case, width), _footer(case, shown, rows, width)
    top = MARGIN + header.height + HEADING
    image = Image.new("RGB", (width, top + len(rows) * (size[0] + GAP) + MARGIN + footer.height + MARGIN), BLACK)
    image.paste(header, (MARGIN, MARGIN))
    image.paste(footer, (MARGIN, image.height - footer.height - MARGIN))
    panels = {}
    for i, row in enumerate(rows):
        for j, index in enumerate(shown.indices):
            left, upper = LEFT + j * (size[1] + GAP), top + i * (size[0] + GAP)
            panels[row, index] = (left, upper, left + size[1], upper + size[0])
            image.paste(Image.fromarray(_panel(case, row, index, crop, size, smooth)), (left, upper))
    _write_headings(image, case, shown, size[1], top)
    _write_rows(image, case, rows, size[0], top)
    _draw_scale(image, case, crop, size, top)
    return Sheet(image, shown, panels)


def draw_thumbnail(case: SheetCase, *, height: int = 120) -> Image.Image:
    """One slice without text, with the sheet's colours: that with the most false voxels, or the largest mask."""
    head = case.head
    shown = choose_slices(case.truth, case.prediction, head, count=1)
    crop = _crop(case, head)
    row = [row for row in _rows(case) if row in (CONTOURS, ERRORS, case.background)][-1]
    panel = _panel(case, row, shown.indices[0], crop, _panel_size(case, crop, height), True)
    return Image.fromarray(panel)


def _rows(case: SheetCase) -> list[str]:
    """DWI first, then the other channels, then the masks."""
    channels = sorted(case.channels, key=lambda name: name != DWI)
    masks = [] if case.truth is None and case.prediction is None else [CONTOURS]
    return channels + masks + ([ERRORS] if case.truth is not None and case.prediction is not None else [])


def _crop(case: SheetCase, head: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that hold the head and all of the masks, with a margin."""
    bounds = []
    for axis, size in ((1, head.shape[1]), (2, head.shape[2])):
        profile = head.sum(axis=tuple({0, 1, 2} - {axis}))
        held = profile > 0.01 * profile.max()
        for mask in (case.truth, case.prediction):
            if mask is not None:
                held = held | mask.any(axis=tuple({0, 1, 2} - {axis}))
        inside = np.flatnonzero(held) if held.any() else np.arange(size)
        margin = round(HEAD_MARGIN_MM / case.spacing_mm[axis])
        low, high = inside[0] - margin, inside[-1] + 1 + margin
        bounds.append(slice(max(int(low), 0), min(int(high), size)))
    return bounds[0], bounds[1]


def _panel_size(case: SheetCase, crop: tuple[slice, slice], height: int) -> tuple[int, int]:
    """(H, W) of a slice in pixels, in the proportions of the patient."""
    rows, columns = (part.stop - part.start for part in crop)
    width = height * (columns * case.spacing_mm[2]) / (rows * case.spacing_mm[1])
    return height, max(round(width), 1)


def _panel(
    case: SheetCase, row: str, index: int, crop: tuple[slice, slice], size: tuple[int, int], smooth: bool
) -> np.ndarray:
    """One slice of one row, (H, W, 3) uint8."""
    name = case.background if row in (CONTOURS, ERRORS) else row
    image = np.zeros((*size, 3), dtype=np.uint8)
    if name is not None:
        window = case.windows[name]
        image = grey(case.channels[name][index][crop], window.low, window.high, size, smooth=smooth)
    truth, prediction = (None if mask is None else mask[index][crop] for mask in (case.truth, case.prediction))
    if row == ERRORS and truth is not None and prediction is not None:
        return laid_over(image, enlarged(error_overlay(truth, prediction), size))
    if row == CONTOURS:
        large = [None if mask is None else enlarged(mask, size) for mask in (truth, prediction)]
        voxel = size[0] / (crop[0].stop - crop[0].start)
        return laid_over(image, contour_overlay(*large, width=1 if voxel < 4 else 2))
    return image


def _header(case: SheetCase, width: int) -> Image.Image:
    """Name and facts."""
    title, text = font(19, bold=True), font(13)
    facts = wrapped(case.facts, text, width - 2 * MARGIN) if case.facts else []
    image = Image.new("RGB", (width - 2 * MARGIN, line_height(title) + len(facts) * line_height(text) + 4), BLACK)
    draw = ImageDraw.Draw(image)
    draw.text((0, 0), shortened(case.name, title, image.width), font=title, fill=WHITE)
    write_lines(draw, (0, line_height(title)), facts, text, WHITE)
    return image


def _write_headings(image: Image.Image, case: SheetCase, shown: ShownSlices, width: int, top: int) -> None:
    """Above each column: left and right, the slice, and what is special about it."""
    draw, face, small = ImageDraw.Draw(image), font(12), font(11)
    for j, index in enumerate(shown.indices):
        left = LEFT + j * (width + GAP)
        if case.oriented:
            draw.text((left + 2, top - 4), "R", font=font(12, bold=True), fill=GREY, anchor="ls")
            draw.text((left + width - 2, top - 4), "L", font=font(12, bold=True), fill=GREY, anchor="rs")
        text = f"z {index}"
        if case.positions_mm is not None:
            text += f", {case.positions_mm[index]:+.0f} mm"
        mark = shown.marks.get(index)
        if mark and face.getlength(f"{text}: {mark}") < width - 36:
            text = f"{text}: {mark}"
        elif mark:
            draw.text((left + width / 2, top - 18), mark, font=small, fill=WHITE, anchor="ms")
        draw.text((left + width / 2, top - 4), text, font=face, fill=WHITE if mark else GREY, anchor="ms")


def _write_rows(image: Image.Image, case: SheetCase, rows: list[str], height: int, top: int) -> None:
    """Beside each row: the channel with its window, or what the masks' colours mean."""
    draw = ImageDraw.Draw(image)
    bold, small = font(14, bold=True), font(11)
    for i, row in enumerate(rows):
        y: float = top + i * (height + GAP) + 2
        heading = f"{case.background}, {row}" if case.background and row in (CONTOURS, ERRORS) else row
        y = write_lines(draw, (MARGIN, y), wrapped(heading, bold, LEFT - MARGIN - 6), bold, WHITE)
        if row in case.windows:
            write_lines(draw, (MARGIN, y), wrapped(case.windows[row].text, small, LEFT - MARGIN - 6), small, GREY)
        for colour, text, filled in _legend(case, row):
            box = (MARGIN, y + 4, MARGIN + 11, y + 15)
            draw.rectangle(box, fill=colour if filled else None, outline=colour, width=2)
            y = write_lines(draw, (MARGIN + 18, y + 1), wrapped(text, small, LEFT - MARGIN - 24), small, WHITE) + 2


def _legend(case: SheetCase, row: str) -> list[tuple[str, str, bool]]:
    """Colour, meaning, and whether it fills, of what is drawn in a row of masks."""
    if row == ERRORS:
        return [
            (TRUE_POSITIVE, "true positive", True),
            (FALSE_POSITIVE, "false positive", True),
            (FALSE_NEGATIVE, "false negative", True),
        ]
    if row == CONTOURS:
        given = ((TRUTH, "truth", case.truth), (PREDICTION, "prediction", case.prediction))
        return [(colour, text, False) for colour, text, mask in given if mask is not None]
    return []


def _draw_scale(
    image: Image.Image, case: SheetCase, crop: tuple[slice, slice], size: tuple[int, int], top: int
) -> None:
    """A bar of a round length in mm, at the foot of the first row."""
    if not case.measured:
        return
    pixels_per_mm = size[0] / ((crop[0].stop - crop[0].start) * case.spacing_mm[1])
    room = LEFT - MARGIN - 16
    length = next((mm for mm in SCALE_BARS_MM if mm * pixels_per_mm <= room), None)
    if length is None:
        return
    draw, y = ImageDraw.Draw(image), top + size[0] - 8
    end = MARGIN + round(length * pixels_per_mm)
    draw.rectangle((MARGIN, y, end - 1, y + 2), fill=WHITE)
    draw.text((MARGIN, y - 4), f"{length} mm", font=font(12), fill=WHITE, anchor="ls")


def _footer(case: SheetCase, shown: ShownSlices, rows: list[str], width: int) -> Image.Image:
    """The rules of the picture, in sentences."""
    z, y, x = (f"{s:.3g}" for s in case.spacing_mm)
    numbers = f"z counts slices from 0, {'upwards' if case.oriented else 'in their order in the file'}"
    if case.positions_mm is not None:
        numbers += "; mm are the scanner's coordinate along the patient's axis, upwards"
    sentences = [
        shown.rule,
        f"{numbers}.",
        "Radiological view: the patient's right (R) is on the left."
        if case.oriented
        else "Left and right are not known: the file records no orientation.",
        f"Voxels of {x} x {y} x {z} mm (x, y, z)." if case.measured else "The voxel size is not known: no scale.",
    ]
    if CONTOURS in rows:
        where = {
            (True, True): "the truth's just outside of them, the prediction's just inside",
            (True, False): "just outside of them",
            (False, True): "just inside of them",
        }[case.truth is not None, case.prediction is not None]
        sentences.append(f"Images are interpolated, masks are not. Contours follow the edges of the voxels, {where}.")
    face = font(11)
    lines = wrapped(" ".join([*sentences, *case.notes]), face, width - 2 * MARGIN)
    image = Image.new("RGB", (width - 2 * MARGIN, len(lines) * line_height(face)), BLACK)
    write_lines(ImageDraw.Draw(image), (0, 0), lines, face, GREY)
    return image
