"""What an expert would outline: where the DWI visibly rises above what the same tissue would be without the lesion."""

import numpy as np
from scipy import ndimage

Array = np.ndarray
LEAST_FRACTION, LEAST_RATIO, LEAST_NOISE = 0.3, 1.12, 1.0


def outline(fraction: Array, dwi: Array, healthy: Array, noise: float) -> Array:
    """The label (slice, row, column), bool.

    Args:
        fraction: of lesion in the voxel.
        dwi: signal without noise.
        healthy: the same without the lesion.
        noise: standard deviation in the DWI's unit.
    """
    smooth_dwi, smooth_healthy = (ndimage.gaussian_filter(x, (0, 0.6, 0.6)) for x in (dwi, healthy))
    rise = smooth_dwi - smooth_healthy
    label = (fraction > LEAST_FRACTION) & (rise > (LEAST_RATIO - 1) * smooth_healthy) & (rise > LEAST_NOISE * noise)
    return np.stack([ndimage.binary_fill_holes(one) for one in label])
