"""nnU-Net's predictor with the slices of a 2D network in batches, and in bfloat16 where a CPU computes that fast."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian

from nnunetv2_mscs.network.precision import BFLOAT16, FLOAT32

# Slices at once: more are no faster on a CPU, and take more memory.
SLICES = 8


class InBatches(nnUNetPredictor):
    """nnUNetPredictor, whose windows of a 2D network go through it several at a time: the same windows and weights."""

    precision = FLOAT32

    def _precision(self) -> AbstractContextManager[Any]:
        if self.device.type == "cpu" and self.precision == BFLOAT16:
            return torch.autocast("cpu", torch.bfloat16)
        return nullcontext()

    def _internal_maybe_mirror_and_predict(self, x: torch.Tensor) -> torch.Tensor:
        with self._precision():
            return super()._internal_maybe_mirror_and_predict(x)

    def _internal_predict_sliding_window_return_logits(
        self, data: torch.Tensor, slicers: list[tuple], do_on_device: bool = True
    ) -> torch.Tensor:
        if len(self.configuration_manager.patch_size) == 3:
            return super()._internal_predict_sliding_window_return_logits(data, slicers, do_on_device)
        device = self.device if do_on_device else torch.device("cpu")
        data = data.to(device)
        logits = torch.zeros(
            (self.label_manager.num_segmentation_heads, *data.shape[1:]), dtype=torch.float32, device=device
        )
        weights = torch.zeros(data.shape[1:], dtype=torch.float32, device=device)
        weight = compute_gaussian(
            tuple(self.configuration_manager.patch_size),
            sigma_scale=1.0 / 8,
            value_scaling_factor=10,
            device=device,
            dtype=torch.float32,
        )
        for first in range(0, len(slicers), SLICES):
            some = slicers[first : first + SLICES]
            windows = torch.stack([data[one] for one in some]).to(self.device)
            for one, found in zip(some, self._internal_maybe_mirror_and_predict(windows), strict=True):
                logits[one] += found.to(device) * weight
                weights[one[1:]] += weight
        return logits / weights
