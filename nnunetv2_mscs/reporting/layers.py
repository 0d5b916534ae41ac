"""Masks as layers of colour: areas of exactly their voxels, and lines exactly along the voxels' edges."""

import numpy as np
from PIL import Image
from scipy import ndimage

from nnunetv2_mscs.reporting.colours import FALSE_NEGATIVE, FALSE_POSITIVE, PREDICTION, TRUE_POSITIVE, TRUTH, rgb

OPACITY = 0.8
ALL_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def error_overlay(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """True positives, false positives and false negatives in their colours; nothing elsewhere.

    Args:
        truth: boolean mask of any shape.
        prediction: likewise.

    Returns:
        (..., 4) uint8: red, green, blue, alpha.
    """
    return (
        mask_overlay(truth & prediction, TRUE_POSITIVE)
        + mask_overlay(prediction & ~truth, FALSE_POSITIVE)
        + mask_overlay(truth & ~prediction, FALSE_NEGATIVE)
    )


def mask_overlay(mask: np.ndarray, colour: str) -> np.ndarray:
    """Exactly the voxels of a boolean mask in a colour; nothing elsewhere. (..., 4) uint8 as `error_overlay`."""
    layer = np.zeros((*mask.shape, 4), dtype=np.uint8)
    layer[mask] = (*rgb(colour), round(255 * OPACITY))
    return layer


def contour_overlay(truth: np.ndarray | None, prediction: np.ndarray | None, *, width: int = 1) -> np.ndarray:
    """Lines along the masks' edges: the truth's just outside of it, the prediction's just inside.

    So both lines are seen side by side where the two masks end at the same edge.

    Args:
        truth: boolean mask at the picture's own resolution, (H, W).
        prediction: likewise.
        width: of the lines in pixels.

    Returns:
        (H, W, 4) uint8: red, green, blue, alpha.
    """
    given = next(mask for mask in (truth, prediction) if mask is not None)
    layer = np.zeros((*given.shape, 4), dtype=np.uint8)
    if prediction is not None:
        kept = ndimage.binary_erosion(prediction, ALL_NEIGHBOURS, iterations=width, border_value=1)
        layer[prediction & ~kept] = (*rgb(PREDICTION), 255)
    if truth is not None:
        grown = ndimage.binary_dilation(truth, ALL_NEIGHBOURS, iterations=width)
        layer[grown & ~truth] = (*rgb(TRUTH), 255)
    return layer


def enlarged(voxels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A slice of voxels (Y, X, ...) at a picture's resolution (H, W), each voxel a rectangle of its own."""
    rows, columns = (np.repeat(np.arange(n), np.diff(edges(n, m))) for n, m in zip(voxels.shape, size, strict=False))
    return voxels[np.ix_(rows, columns)]


def edges(voxels: int, pixels: int) -> np.ndarray:
    """The edges of the voxels of a row in pixels, (voxels + 1,)."""
    return np.rint(np.arange(voxels + 1) * (pixels / voxels)).astype(int)


def grey(image: np.ndarray, low: float, high: float, size: tuple[int, int], *, smooth: bool = True) -> np.ndarray:
    """A slice (Y, X) as grey values (H, W, 3) uint8, black at `low` and white at `high`, interpolated if `smooth`."""
    scaled = np.clip((image.astype(np.float32) - low) * (255 / (high - low)), 0, 255)
    if smooth:
        interpolated = Image.fromarray(scaled).resize((size[1], size[0]), Image.Resampling.BICUBIC)
        values = np.asarray(interpolated)
    else:
        values = enlarged(scaled, size)
    return np.repeat(np.rint(np.clip(values, 0, 255)).astype(np.uint8)[..., None], 3, axis=-1)


def laid_over(picture: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """A layer (H, W, 4) over a picture (H, W, 3), uint8."""
    alpha = layer[..., 3:].astype(np.float32) / 255
    return np.rint(picture * (1 - alpha) + layer[..., :3] * alpha).astype(np.uint8)
