"""MSCS-Net's architecture from the plans' U-Net."""

import copy

import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.planning import mscs_architecture

STRIDES = [[1, 1, 1], [1, 2, 2], [1, 2, 2], [2, 2, 2]]
UNET = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": 4,
        "features_per_stage": [32, 64, 128, 256],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[1, 3, 3], [1, 3, 3], [3, 3, 3], [3, 3, 3]],
        "strides": STRIDES,
        "norm_op": "torch.nn.modules.batchnorm.BatchNorm3d",
        "norm_op_kwargs": {"eps": 1e-3, "affine": True},
        "nonlin": "torch.nn.LeakyReLU",
    },
    "_kw_requires_import": ["conv_op", "norm_op", "nonlin"],
}


def taps_into_padding(kernels: list[list[int]], sizes: list[int]) -> bool:
    """Whether some tap of some kernel lies outside the feature map wherever the kernel is put."""
    return any(width // 2 > n - 1 for kernel in kernels for width, n in zip(kernel, sizes, strict=True))


def test_strides_kernels_norm_and_conv_are_the_plans():
    unchanged = copy.deepcopy(UNET)
    architecture = mscs_architecture(UNET, (16, 64, 64))
    assert unchanged == UNET
    arguments = architecture["arch_kwargs"]
    assert arguments["strides"] == STRIDES
    assert arguments["kernel_sizes"] == UNET["arch_kwargs"]["kernel_sizes"]
    assert arguments["norm_op"] == "torch.nn.modules.batchnorm.BatchNorm3d"
    assert arguments["norm_op_kwargs"] == {"eps": 1e-3, "affine": True}
    assert arguments["features_per_stage"] == [8, 16, 32, 64]
    network = get_network_from_plans(
        architecture["network_class_name"], arguments, architecture["_kw_requires_import"], 2, 2, deep_supervision=True
    )
    assert [tuple(level.shape[2:]) for level in network(torch.rand(1, 2, 16, 64, 64))] == [
        (16, 64, 64),
        (16, 32, 32),
        (16, 16, 16),
    ]


@pytest.mark.parametrize("patch", [(16, 64, 64), (2, 64, 64), (1, 16, 16), (6, 32, 16)])
def test_no_tap_sees_padding_alone(patch):
    unet = copy.deepcopy(UNET)
    unet["arch_kwargs"]["strides"] = [[1, 1, 1], [1, 2, 2], [1, 2, 2]]
    unet["arch_kwargs"]["kernel_sizes"] = [[3, 3, 3]] * 3
    arguments = mscs_architecture(unet, patch)["arch_kwargs"]
    sizes = [[patch[0], patch[1] // 2**stage, patch[2] // 2**stage] for stage in range(3)]
    for stage, size in enumerate(sizes):
        assert not taps_into_padding(arguments["dmsa_kernel_sizes"][stage], size)
        assert not taps_into_padding([arguments["kernel_sizes"][stage]], sizes[max(stage - 1, 0)])
    assert arguments["dmsa_kernel_sizes"][1][2] == [min(7, 2 * n - 1) for n in sizes[1]]


def test_a_kernel_of_1_stays_1_in_all_three_scales():
    dmsa = mscs_architecture(UNET, (16, 64, 64))["arch_kwargs"]["dmsa_kernel_sizes"]
    assert dmsa[1] == [[1, 3, 3], [1, 5, 5], [1, 7, 7]]
    assert dmsa[2] == [[3, 3, 3], [5, 5, 5], [7, 7, 7]]


def test_width_doubles_up_to_the_cap():
    unet = copy.deepcopy(UNET)
    unet["arch_kwargs"] |= {"strides": [1] + [2] * 6, "kernel_sizes": [3] * 7}
    assert mscs_architecture(unet, (256, 256, 256))["arch_kwargs"]["features_per_stage"] == [8, 16, 32, 64] + [128] * 3
    assert mscs_architecture(unet, (256, 256))["arch_kwargs"]["features_per_stage"] == [8, 16, 32, 64, 128, 256, 256]


def test_mscs_net_is_left_as_it_is():
    architecture = mscs_architecture(UNET, (16, 64, 64))
    assert mscs_architecture(architecture, (16, 64, 64)) is architecture


def test_a_network_without_strides_is_refused_by_name():
    primus = {"network_class_name": "architectures.Primus", "arch_kwargs": {"embed_dim": 8}, "_kw_requires_import": []}
    with pytest.raises(MscsError, match=r"architectures\.Primus gives no strides, kernel_sizes"):
        mscs_architecture(primus, (16, 64, 64))
