"""The paper's network against numbers that the original program made."""

import numpy as np
import pytest
import torch
from torch import nn

from nnunetv2_mscs.keras_import.keras_weights import keras_names, load_keras_weights
from nnunetv2_mscs.network import MSCSNet
from nnunetv2_mscs.network.blocks import SPPF, SameConv

# Running statistics included, as Keras counts.
ENCODER_PARAMETERS = {
    "downsampling.0": 1_888,
    "attention.0": 344_596,
    "downsampling.1": 67_552,
    "attention.1": 1_377_185,
    "downsampling.2": 275_072,
    "attention.2": 5_505_652,
    "downsampling.3": 1_099_648,
    "attention.3": 22_220_129,
    "pyramid": 1_218_560,
}
DECODER_PARAMETERS = {
    "bottleneck": 4_423_936,
    "stages.0": 331_904,
    "stages.1": 83_008,
    "stages.2": 27_680,
    "stages.3": 3_904,
    "upsampling.0": 65_600,
    "upsampling.1": 16_416,
    "upsampling.2": 4_112,
    "upsampling.3": 1_032,
    "seg_layers.3": 18,
}


def channels_last(tensor: torch.Tensor) -> np.ndarray:
    return tensor.movedim(1, -1).numpy()


@pytest.fixture
def weights(golden_folder) -> dict[str, np.ndarray]:
    return dict(np.load(golden_folder / "small_weights.npz"))


@pytest.fixture
def network(weights) -> MSCSNet:
    network = MSCSNet.original(base_features=2).eval()
    load_keras_weights(network, weights)
    return network


@pytest.fixture
def small_input(golden_folder) -> torch.Tensor:
    return torch.from_numpy(np.load(golden_folder / "small_input.npy")).movedim(-1, 1)


@pytest.fixture
def small_output(golden_folder) -> np.ndarray:
    return np.load(golden_folder / "small_output.npy")


@torch.no_grad()
def probabilities(network: MSCSNet, image: torch.Tensor) -> np.ndarray:
    return channels_last(network(image).softmax(1))


def trainable(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def counted_by_keras(module: nn.Module) -> int:
    return trainable(module) + sum(b.numel() for name, b in module.named_buffers() if "running" in name)


def test_parameters_are_counted_as_in_the_paper():
    network = MSCSNet.original()
    assert trainable(network) == 37_057_656
    assert counted_by_keras(network) == 37_067_892
    for name, count in ENCODER_PARAMETERS.items():
        assert counted_by_keras(network.encoder.get_submodule(name)) == count, name
    for name, count in DECODER_PARAMETERS.items():
        assert counted_by_keras(network.decoder.get_submodule(name)) == count, name


def test_output_is_the_originals(network, small_input, small_output, golden_folder):
    np.testing.assert_allclose(probabilities(network, small_input), small_output, rtol=0, atol=1e-5)
    image = torch.from_numpy(np.load(golden_folder / "mid_input_times_8.npy")).float().movedim(-1, 1) / 8
    lesion = np.load(golden_folder / "mid_output.npy")
    np.testing.assert_allclose(probabilities(network, image)[..., 1].ravel(), lesion.ravel(), rtol=0, atol=1e-5)


def test_every_inner_tensor_is_the_originals(network, small_input, golden_folder):
    expected = dict(np.load(golden_folder / "small_intermediates.npz"))
    seen: dict[str, torch.Tensor] = {}

    def watch(name: str, module: nn.Module) -> None:
        module.register_forward_hook(lambda _module, _args, output: seen.__setitem__(name, output.clone()))

    encoder, decoder = network.encoder, network.decoder
    for level in range(4):
        dmsa = encoder.attention[level]
        watch(f"E{2 * level + 1}", encoder.downsampling[level])
        watch(f"E{2 * level + 2}", dmsa)
        for scale, name in enumerate(("x1_conv3x3", "x2_conv5x5", "x3_conv7x7")):
            watch(f"E{2 * level + 2}.{name}", dmsa.scales[scale])
        watch(f"E{2 * level + 2}.shortcut_out", dmsa.shortcut)
        watch(f"E{2 * level + 2}.attention_out", dmsa.attention)
        watch(f"D{2 * level + 2}", decoder.upsampling[level])
        watch(f"D{2 * level + 3}", decoder.stages[level])
    watch("D1", decoder.bottleneck)
    watch("SPPF", encoder.pyramid)
    watch("SPPF.cbl1", encoder.pyramid.reduce_nonlin)
    watch("logits", decoder.seg_layers[-1])
    pools: list[torch.Tensor] = []
    encoder.pyramid.pool.register_forward_hook(lambda _module, _args, output: pools.append(output))
    with torch.no_grad():
        network(small_input)
        seen |= dict(zip(("SPPF.pool3", "SPPF.pool5", "SPPF.pool7"), pools, strict=True))
        for level in range(4):
            attention = encoder.attention[level].attention
            scales = [seen[f"E{2 * level + 2}.{name}"] for name in ("x1_conv3x3", "x2_conv5x5", "x3_conv7x7")]
            seen[f"E{2 * level + 2}.channel_gate"] = attention.channel_gate(torch.cat(scales, 1))
            seen[f"E{2 * level + 2}.spatial_gate"] = attention.spatial_gate(torch.cat(scales, 1))

    assert set(expected) == set(seen)
    for name, tensor in expected.items():
        np.testing.assert_allclose(channels_last(seen[name]), tensor, rtol=0, atol=1e-4, err_msg=name)


def test_stride_2_pads_behind_only(network, small_input, small_output):
    for module in network.modules():
        if isinstance(module, SameConv) and module.outer_padding is not None:
            assert module.outer_padding == [0, 1] * 3
            module.outer_padding = None
            module.conv.padding = (1, 1, 1)
    assert np.abs(probabilities(network, small_input) - small_output).max() > 0.1


def test_batch_norm_epsilon_is_keras(network, small_input, small_output):
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            assert (module.eps, module.momentum) == (1e-3, 0.01)
            module.eps = 1e-5
    assert np.abs(probabilities(network, small_input) - small_output).max() > 1e-5


def test_leaky_relu_slope_is_a_fifth(network, small_input, small_output):
    network.encoder.pyramid.reduce_nonlin.negative_slope = 0.01
    assert np.abs(probabilities(network, small_input) - small_output).max() > 1e-5


def test_pools_see_minus_infinity_outside():
    pyramid = SPPF(nn.Conv3d, 2, 3, 3, nn.Identity)
    negative = -1 - torch.rand(1, 3, 4, 5, 6)
    for side, pooled in zip((3, 5, 7), _pooled(pyramid, negative), strict=True):
        padded = nn.functional.pad(negative, [side // 2] * 6, value=-torch.inf)
        torch.testing.assert_close(
            pooled, padded.unfold(2, side, 1).unfold(3, side, 1).unfold(4, side, 1).amax((5, 6, 7))
        )
        assert pooled.max() < 0


def _pooled(pyramid: SPPF, x: torch.Tensor):
    for _ in range(3):
        x = pyramid.pool(x)
        yield x


def test_weights_of_something_else_are_refused_and_change_nothing(weights):
    network = MSCSNet.original(base_features=2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    without = {name: array for name, array in weights.items() if name != "SPPF.cbl1.conv.bias"}
    with pytest.raises(ValueError, match=r"SPPF\.cbl1\.conv\.bias is missing"):
        load_keras_weights(network, without)
    with pytest.raises(ValueError, match="unknown"):
        load_keras_weights(network, weights | {"X.kernel": np.zeros(1)})
    wrong = weights | {"D9.conv2.kernel": np.zeros((3, 3, 3, 2, 1), np.float32)}
    with pytest.raises(ValueError, match=r"D9\.conv2\.kernel has shape"):
        load_keras_weights(network, wrong)
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_transposed_kernels_see_a_transposed_image(weights, network, small_input):
    as_nnunet_reads = MSCSNet.original(base_features=2).eval()
    load_keras_weights(as_nnunet_reads, weights, space_axes=(2, 1, 0))
    with torch.no_grad():
        expected = network(small_input)
        transposed = as_nnunet_reads(small_input.permute(0, 1, 4, 3, 2))
    torch.testing.assert_close(transposed.permute(0, 1, 4, 3, 2), expected, rtol=0, atol=2e-5)


def test_every_weight_of_the_paper_has_a_name():
    names = set(keras_names().values())
    state = {name for name in MSCSNet.original(base_features=2).state_dict() if "num_batches" not in name}
    auxiliary_heads = {f"decoder.seg_layers.{i}.{part}" for i in range(3) for part in ("weight", "bias")}
    assert names == state - auxiliary_heads
