"""The decoder of MSCS-Net: from the bottleneck back to the image, with a segmentation head on every stage."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from nnunetv2_mscs.network.blocks import DecoderBlock, DecoderDesign, pointwise, upsampling
from nnunetv2_mscs.network.encoder import MSCSEncoder
from nnunetv2_mscs.network.topology import Topology


class MSCSDecoder(nn.Module):
    """A block at every stage, joined by transposed convolutions, with a segmentation head on each but the lowest.

    The heads always exist, so that a checkpoint fits with deep supervision on and off. `stages`, `upsampling` and
    `seg_layers` are in order of computation, lowest resolution first.
    """

    def __init__(
        self, encoder: MSCSEncoder, num_classes: int, topology: Topology, design: DecoderDesign, deep_supervision: bool
    ):
        super().__init__()
        conv_op, features, skip_channels = topology.conv_op, topology.decoder_features, encoder.skip_channels
        kernels = topology.decoder_kernel_sizes
        below = encoder.pyramid.out_channels + skip_channels[-1]
        self.bottleneck = DecoderBlock(conv_op, below, features[-1], kernels[-1], design)
        self.upsampling = nn.ModuleList()
        self.stages = nn.ModuleList()
        self.seg_layers = nn.ModuleList()
        for stage in reversed(range(len(features) - 1)):
            width, stride = features[stage], topology.strides[stage + 1]
            self.upsampling.append(upsampling(conv_op, features[stage + 1], width, stride))
            joined = width + skip_channels[stage]
            self.stages.append(DecoderBlock(conv_op, joined, width, kernels[stage], design))
            self.seg_layers.append(pointwise(conv_op, width, num_classes))
        self._frozen: list[nn.Parameter] = []
        self.deep_supervision = deep_supervision

    def start_at(self, prior: float) -> None:
        """Set the heads' biases so that every foreground class begins with that probability against background."""
        for head in self.seg_layers:
            nn.init.constant_(head.bias[1:], math.log(prior / (1 - prior)))  # type: ignore[union-attr, index]

    @property
    def deep_supervision(self) -> bool:
        """Whether every head speaks. While it is off the lower heads are frozen: they take no part in the output, and
        DistributedDataParallel would wait for their gradients in vain. What was frozen before stays so."""
        return self._deep_supervision

    @deep_supervision.setter
    def deep_supervision(self, enabled: bool) -> None:
        self._deep_supervision = enabled
        if not enabled:
            self._frozen += [p for p in self.seg_layers[:-1].parameters() if p.requires_grad]
        for parameter in self._frozen:
            parameter.requires_grad_(enabled)
        if enabled:
            self._frozen = []

    def forward(self, skips: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Skips and bottleneck -> logits (N, classes, *space), or a list of them, highest resolution first."""
        x = self.bottleneck(torch.cat([x, skips[-1]], 1))
        outputs = []
        for upsample, stage, head, skip in zip(
            self.upsampling, self.stages, self.seg_layers, reversed(skips[:-1]), strict=True
        ):
            x = stage(torch.cat([upsample(x), skip], 1))
            if self._deep_supervision:
                outputs.append(head(x))
        return outputs[::-1] if self._deep_supervision else self.seg_layers[-1](x)
