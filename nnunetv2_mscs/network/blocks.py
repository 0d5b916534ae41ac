"""The building blocks of MSCS-Net, for two and three space axes.

Source of every formula: Zaman et al., "MSCS-Net: A deep learning framework for accurate segmentation of low-resolution
stroke lesions", Measurement (2025) 118925. Shapes are (N, C, *space) with two or three space axes throughout.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

ConvOp = Callable[..., nn.Module]  # nn.Conv2d or nn.Conv3d
NormFactory = Callable[[int], nn.Module]
Kernel = Sequence[int]

he_uniform = partial(nn.init.kaiming_uniform_, nonlinearity="relu")
glorot_uniform = nn.init.xavier_uniform_

TRANSPOSED: dict[ConvOp, Callable[..., nn.Module]] = {nn.Conv2d: nn.ConvTranspose2d, nn.Conv3d: nn.ConvTranspose3d}
MAX_POOL: dict[ConvOp, type[nn.Module]] = {nn.Conv2d: nn.MaxPool2d, nn.Conv3d: nn.MaxPool3d}

NONLINEARITIES: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "leaky_relu": partial(nn.LeakyReLU, 0.01, inplace=True),
}


def initialised(conv: nn.Module, initialise: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    """The convolution with its weight drawn anew and its bias 0."""
    for name, parameter in conv.named_parameters():
        if name == "bias":
            nn.init.zeros_(parameter)
        else:
            initialise(parameter)
    return conv


class SameConv(nn.Module):
    """Convolution whose output has `size / stride` voxels along each axis, padded as Keras pads 'same'.

    An axis of n voxels (n divisible by the stride s) needs k - s voxels of zero padding for kernel width k; the smaller
    half goes before. With k = 3 and s = 2 that is (0, 1), where `padding=1` of PyTorch would be (1, 1): the same shape,
    sampled one voxel off.

    Args:
        conv_op: nn.Conv2d or nn.Conv3d.
        initialise: in-place initialiser of the weight; the bias starts at 0.
    """

    def __init__(
        self,
        conv_op: ConvOp,
        in_channels: int,
        out_channels: int,
        kernel: Kernel,
        *,
        stride: Sequence[int] | int = 1,
        bias: bool = True,
        initialise: Callable[[torch.Tensor], torch.Tensor] = he_uniform,
    ):
        super().__init__()
        strides = [stride] * len(kernel) if isinstance(stride, int) else stride
        total = [max(k - s, 0) for k, s in zip(kernel, strides, strict=True)]
        symmetric = all(pad % 2 == 0 for pad in total)
        self.outer_padding = (
            None if symmetric else [side for pad in reversed(total) for side in (pad // 2, pad - pad // 2)]
        )
        conv = conv_op(
            in_channels,
            out_channels,
            tuple(kernel),
            stride=tuple(strides),
            padding=tuple(pad // 2 for pad in total) if symmetric else 0,
            bias=bias,
        )
        self.conv = initialised(conv, initialise)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x if self.outer_padding is None else F.pad(x, self.outer_padding))


class CBS(nn.Module):
    """Conv (bias), norm, SiLU. Stage i of the encoder begins with one, carrying that stage's stride."""

    def __init__(
        self,
        conv_op: ConvOp,
        in_channels: int,
        out_channels: int,
        kernel: Kernel,
        stride: Sequence[int],
        norm: NormFactory,
    ):
        super().__init__()
        self.conv = SameConv(conv_op, in_channels, out_channels, kernel, stride=stride)
        self.norm = norm(out_channels)
        self.nonlin = nn.SiLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.nonlin(self.norm(self.conv(x)))


class ConvNorm(nn.Module):
    """Conv without bias, norm, ReLU."""

    def __init__(
        self,
        conv_op: ConvOp,
        in_channels: int,
        out_channels: int,
        kernel: Kernel,
        norm: NormFactory,
    ):
        super().__init__()
        self.conv = SameConv(conv_op, in_channels, out_channels, kernel, bias=False)
        self.norm = norm(out_channels)
        self.nonlin = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.nonlin(self.norm(self.conv(x)))


class ShiftOnlyNorm(nn.Module):
    """A norm without parameters, then a learned shift a channel: no scale exists to be counted or trained."""

    def __init__(self, norm: nn.Module, channels: int, n_axes: int):
        super().__init__()
        self.norm = norm
        self.shift = nn.Parameter(torch.zeros(channels, *[1] * n_axes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(x)
        return x + self.shift.to(x.dtype)


class DCA(nn.Module):
    """Deep Contextual Attention: a channel gate and a spatial gate side by side, both in (0, 1).

    channel gate: global average -> 1x1x1 conv to C // 5 -> ReLU -> 1x1x1 conv to C -> sigmoid, shape (N, C, 1, ...)
    spatial gate: [max, mean] over the channels -> conv to 1 -> sigmoid, shape (N, 1, *space)
    output = x * channel gate + x * spatial gate
    """

    REDUCTION = 5

    def __init__(self, conv_op: ConvOp, channels: int, kernel: Kernel):
        super().__init__()
        one = [1] * len(kernel)
        squeezed = max(channels // self.REDUCTION, 1)
        self.squeeze = SameConv(conv_op, channels, squeezed, one, initialise=glorot_uniform)
        self.excite = SameConv(conv_op, squeezed, channels, one, initialise=glorot_uniform)
        self.spatial = SameConv(conv_op, 2, 1, kernel, initialise=glorot_uniform)
        self.space_axes = tuple(range(2, 2 + len(kernel)))

    def channel_gate(self, x: torch.Tensor) -> torch.Tensor:
        average = x.mean(self.space_axes, keepdim=True)
        return torch.sigmoid(self.excite(F.relu(self.squeeze(average))))

    def spatial_gate(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.spatial(torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (self.channel_gate(x) + self.spatial_gate(x))


class DMSA(nn.Module):
    """Deep Multi-Scale Attention of width U: (N, C, *space) -> (N, 3 W, *space) with W = int(1.67 U), rounded down.

    Three ConvNorm in series, of growing kernels, see ever larger neighbourhoods; their concatenation passes DCA, meets
    a 1x1x1 shortcut of the input, and is normalised.

    Args:
        kernels: the three kernels, smallest first; the paper's are 3, 5 and 7 along every axis.
        gate_kernel: kernel of the spatial gate, 3 in the paper.
        norm: norm of the sum, always with its own parameters.
        inner_norm: norm of the four ConvNorm; in the paper it learns a shift alone (`ShiftOnlyNorm`).
        width_multiple: what W is a multiple of, 1 in the paper.
    """

    EXPANSION = 1.67

    def __init__(
        self,
        conv_op: ConvOp,
        in_channels: int,
        features: int,
        kernels: Sequence[Kernel],
        gate_kernel: Kernel,
        norm: NormFactory,
        inner_norm: NormFactory,
        width_multiple: int = 1,
    ):
        super().__init__()
        width = max(int(self.EXPANSION * features) // width_multiple, 1) * width_multiple
        self.out_channels = 3 * width
        conv_norm = partial(ConvNorm, conv_op, norm=inner_norm)
        self.scales = nn.ModuleList(
            conv_norm(in_channels if i == 0 else width, width, kernel) for i, kernel in enumerate(kernels)
        )
        self.shortcut = conv_norm(in_channels, self.out_channels, [1] * len(gate_kernel))
        self.attention = DCA(conv_op, self.out_channels, gate_kernel)
        self.norm = norm(self.out_channels)
        self.nonlin = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scales = []
        scale = x
        for conv_norm in self.scales:
            scale = conv_norm(scale)
            scales.append(scale)
        return self.nonlin(self.norm(self.shortcut(x) + self.attention(torch.cat(scales, 1))))


class SPPF(nn.Module):
    """Spatial Pyramid Pooling: (N, C, *space) -> (N, 4 f, *space).

    a = LeakyReLU(norm(conv 1x1x1)); the maxima of a over 3, 5 and 7 voxels a side are set beside it. Each pool runs
    on the one before (3 of 3 is 5, 3 of 5 is 7), and what lies outside the image counts as -inf, never as 0.
    """

    NEGATIVE_SLOPE = 0.2

    def __init__(self, conv_op: ConvOp, in_channels: int, features: int, n_axes: int, norm: NormFactory):
        super().__init__()
        one = [1] * n_axes
        self.out_channels = 4 * features
        self.reduce = SameConv(conv_op, in_channels, features, one, initialise=glorot_uniform)
        self.reduce_norm = norm(features)
        self.reduce_nonlin = nn.LeakyReLU(self.NEGATIVE_SLOPE, inplace=True)
        self.pool = MAX_POOL[conv_op](3, stride=1, padding=1)
        self.merge = SameConv(conv_op, self.out_channels, self.out_channels, one, initialise=glorot_uniform)
        self.merge_norm = norm(self.out_channels)
        self.merge_nonlin = nn.SiLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        levels = [self.reduce_nonlin(self.reduce_norm(self.reduce(x)))]
        for _ in range(3):
            levels.append(self.pool(levels[-1]))
        return self.merge_nonlin(self.merge_norm(self.merge(torch.cat(levels, 1))))


@dataclass(frozen=True)
class DecoderDesign:
    """What the decoder's blocks are made of.

    Attributes:
        norm: makes the norm behind each conv; None leaves the norms out, as in the paper.
        nonlin: "relu", the paper's, or "leaky_relu", which passes a gradient on at negative values.
        dropout: probability between the two convs.
    """

    norm: NormFactory | None = None
    nonlin: str = "relu"
    dropout: float = 0.3


class DecoderBlock(nn.Sequential):
    """Conv, norm, nonlinearity, dropout, conv, norm, nonlinearity. Without a norm the convs have a bias."""

    def __init__(
        self, conv_op: ConvOp, in_channels: int, features: int, kernel: Kernel, design: DecoderDesign | None = None
    ):
        design = design or DecoderDesign()

        def convolution(channels: int) -> list[nn.Module]:
            conv = SameConv(conv_op, channels, features, kernel, bias=design.norm is None)
            norm = [design.norm(features)] if design.norm is not None else []
            return [conv, *norm, NONLINEARITIES[design.nonlin]()]

        super().__init__(*convolution(in_channels), nn.Dropout(design.dropout), *convolution(features))


def upsampling(conv_op: ConvOp, in_channels: int, features: int, stride: Sequence[int]) -> nn.Module:
    """Transposed convolution whose kernel is its stride: every voxel becomes a block of `stride` voxels."""
    return initialised(TRANSPOSED[conv_op](in_channels, features, tuple(stride), stride=tuple(stride)), glorot_uniform)


def pointwise(conv_op: ConvOp, in_channels: int, out_channels: int) -> nn.Module:
    """1x1x1 convolution to the classes: a segmentation head."""
    return initialised(conv_op(in_channels, out_channels, 1), glorot_uniform)
