"""The original's intensity scaling as a normalization that nnU-Net finds by name."""

import numpy as np
from nnunetv2.preprocessing.normalization.default_normalization_schemes import ImageNormalization


class SliceMinMaxNormalization(ImageNormalization):
    """Each slice of each channel from its own minimum and maximum to [0, 1]: (v - min) / (max - min).

    A slice is what lies along the first axis, in the plans of an import the z axis. Constant slices become 0, and so do
    voxels that are not finite.

    Note:
        The original scales the whole image; nnU-Net first crops to the voxels that are not 0 in all channels. Zeros
        that were cut off would have counted. Where zeros are left outside the mask (`seg` is negative there), some
        were cut off, and 0 takes part in every slice's minimum and maximum: what lies inside the crop then is what the
        original computes, provided that every slice had such zeros. If the crop is filled to its last voxel, this
        cannot be known, and 0 takes no part. What lies outside the crop is 0 to the network, in the original
        -min / (max - min): the same unless the slice holds negative values.
    """

    leaves_pixels_outside_mask_at_zero_if_use_mask_for_norm_is_true = False

    def run(self, image: np.ndarray, seg: np.ndarray | None = None) -> np.ndarray:
        """Image and seg (Z, Y, X) -> image of the same shape in [0, 1]."""
        image = np.asarray(image, dtype=np.float64)  # float32 loses the range of large values
        finite = np.isfinite(image)
        in_slice = tuple(range(1, image.ndim))
        zeros_cut_off = seg is not None and bool((np.asarray(seg) < 0).any())
        lowest = image.min(in_slice, keepdims=True, where=finite, initial=0 if zeros_cut_off else np.inf)
        highest = image.max(in_slice, keepdims=True, where=finite, initial=0 if zeros_cut_off else -np.inf)
        span = highest - lowest
        scaled = np.zeros_like(image)
        with np.errstate(invalid="ignore"):  # of slices without any finite voxel, which stay 0
            np.divide(image - lowest, span, out=scaled, where=finite & (span > 0))
        return scaled.astype(self.target_dtype)
