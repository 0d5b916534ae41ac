"""How much lesion a mask holds, and in how many pieces."""

import numpy as np
from scipy import ndimage

TOUCHING_BY_CORNER = np.ones((3, 3, 3), dtype=bool)


def lesion_volume_ml(labels: np.ndarray, voxel_volume_ml: float) -> float:
    """Volume of all labels above 0, in mL."""
    return int(np.count_nonzero(labels)) * voxel_volume_ml


def pieces_of(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of its piece for each voxel above 0 (0 for the others), and how many voxels each number has."""
    pieces, count = ndimage.label(labels > 0, structure=TOUCHING_BY_CORNER)
    return pieces, np.bincount(pieces.ravel(), minlength=count + 1)


def lesions_of(labels: np.ndarray, voxel_volume_ml: float) -> tuple[float, ...]:
    """The volume of each piece of the labels above 0 in mL, the largest first."""
    _, sizes = pieces_of(labels)
    return tuple(float(size * voxel_volume_ml) for size in sorted(sizes[1:], reverse=True))


def count_pieces(labels: np.ndarray) -> int:
    """Connected pieces of all labels above 0, (Z, Y, X), where voxels that share a corner touch (26-connectivity)."""
    foreground = labels > 0
    boxes = ndimage.find_objects(foreground.astype(np.uint8))
    if not boxes:
        return 0
    return int(ndimage.label(foreground[boxes[0]], structure=TOUCHING_BY_CORNER)[1])


def without_small(labels: np.ndarray, min_lesion_ml: float, voxel_volume_ml: float) -> np.ndarray:
    """The labels without pieces of less than a volume."""
    if min_lesion_ml <= 0 or not labels.any():
        return labels
    pieces, sizes = pieces_of(labels)
    is_small = sizes * voxel_volume_ml < min_lesion_ml
    return np.where(is_small[pieces], 0, labels).astype(labels.dtype)
