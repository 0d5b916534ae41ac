"""MSCSNet over topologies: shapes, deep supervision, wrong input, and the rules of nnU-Net that bind it."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from nnunetv2_mscs.network import MSCSNet
from nnunetv2_mscs.network.topology import features_of_stages, multi_scale_kernels

TOPOLOGIES = {
    "3d": (nn.Conv3d, [1, 2, 2], [3, 3, 3], (8, 12, 16)),
    "3d anisotropic": (nn.Conv3d, [1, [1, 2, 2], [1, 2, 2], 2], [[1, 3, 3], [1, 3, 3], 3, 3], (4, 16, 24)),
    "3d deep": (nn.Conv3d, [1, 2, 2, 2, 2, 2], [3] * 6, (32, 32, 64)),
    "2d": (nn.Conv2d, [1, 2, [2, 1]], [3, 3, 3], (16, 20)),
    "2d two stages": (nn.Conv2d, [1, 2], [3, 3], (8, 10)),
}


def build(name: str, input_channels: int = 2, num_classes: int = 3, **arguments) -> MSCSNet:
    conv_op, strides, kernel_sizes, _ = TOPOLOGIES[name]
    features = features_of_stages(len(strides), 4)
    return MSCSNet(input_channels, num_classes, strides, kernel_sizes, features, conv_op, **arguments)


@pytest.mark.parametrize("deep_supervision", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_output_shapes(name, channels, deep_supervision):
    _, strides, _, size = TOPOLOGIES[name]
    network = build(name, channels, deep_supervision=deep_supervision).eval()
    with torch.no_grad():
        output = network(torch.rand(2, channels, *size))
    if not deep_supervision:
        assert output.shape == (2, 3, *size)
        return
    per_axis = [[s] * len(size) if isinstance(s, int) else s for s in strides]
    expected = [
        (2, 3, *(n // math.prod(s[axis] for s in per_axis[: stage + 1]) for axis, n in enumerate(size)))
        for stage in range(len(strides) - 1)
    ]
    assert [tuple(level.shape) for level in output] == expected


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_full_resolution_output_is_the_same_with_deep_supervision(name):
    network = build(name).eval()
    image = torch.rand(1, 2, *TOPOLOGIES[name][3])
    with torch.no_grad():
        alone = network(image)
        network.decoder.deep_supervision = True
        torch.testing.assert_close(network(image)[0], alone)


def test_state_dict_fits_with_deep_supervision_on_and_off():
    on, off = build("3d", deep_supervision=True).eval(), build("3d", deep_supervision=False).eval()
    off.load_state_dict(on.state_dict())
    on.load_state_dict(off.state_dict())
    image = torch.rand(1, 2, 8, 12, 16)
    with torch.no_grad():
        torch.testing.assert_close(on(image)[0], off(image))


@pytest.mark.parametrize("deep_supervision", [False, True])
def test_every_trainable_parameter_gets_a_gradient(deep_supervision):
    network = build("3d anisotropic", deep_supervision=deep_supervision)
    outputs = network(torch.rand(1, 2, *TOPOLOGIES["3d anisotropic"][3]))
    sum(output.square().sum() for output in (outputs if deep_supervision else [outputs])).backward()
    without = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not without
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    heads = {f"decoder.seg_layers.{i}.{part}" for i in range(2) for part in ("weight", "bias")}
    assert frozen == (set() if deep_supervision else heads)


@pytest.mark.parametrize(
    "shape", [(1, 2, 9, 12, 16), (1, 2, 8, 12), (1, 3, 8, 12, 16), (2, 8, 12, 16), (1, 2, 0, 12, 16)]
)
def test_input_that_does_not_fit_is_named(shape):
    with pytest.raises(ValueError, match=r"4 \* n, 4 \* n, 4 \* n") as error:
        build("3d")(torch.rand(shape))
    assert str(tuple(shape)) in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strides": [2, 2, 2]}, "Stage 0"),
        ({"strides": [1, 2]}, "for each a stride"),
        ({"decoder_kernel_sizes": [3, 3]}, "for each a stride"),
        ({"strides": [1], "kernel_sizes": [3], "features_per_stage": [4]}, "at least two stages"),
        ({"strides": [1, [2, 2], 2]}, "3 numbers"),
        ({"dmsa_kernel_sizes": [[3, 5]] * 3}, "3 kernels"),
        ({"features_per_stage": [4, 0, 8]}, "widths"),
        ({"decoder_features_per_stage": [4, 8]}, "two widths"),
        ({"decoder_features_per_stage": [4, 8, 0]}, "widths start at 1"),
        ({"conv_op": nn.Conv1d}, "space axes"),
        ({"dropout": 1.0}, "probability"),
        ({"decoder_nonlin": "gelu"}, "relu, leaky_relu"),
        ({"stem_features": -1}, "stem"),
        ({"dmsa_width_multiple": 0}, "multiples"),
        ({"foreground_prior": 1.0}, "between 0 and 1"),
        ({"norm_op": "batch"}, "norm_op"),
        ({"norm_op": nn.InstanceNorm2d}, "InstanceNorm2d is not for the 3 space axes"),
    ],
)
def test_arguments_that_describe_no_network_are_refused(change, message):
    arguments = {"strides": [1, 2, 2], "kernel_sizes": [3, 3, 3], "features_per_stage": [2, 4, 8]} | change
    with pytest.raises(ValueError, match=message):
        MSCSNet(2, 2, **arguments)


def test_norm_width_and_dropout_are_taken_from_the_arguments():
    network = build("2d", norm_op=nn.BatchNorm2d, norm_op_kwargs={"eps": 0.5}, dropout=0.1)
    assert {m.eps for m in network.modules() if isinstance(m, nn.BatchNorm2d)} == {0.5}
    assert {m.p for m in network.modules() if isinstance(m, nn.Dropout)} == {0.1}
    assert not [m for m in build("2d", norm_op=None).modules() if isinstance(m, nn.InstanceNorm2d | nn.BatchNorm2d)]
    assert network.encoder.attention[1].out_channels == 3 * int(1.67 * 8)


def test_widths_of_dmsa_are_rounded_down_to_the_multiple():
    network = build("2d", dmsa_width_multiple=4)
    assert [dmsa.out_channels // 3 for dmsa in network.encoder.attention] == [4, 12]


PLANNED = {"decoder_norm": True, "decoder_nonlin": "leaky_relu", "stem_features": 6, "dropout": 0.0}


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_planned_decoder_has_norms_leaky_relu_and_a_stem(name):
    network = build(name, num_classes=2, foreground_prior=0.1, deep_supervision=True, **PLANNED)
    norms = (nn.InstanceNorm2d, nn.InstanceNorm3d)
    for block in [network.decoder.bottleneck, *network.decoder.stages]:
        kinds = [type(module) for module in block]
        assert sum(kind in norms for kind in kinds) == 2
        assert kinds.count(nn.LeakyReLU) == 2
        assert nn.ReLU not in kinds
    assert network.encoder.skip_channels[0] == 6
    outputs = network(torch.zeros(2, 2, *TOPOLOGIES[name][3]))
    assert tuple(outputs[0].shape[2:]) == TOPOLOGIES[name][3]
    for head in network.decoder.seg_layers:
        assert torch.softmax(head.bias, 0)[1].item() == pytest.approx(0.1)


def test_a_head_of_negative_weights_is_a_trap_over_relu_and_none_over_leaky_relu():
    """All lesion weights negative: over ReLU's features no voxel's logit exceeds the bias, whatever the image."""
    image = torch.randn(1, 2, 16, 20)
    for design, trapped in (({}, True), (PLANNED, False)):
        torch.manual_seed(0)
        network = build("2d", num_classes=2, **design).eval()
        head = network.decoder.seg_layers[-1]
        with torch.no_grad():
            head.weight[1] = head.weight[0] - head.weight[0].abs() - 0.1
            margin = network(image)[:, 1] - network(image)[:, 0]
        above_bias = bool((margin > head.bias[1] - head.bias[0] + 1e-4).any())
        assert above_bias is not trapped


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_a_decoder_can_have_widths_of_its_own(name):
    widths = [5 + stage for stage in range(len(TOPOLOGIES[name][1]))]
    network = build(name, decoder_features_per_stage=widths)
    assert [block[0].conv.out_channels for block in network.decoder.stages] == widths[-2::-1]
    assert network.decoder.bottleneck[0].conv.out_channels == widths[-1]
    assert network.encoder.skip_channels == build(name).encoder.skip_channels
    image = torch.rand(1, 2, *TOPOLOGIES[name][3])
    assert network(image).shape == (1, 3, *TOPOLOGIES[name][3])


def test_dmsa_kernels_follow_the_stage():
    assert multi_scale_kernels([1, 3, 3]) == [[1, 3, 3], [1, 5, 5], [1, 7, 7]]
    network = MSCSNet(1, 2, [1, 2], [3, 3], [2, 4], dmsa_kernel_sizes=[[1, 1, 1], [[1, 3, 3], [1, 3, 5], [3, 3, 7]]])
    kernels = [scale.conv.conv.kernel_size for scale in network.encoder.attention[0].scales]
    assert kernels == [(1, 3, 3), (1, 3, 5), (3, 3, 7)]


def test_feature_map_size_counts_the_convolutions():
    """Against the formula of a two-stage network worked by hand: 8 x 8 image, level 1 of 4 x 4."""
    network = MSCSNet(1, 2, [1, 2], [3, 3], features_per_stage=[3, 5], conv_op=nn.Conv2d)
    width, level, image = int(1.67 * 5), 4 * 4, 8 * 8
    cbs = 10 * level
    dmsa = 3 * width * level + 3 * width * level + (3 * width // 5) + 3 * width + level
    sppf = 10 * level + 40 * level
    bottleneck = 2 * 5 * level
    decoder = 3 * image + 2 * 3 * image + 2 * image
    assert network.compute_conv_feature_map_size((8, 8)) == cbs + dmsa + sppf + bottleneck + decoder
    assert not any(p.is_meta for p in network.parameters())


def test_weights_start_as_the_originals():
    """He and Glorot uniform: bounds sqrt(6 / fan_in) and sqrt(6 / (fan_in + fan_out)), reached within a few percent."""
    torch.manual_seed(0)
    network = MSCSNet.original()
    encoder, decoder = network.encoder, network.decoder
    he = [encoder.downsampling[2].conv.conv, encoder.attention[0].scales[2].conv.conv, decoder.stages[0][3].conv]
    for conv in he:
        bound = math.sqrt(6 / conv.weight[0].numel())
        assert 0.97 * bound < conv.weight.abs().max() <= bound
    glorot = [encoder.pyramid.merge.conv, encoder.attention[3].attention.squeeze.conv, decoder.upsampling[0]]
    for conv in glorot:
        fans = (conv.weight.shape[0] + conv.weight.shape[1]) * conv.weight[0, 0].numel()
        bound = math.sqrt(6 / fans)
        assert 0.97 * bound < conv.weight.abs().max() <= bound
    biases = [p for name, p in network.named_parameters() if name.endswith("bias")]
    assert all(not bias.any() for bias in biases)


def test_what_was_frozen_stays_frozen():
    network = build("3d", deep_supervision=True)
    network.requires_grad_(False)
    network.decoder.deep_supervision = False
    network.decoder.deep_supervision = True
    assert not any(p.requires_grad for p in network.parameters())


def test_strides_and_kernels_may_come_from_numpy():
    strides = [np.int64(1), np.array([1, 2, 2]), np.int64(2)]
    network = MSCSNet(1, 2, strides, [np.int64(3)] * 3, [2, 4, 8])
    assert network.divisors == [2, 4, 4]
