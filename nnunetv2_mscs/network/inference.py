"""The same network in fewer operations, for images of one size: what a trained network need not compute."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nnunetv2_mscs.network.blocks import CBS, SPPF, ConvNorm, DecoderBlock, SameConv, ShiftOnlyNorm
from nnunetv2_mscs.network.mscs_net import MSCSNet

BATCH_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


class InferenceNet(nn.Module):
    """A copy of a trained `MSCSNet` that gives the same logits for images of one size, apart from rounding.

    Taps of a kernel that see nothing but padding at this size are gone: along an axis of one voxel a kernel of 7 is one
    of 1. Each batch norm behind a convolution is part of it. Instance norms stay, because they depend on the image.

    Args:
        network: the network; it is not changed.
        size: voxels along each axis, as the network's input has them.
    """

    def __init__(self, network: MSCSNet, size: Sequence[int]):
        super().__init__()
        self.size = tuple(size)
        self.network = copy.deepcopy(network).eval()
        self.network.decoder.deep_supervision = False
        self.requires_grad_(False)
        for conv, seen in _input_sizes(self.network, self.size).items():
            drop_padding_taps(conv, seen)
        for module in self.network.modules():
            _fold_norms(module)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.jit.is_tracing() and tuple(x.shape[2:]) != self.size:
            raise ValueError(f"This network is for images of {self.size} voxels: got {tuple(x.shape[2:])}.")
        return self.network(x)


def saves_operations(network: MSCSNet, size: Sequence[int]) -> bool:
    """Whether an `InferenceNet` for images of a size has fewer operations than the network."""
    if any(isinstance(module, BATCH_NORMS) for module in network.modules()):
        return True
    convolutions: list[nn.Conv3d] = [m.conv for m in network.modules() if isinstance(m, SameConv)]  # type: ignore[misc]
    widest = np.max([conv.kernel_size for conv in convolutions], axis=0)
    smallest_map = np.array(size) // network.divisors
    if (widest // 2 < smallest_map).all():  # what follows makes PyTorch import its compiler, which takes seconds
        return False
    return any(
        _seen_taps(conv, seen) != [slice(0, width) for width in conv.conv.kernel_size]  # type: ignore[union-attr]
        for conv, seen in _input_sizes(network, size).items()
    )


def _input_sizes(network: MSCSNet, size: Sequence[int]) -> dict[SameConv, tuple[int, ...]]:
    """What each convolution sees of an image of a size, in voxels along each axis."""
    sizes: dict[SameConv, tuple[int, ...]] = {}
    convolutions = [module for module in network.modules() if isinstance(module, SameConv)]
    hooks = [
        module.register_forward_pre_hook(lambda conv, args: sizes.update({conv: tuple(args[0].shape[2:])}))
        for module in convolutions
    ]
    try:
        network.forward_without_data((1, network.input_channels, *size))
    finally:
        for hook in hooks:
            hook.remove()
    return sizes


def drop_padding_taps(same_conv: SameConv, size: Sequence[int]) -> None:
    """Cut off the outer taps of a kernel that lie in the padding at every position over an image of a size."""
    conv: nn.Conv3d = same_conv.conv  # type: ignore[assignment]
    kept = _seen_taps(same_conv, size)
    padding = []
    for taps, kernel, stride in zip(kept, conv.kernel_size, conv.stride, strict=True):
        total = max(kernel - stride, 0)
        before, beyond = total // 2, kernel - taps.stop
        padding.append((before - taps.start, max(total - before - beyond, 0)))
    all_channels = [slice(None), slice(None)]
    weight = conv.weight[tuple(all_channels + kept)]
    conv.weight = nn.Parameter(weight.clone(), requires_grad=False)
    conv.kernel_size = tuple(taps.stop - taps.start for taps in kept)  # type: ignore[assignment]
    symmetric = all(low == high for low, high in padding)
    conv.padding = tuple(low if symmetric else 0 for low, _ in padding)  # type: ignore[assignment]
    same_conv.outer_padding = None if symmetric else [side for pair in reversed(padding) for side in pair]


def _seen_taps(same_conv: SameConv, size: Sequence[int]) -> list[slice]:
    """Along each axis the taps of a kernel that lie inside the image at some position."""
    conv: nn.Conv3d = same_conv.conv  # type: ignore[assignment]
    taps = []
    for voxels, kernel, stride in zip(size, conv.kernel_size, conv.stride, strict=True):
        before = max(kernel - stride, 0) // 2
        starts = range(-before, voxels - before, stride)
        seen = [tap for tap in range(kernel) if any(0 <= start + tap < voxels for start in starts)]
        taps.append(slice(seen[0], seen[-1] + 1))
    return taps


def _fold_norms(module: nn.Module) -> None:
    """Make the batch norms behind a block's convolutions part of these."""
    if isinstance(module, (CBS, ConvNorm)):
        module.norm = _folded(module.conv, module.norm)
    elif isinstance(module, SPPF):
        module.reduce_norm = _folded(module.reduce, module.reduce_norm)
        module.merge_norm = _folded(module.merge, module.merge_norm)
    elif isinstance(module, DecoderBlock):
        for place, one in enumerate(module):
            if isinstance(one, SameConv):
                module[place + 1] = _folded(one, module[place + 1])


def _folded(same_conv: SameConv, norm: nn.Module) -> nn.Module:
    """What is left of a norm after the convolution has taken it in: nothing of a batch norm, all of any other."""
    batch_norm = norm.norm if isinstance(norm, ShiftOnlyNorm) else norm
    if not isinstance(batch_norm, BATCH_NORMS):
        return norm
    conv: nn.Conv3d = fuse_conv_bn_eval(same_conv.conv, batch_norm)  # type: ignore[type-var, assignment]
    if isinstance(norm, ShiftOnlyNorm):
        assert conv.bias is not None
        conv.bias = nn.Parameter(conv.bias + norm.shift.flatten(), requires_grad=False)
    same_conv.conv = conv
    return nn.Identity()
