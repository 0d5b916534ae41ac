"""MSCS-Net's architecture from the plans' U-Net."""

import copy

import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.planning.topology import mscs_architecture, paper_architecture, stored_architecture

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
    assert arguments["decoder_features_per_stage"] == [24, 48, 48, 64]
    assert arguments["dmsa_width_multiple"] == 8
    network = get_network_from_plans(
        architecture["network_class_name"], arguments, architecture["_kw_requires_import"], 2, 2, deep_supervision=True
    )
    assert [tuple(level.shape[2:]) for level in network(torch.rand(1, 2, 16, 64, 64))] == [
        (16, 64, 64),
        (16, 32, 32),
        (16, 16, 16),
    ]


@pytest.mark.parametrize(
    ("patch", "strides"),
    [
        ((16, 64, 64), [[1, 2, 2], [1, 2, 2], [2, 2, 2]]),
        ((2, 32, 32), [[1, 2, 2], [1, 2, 2]]),
        ((1, 16, 16), [[1, 2, 2], [1, 2, 2]]),
        ((6, 32, 16), [[1, 2, 2], [2, 2, 1]]),
        ((16, 64, 64), [[2, 2, 2]] * 4),
    ],
)
@pytest.mark.parametrize("design", [mscs_architecture, paper_architecture])
def test_no_tap_sees_padding_alone(patch, strides, design):
    """A tap that only ever multiplies padding has a gradient of exactly 0; the paper's network has millions of them."""
    unet = copy.deepcopy(UNET)
    unet["arch_kwargs"] |= {"strides": [[1, 1, 1], *strides], "kernel_sizes": [[3, 3, 3]] * (len(strides) + 1)}
    unet["arch_kwargs"] |= {"norm_op": None, "norm_op_kwargs": None}
    architecture = design(unet, patch)
    narrow = [4] * (len(strides) + 1)
    architecture["arch_kwargs"] |= {
        "features_per_stage": narrow,
        "decoder_features_per_stage": narrow,
        "dropout": 0.0,
    }
    torch.manual_seed(0)
    network = get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        2,
        2,
        deep_supervision=True,
    )
    network.apply(_without_dead_units)
    sum(level.square().mean() for level in network(torch.randn(8, 2, *patch))).backward()
    for name, parameter in network.named_parameters():
        if parameter.ndim == 5:
            assert (parameter.grad != 0).flatten(2).any(1).any(0).all(), name


def _without_dead_units(module: torch.nn.Module) -> None:
    """A ReLU whose input is negative everywhere would hide taps that do see voxels."""
    if isinstance(module, torch.nn.Conv3d) and module.bias is not None:
        torch.nn.init.constant_(module.bias, 0.1)


def test_a_kernel_of_1_stays_1_in_all_three_scales():
    dmsa = paper_architecture(UNET, (16, 64, 64))["arch_kwargs"]["dmsa_kernel_sizes"]
    assert dmsa[1] == [[1, 3, 3], [1, 5, 5], [1, 7, 7]]
    assert dmsa[2] == [[3, 3, 3], [5, 5, 5], [7, 7, 7]]


def test_planned_kernels_are_multi_scale_in_plane():
    dmsa = mscs_architecture(UNET, (16, 64, 64))["arch_kwargs"]["dmsa_kernel_sizes"]
    assert dmsa[1] == [[1, 3, 3], [1, 5, 5], [1, 7, 7]]
    assert dmsa[2] == [[3, 3, 3], [3, 5, 5], [3, 7, 7]]


def test_width_doubles_up_to_the_cap():
    unet = copy.deepcopy(UNET)
    unet["arch_kwargs"] |= {"strides": [1] + [2] * 6, "kernel_sizes": [3] * 7}
    below = {3: [16, 32, 64] + [128] * 3, 2: [16, 32, 64, 128, 256, 256]}
    for n_axes, widths in below.items():
        patch = (256,) * n_axes
        planned = mscs_architecture(unet, patch)["arch_kwargs"]
        assert planned["features_per_stage"] == [8, *widths]
        assert planned["decoder_features_per_stage"] == [24, 48, 48, *widths[2:]]
        assert paper_architecture(unet, patch)["arch_kwargs"]["features_per_stage"] == [8, *widths]


def test_mscs_net_is_left_as_it_is():
    architecture = mscs_architecture(UNET, (16, 64, 64))
    assert mscs_architecture(architecture, (16, 64, 64)) is architecture


def test_a_network_without_strides_is_refused_by_name():
    primus = {"network_class_name": "architectures.Primus", "arch_kwargs": {"embed_dim": 8}, "_kw_requires_import": []}
    with pytest.raises(MscsError, match=r"architectures\.Primus gives no strides, kernel_sizes"):
        mscs_architecture(primus, (16, 64, 64))


@pytest.mark.parametrize("patch", [(16, 64, 64), (2, 16, 16)])
def test_the_papers_design_is_found_again_in_a_plan_of_mscs_net(patch):
    paper = paper_architecture(UNET, patch)
    assert paper_architecture(mscs_architecture(UNET, patch), patch) == paper
    assert paper_architecture(paper, patch) is paper


def test_a_models_plans_decide_on_its_network():
    """Models trained before the design changed have nnU-Net's network in their plans, and were built as the paper's."""
    planned, paper = mscs_architecture(UNET, (16, 64, 64)), paper_architecture(UNET, (16, 64, 64))
    assert stored_architecture(UNET, (16, 64, 64)) == paper
    assert stored_architecture(planned, (16, 64, 64)) is planned
    assert stored_architecture(paper, (16, 64, 64)) is paper


@pytest.mark.parametrize("regions", [False, True])
def test_heads_start_at_the_prior_where_classes_exclude_each_other(regions):
    architecture = mscs_architecture(UNET, (16, 64, 64), regions=regions)
    network = get_network_from_plans(
        architecture["network_class_name"], architecture["arch_kwargs"], architecture["_kw_requires_import"], 2, 3
    )
    for head in network.decoder.seg_layers:
        probabilities = torch.softmax(head.bias.detach(), 0)
        lesion = probabilities[1:] / (probabilities[0] + probabilities[1:])
        torch.testing.assert_close(lesion, torch.full((2,), 0.5 if regions else 0.01))
