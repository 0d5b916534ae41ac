"""The sheet of a case: slices through the lesion with the masks, and all that is needed to read them printed on it."""

from dataclasses import dataclass, field

from PIL import Image, ImageDraw

from nnunetv2_mscs.reporting.colours import (
    BLACK,
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    GREY,
    PREDICTION,
    TRUE_POSITIVE,
    TRUTH,
    WHITE,
)
from nnunetv2_mscs.reporting.lettering import font, line_height, shortened, wrapped, write_lines
from nnunetv2_mscs.reporting.panels import CONTOURS, ERRORS, Crop, SheetCase, draw_panel, head_crop, panel_size
from nnunetv2_mscs.reporting.slices import ShownSlices, choose_slices
from nnunetv2_mscs.scans.channels import DWI

SLICES, PANEL_HEIGHT = 6, 250
MARGIN, GAP, LEFT, HEADING = 14, 8, 128, 24
SMALLEST_WIDTH = 900
SCALE_BARS_MM = (50, 20, 10, 5)


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
    """Draw a case: one column per slice; one row per channel, one with the masks' contours, and one with the errors.

    The slice with most false voxels and the slice with the largest true area are always shown; the others lie evenly
    over the slices with a mask. Images are interpolated unless `smooth` is false; masks never are.
    """
    head = case.head
    shown = choose_slices(case.truth, case.prediction, head, count=slices)
    crop = head_crop(case, head)
    size = panel_size(case, crop, panel_height)
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
            image.paste(_panel(case, row, index, crop, size, smooth=smooth), (left, upper))
    _write_headings(image, case, shown, size[1], top)
    _write_rows(image, case, rows, size[0], top)
    _draw_scale(image, case, crop, size, top)
    return Sheet(image, shown, panels)


def draw_thumbnail(case: SheetCase, *, height: int = 120) -> Image.Image:
    """One slice without text, with the sheet's colours: that with the most false voxels, or the largest mask."""
    head = case.head
    shown = choose_slices(case.truth, case.prediction, head, count=1)
    crop = head_crop(case, head)
    row = [row for row in _rows(case) if row in (CONTOURS, ERRORS, case.background)][-1]
    return _panel(case, row, shown.indices[0], crop, panel_size(case, crop, height))


def _rows(case: SheetCase) -> list[str]:
    """DWI first, then the other channels, then the masks."""
    channels = sorted(case.channels, key=lambda name: name != DWI)
    masks = [] if case.truth is None and case.prediction is None else [CONTOURS]
    return channels + masks + ([ERRORS] if case.truth is not None and case.prediction is not None else [])


def _panel(
    case: SheetCase, row: str, index: int, crop: Crop, size: tuple[int, int], *, smooth: bool = True
) -> Image.Image:
    """One slice of one row."""
    masks = row in (CONTOURS, ERRORS)
    channel = case.background if masks else row
    layer = row if masks else ""
    return Image.fromarray(draw_panel(case, channel, index, crop, size, layer=layer, smooth=smooth))


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
    """Above each column: left and right, the number of the slice, and why it was chosen."""
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
    """Beside each row: the channel with its window, or the meaning of the masks' colours."""
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
    """The colours of a row of masks: each with its meaning, and whether it fills an area."""
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


def _draw_scale(image: Image.Image, case: SheetCase, crop: Crop, size: tuple[int, int], top: int) -> None:
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
