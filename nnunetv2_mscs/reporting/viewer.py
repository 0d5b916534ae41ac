"""All slices of a case in two small pictures, which the page of `mscs predict` shows one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from nnunetv2_mscs.reporting.colours import PREDICTION, rgb
from nnunetv2_mscs.reporting.layers import contour_overlay, enlarged
from nnunetv2_mscs.reporting.panels import Crop, SheetCase, draw_panel, head_crop, panel_size
from nnunetv2_mscs.reporting.pictures import grey_webp, png
from nnunetv2_mscs.scans.channels import ADC, DWI

MOST_BYTES, MOST_CHANNELS = 140_000, 2
# Height of a slice in pixels and quality of the picture, the best first: the first that is small enough is taken.
CHOICES = ((256, 75), (224, 60), (192, 45), (144, 40), (96, 35))
# A picture of a head takes more, so that larger ones need not be tried.
LEAST_BYTES_PER_PIXEL = 0.03
# The small picture has 0.79 to 0.86 of the quick one's bytes in phantoms: no picture comes down to this share.
LEAST_OF_QUICK = 0.6


@dataclass(frozen=True)
class SliceSprites:
    """The slices of a case as tiles, row by row: those of the first channel, then those of the second.

    Args:
        images: WebP of the channels.
        contours: PNG of the mask's contours, transparent elsewhere, once for each slice.
        layout: what the page needs to find a slice in them.
    """

    images: bytes
    contours: bytes
    layout: dict[str, Any]


def draw_slices(case: SheetCase) -> SliceSprites:
    """Draw a case with a predicted mask: DWI and ADC, or the first two channels; axial slices with head or mask."""
    assert case.prediction is not None
    head = case.head
    crop = head_crop(case, head)
    slices = [int(index) for index in np.flatnonzero((head | case.prediction).any(axis=(1, 2)))]
    slices = slices or list(range(len(head)))
    channels = sorted(case.channels, key=lambda name: (name != DWI, name != ADC))[:MOST_CHANNELS]
    columns = int(np.ceil(np.sqrt(len(slices) * len(channels))))
    for height, quality in CHOICES:
        size = panel_size(case, crop, height)
        count = len(slices) * len(channels)
        if count * size[0] * size[1] * LEAST_BYTES_PER_PIXEL > MOST_BYTES and height > CHOICES[-1][0]:
            continue
        tiles = [draw_panel(case, name, index, crop, size) for name in channels for index in slices]
        picture, is_last = Image.fromarray(_tiled(tiles, columns)[..., 0]), height == CHOICES[-1][0]
        if len(grey_webp(picture, quality=quality, quick=True)) * LEAST_OF_QUICK > MOST_BYTES and not is_last:
            continue
        images = grey_webp(picture, quality=quality)
        if len(images) > MOST_BYTES and not is_last:
            continue
        contours = _contours(case, slices, crop, size, columns)
        if len(images) + len(contours) <= MOST_BYTES:
            break
    area = [int(case.prediction[index].sum()) for index in slices]
    layout = {
        "channels": channels,
        "slices": slices,
        "columns": columns,
        "tile": [size[1], size[0]],
        "start": int(np.argmax(area)) if any(area) else len(slices) // 2,
        "oriented": case.oriented,
    }
    return SliceSprites(images, contours, layout)


def _tiled(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Tiles (H, W, C) in rows of so many columns; black after the last."""
    blank = [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    padded = [*tiles, *blank]
    return np.concatenate([np.concatenate(padded[i : i + columns], axis=1) for i in range(0, len(padded), columns)])


def _contours(case: SheetCase, slices: Sequence[int], crop: Crop, size: tuple[int, int], columns: int) -> bytes:
    assert case.prediction is not None
    drawn = [contour_overlay(None, enlarged(case.prediction[index][crop], size))[..., 3:] > 0 for index in slices]
    image = Image.fromarray(_tiled(drawn, columns)[..., 0].astype(np.uint8))
    image.putpalette([0, 0, 0, *rgb(PREDICTION)])
    image.info["transparency"] = 0
    return png(image)
