"""What a network is built from: strides, kernels and widths a stage, as nnU-Net's plans describe them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from nnunetv2_mscs.network.blocks import ConvOp

PAPER_SCALES = (3, 5, 7)
N_AXES: dict[ConvOp, int] = {nn.Conv2d: 2, nn.Conv3d: 3}


def per_axis(value: int | Sequence[int], n_axes: int) -> list[int]:
    """One number for every axis, from one number for all or from one each.

    Raises:
        ValueError: if these are not `n_axes` numbers from 1.
    """
    values = [int(v) for v in value] if isinstance(value, Iterable) else [int(value)] * n_axes
    if len(values) != n_axes or min(values) < 1:
        raise ValueError(f"A stride or kernel over {n_axes} axes is {n_axes} numbers from 1: got {value}.")
    return values


def multi_scale_kernels(kernel: Sequence[int]) -> list[list[int]]:
    """The three DMSA kernels of a stage: 3, 5 and 7 along the axes in which the stage convolves, 1 along the others."""
    return [[scale if width > 1 else 1 for width in kernel] for scale in PAPER_SCALES]


def features_of_stages(n_stages: int, base_features: int, max_features: int | None = None) -> list[int]:
    """Width of every stage: half the base at stage 0, the base at stage 1, doubling from there up to a cap.

    The paper has five stages (the image and four levels), base 16: 8, 16, 32, 64, 128.
    """
    widths = [max(base_features // 2, 1), *(base_features * 2**i for i in range(n_stages - 1))]
    return widths if max_features is None else [min(width, max_features) for width in widths]


@dataclass(frozen=True)
class Topology:
    """Strides, kernels and widths per stage, stage 0 first, every stride and kernel with one number per axis.

    `features` is the width of the encoder (stage 0 has none there), `decoder_features` that of the decoder's blocks.

    Raises:
        ValueError: if these do not describe a network.
    """

    conv_op: ConvOp
    strides: list[list[int]]
    kernel_sizes: list[list[int]]
    dmsa_kernel_sizes: list[list[list[int]]]
    decoder_kernel_sizes: list[list[int]]
    features: list[int]
    decoder_features: list[int]

    def __post_init__(self):
        kernels = (self.kernel_sizes, self.dmsa_kernel_sizes, self.decoder_kernel_sizes)
        counts = [len(stages) for stages in (self.strides, *kernels, self.features, self.decoder_features)]
        if len(set(counts)) > 1 or counts[0] < 2:
            raise ValueError(
                "MSCS-Net needs at least two stages, and for each a stride, a kernel size, three DMSA kernels, a "
                f"decoder kernel and two widths: got {counts} of them."
            )
        if max(self.strides[0]) != 1:
            raise ValueError(f"Stage 0 of MSCS-Net is the image itself: its stride is 1, not {self.strides[0]}.")
        if any(len(stage) != len(PAPER_SCALES) for stage in self.dmsa_kernel_sizes):
            raise ValueError(f"A DMSA has {len(PAPER_SCALES)} kernels: got {self.dmsa_kernel_sizes}.")
        if min(*self.features, *self.decoder_features) < 1:
            raise ValueError(f"MSCS-Net's widths start at 1: got {self.features} and {self.decoder_features}.")

    @property
    def n_axes(self) -> int:
        return N_AXES[self.conv_op]

    @property
    def divisors(self) -> list[int]:
        """What the size of each axis must be divisible by."""
        return [math.prod(axis) for axis in zip(*self.strides, strict=True)]
