"""The paper's augmentation of intensities: a factor and noise, both measured on images scaled to [0, 1]."""

import torch
from batchgeneratorsv2.helpers.scalar_type import sample_scalar
from batchgeneratorsv2.transforms.base.basic_transform import ImageOnlyTransform


class FactorAndNoise(ImageOnlyTransform):
    """u -> f * u + sigma * n for u = (x - min) / (max - min), and back to the range of x.

    The paper augments min-max scaled images; so the same is done to an image however it is normalised. Minimum and
    maximum are those of each channel of the patch; n is standard normal for each voxel; f and sigma are drawn anew for
    each patch and are the same for all its channels. Nothing is clipped to [0, 1].

    Args:
        factor: range that f is drawn from, uniformly.
        noise: range that the standard deviation sigma is drawn from, uniformly. The paper says "up to 0.05".
    """

    def __init__(self, *, factor: tuple[float, float] = (0.9, 1.1), noise: tuple[float, float] = (0.0, 0.05)):
        super().__init__()
        self.factor = factor
        self.noise = noise

    def get_parameters(self, **data_dict) -> dict:
        return {"factor": sample_scalar(self.factor), "noise": sample_scalar(self.noise)}

    def _apply_to_image(self, img: torch.Tensor, **params) -> torch.Tensor:
        """(C, *space) -> (C, *space)."""
        axes = tuple(range(1, img.ndim))
        low, high = img.amin(axes, keepdim=True), img.amax(axes, keepdim=True)
        return low + params["factor"] * (img - low) + params["noise"] * (high - low) * torch.randn_like(img)
