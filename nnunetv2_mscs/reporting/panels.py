"""A scan and its masks, and how one slice of them is drawn: the part that all pictures of scans have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnunetv2_mscs.reporting.colours import PREDICTION, TRUTH
from nnunetv2_mscs.reporting.layers import contour_overlay, enlarged, error_overlay, grey, laid_over, mask_overlay
from nnunetv2_mscs.reporting.windows import Window, choose_windows
from nnunetv2_mscs.scans.channels import DWI
from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.units import head_mask

# The layers that can be laid over a channel.
CONTOURS, ERRORS, TRUTH_LAYER, PREDICTION_LAYER = "contours", "errors", "truth", "prediction"
HEAD_MARGIN_MM = 12.0
Crop = tuple[slice, slice]


@dataclass(frozen=True)
class SheetCase:
    """A case to be drawn. Arrays are (Z, Y, X): slices from the feet up, rows from the front, columns from the right.

    Args:
        name: the case identifier.
        channels: images by name, finite; without any the masks are drawn on black.
        windows: one for each channel.
        spacing_mm: (z, y, x).
        truth: boolean mask, or None if there is none.
        prediction: likewise.
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


def case_on_grid(
    name: str, channels: Mapping[str, np.ndarray], grid: Grid, *, normalised: bool = False, **fields: Any
) -> SheetCase:
    """A case on a grid along the patient's axes, with a window for each channel.

    `channels` and `normalised` are as in `choose_windows`; `fields` are the other fields of `SheetCase`.
    """
    images, windows = choose_windows(channels, normalised=normalised)
    x, y, z = grid.spacing
    return SheetCase(name, images, windows, (z, y, x), **fields)


def head_crop(case: SheetCase, head: np.ndarray) -> Crop:
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


def panel_size(case: SheetCase, crop: Crop, height: int) -> tuple[int, int]:
    """(H, W) of a slice in pixels, in the proportions of the patient."""
    rows, columns = (part.stop - part.start for part in crop)
    width = height * (columns * case.spacing_mm[2]) / (rows * case.spacing_mm[1])
    return height, max(round(width), 1)


def draw_panel(
    case: SheetCase,
    channel: str | None,
    index: int,
    crop: Crop,
    size: tuple[int, int],
    *,
    layer: str = "",
    smooth: bool = True,
) -> np.ndarray:
    """One slice of a channel with a layer of masks over it, (H, W, 3) uint8.

    Args:
        case: to draw.
        channel: its name; None for black.
        index: of the slice.
        crop: rows and columns to show.
        size: (H, W) in pixels.
        layer: CONTOURS, ERRORS, TRUTH_LAYER or PREDICTION_LAYER, whose masks must be there; none if empty.
        smooth: interpolate the image; masks never are.
    """
    image = np.zeros((*size, 3), dtype=np.uint8)
    if channel is not None:
        window = case.windows[channel]
        image = grey(case.channels[channel][index][crop], window.low, window.high, size, smooth=smooth)
    if not layer:
        return image
    truth, prediction = (
        None if mask is None else enlarged(mask[index][crop], size) for mask in (case.truth, case.prediction)
    )
    if layer == CONTOURS:
        voxel = size[0] / (crop[0].stop - crop[0].start)
        return laid_over(image, contour_overlay(truth, prediction, width=1 if voxel < 4 else 2))
    if layer == ERRORS and truth is not None and prediction is not None:
        return laid_over(image, error_overlay(truth, prediction))
    mask, colour = (truth, TRUTH) if layer == TRUTH_LAYER else (prediction, PREDICTION)
    return image if mask is None else laid_over(image, mask_overlay(mask, colour))
