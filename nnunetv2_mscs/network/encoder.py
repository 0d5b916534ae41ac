"""The encoder of MSCS-Net: from the image to the features of the bottleneck."""

import torch
from torch import nn

from nnunetv2_mscs.network.blocks import CBS, DMSA, SPPF, NormFactory
from nnunetv2_mscs.network.topology import Topology


class MSCSEncoder(nn.Module):
    """The image, then a CBS and a DMSA a stage, then SPPF.

    The skip connections leave from the CBS, before the DMSA of their stage. That of stage 0 is the image itself, or,
    with a stem, a CBS of the image, which the stages below then see, too.
    """

    def __init__(
        self,
        input_channels: int,
        topology: Topology,
        norm: NormFactory,
        inner_norm: NormFactory,
        stem_features: int = 0,
        dmsa_width_multiple: int = 1,
    ):
        super().__init__()
        conv_op = topology.conv_op
        self.downsampling = nn.ModuleList()
        self.attention = nn.ModuleList()
        one = [1] * topology.n_axes
        self.stem = (
            CBS(conv_op, input_channels, stem_features, topology.kernel_sizes[0], one, norm) if stem_features else None
        )
        channels = stem_features or input_channels
        self.skip_channels = [channels]
        for stage in range(1, len(topology.strides)):
            features = topology.features[stage]
            entry_features = 2 * features if stage == 1 else features
            kernel, stride = topology.kernel_sizes[stage], topology.strides[stage]
            self.downsampling.append(CBS(conv_op, channels, entry_features, kernel, stride, norm))
            kernels = topology.dmsa_kernel_sizes[stage]
            dmsa = DMSA(conv_op, entry_features, features, kernels, kernels[0], norm, inner_norm, dmsa_width_multiple)
            self.attention.append(dmsa)
            self.skip_channels.append(entry_features)
            channels = dmsa.out_channels
        self.pyramid = SPPF(conv_op, channels, 2 * topology.features[-1], topology.n_axes, norm)

    def forward(self, x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """(N, C, *space) -> the skip connections, stage 0 first, and the bottleneck's features."""
        if self.stem is not None:
            x = self.stem(x)
        skips = [x]
        for downsample, attend in zip(self.downsampling, self.attention, strict=True):
            skips.append(downsample(x))
            x = attend(skips[-1])
        return skips, self.pyramid(x)
