"""The memory estimate against nnU-Net's own budget, and against what PyTorch itself keeps."""

from functools import partial

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn

from nnunetv2_mscs.network import MSCSNet
from nnunetv2_mscs.network.topology import features_of_stages
from nnunetv2_mscs.planning.memory import ACTIVATION_FACTOR, GIGABYTE, training_memory

UNET = partial(
    PlainConvUNet,
    n_conv_per_stage=2,
    num_classes=3,
    n_conv_per_stage_decoder=2,
    conv_bias=True,
    norm_op_kwargs={"eps": 1e-5, "affine": True},
    nonlin=nn.LeakyReLU,
    nonlin_kwargs={"inplace": True},
    deep_supervision=True,
)


@pytest.mark.parametrize("axes", [2, 3])
def test_nnunets_own_network_gets_the_memory_that_nnunet_grants_it(axes):
    """nnU-Net grants 8 GB to 560 million feature map values at batch 2 (3D) and to 85 million at batch 12 (2D)."""
    if axes == 3:
        features, norm, conv = (32, 64, 128, 256, 320, 320), nn.InstanceNorm3d, nn.Conv3d
        patch, batch, reference = (128, 128, 128), 2, 560e6
    else:
        features, norm, conv = (32, 64, 128, 256, 512, 512, 512), nn.InstanceNorm2d, nn.Conv2d
        patch, batch, reference = (512, 512), 12, 85e6
    stages = len(features)
    build = partial(UNET, 1, stages, features, conv, 3, (1, *(2,) * (stages - 1)), norm_op=norm)
    granted = 8 * build().compute_conv_feature_map_size(patch) / reference
    estimated = training_memory(build, 1, patch).at_batch_size(batch) / GIGABYTE
    assert estimated == pytest.approx(granted, rel=0.1)


def test_counted_bytes_are_what_a_real_step_keeps():
    """A real forward pass in float32 keeps twice the bytes of the estimate's half precision."""
    build = partial(MSCSNet, 2, 2, [1, 2, 2], [3, 3, 3], features_of_stages(3, 8), deep_supervision=True)
    patch = (16, 32, 32)
    kept: dict[int, torch.Tensor] = {}
    network = build().train()
    weights = {p.data_ptr() for p in network.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(torch.rand(1, 2, *patch))
    real = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    assert output
    estimated = training_memory(build, 2, patch).per_sample / ACTIVATION_FACTOR
    assert estimated == pytest.approx(real / 2, rel=0.1)


def test_batch_size_that_fits():
    memory = training_memory(partial(MSCSNet, 2, 2, [1, 2], [3, 3], [2, 4]), 2, (8, 8, 8))
    available = memory.fixed + 3.5 * memory.per_sample
    assert memory.largest_batch_size(available) == 3
    assert memory.largest_batch_size(memory.fixed / 2) == 0
    assert memory.at_batch_size(3) < available < memory.at_batch_size(4)
