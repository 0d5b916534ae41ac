"""The network in fewer operations: the same numbers as the network that was trained, at the size it is made for."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nnunetv2_mscs.keras_import.keras_weights import load_keras_weights
from nnunetv2_mscs.network import MSCSNet
from nnunetv2_mscs.network.inference import InferenceNet, saves_operations
from nnunetv2_mscs.network.topology import features_of_stages


def _with_statistics(network: MSCSNet) -> MSCSNet:
    """Running statistics, scales and shifts that are not those of a new network."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
                module.running_mean.normal_(0, 0.2, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
        for name, parameter in network.named_parameters():
            if name.endswith(("norm.weight", "shift", "bias")):
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def _network(kind: str) -> MSCSNet:
    torch.manual_seed(1)
    if kind == "original":
        return MSCSNet.original(base_features=2)
    if kind == "2d":
        return MSCSNet(
            *(2, 2, [1, 2, 2, 2], [3, 3, 3, 3], features_of_stages(4, 4)),
            conv_op=nn.Conv2d,
            norm_op=nn.BatchNorm2d,
            decoder_norm=True,
            decoder_nonlin="leaky_relu",
            stem_features=4,
        )
    return MSCSNet(2, 2, [1, [1, 2, 2], 2, 2], [[1, 3, 3], 3, 3, 3], features_of_stages(4, 4), deep_supervision=True)


def _operations(network: nn.Module, image: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return counter.get_total_flops()


def test_the_golden_numbers(golden_folder):
    network = MSCSNet.original(base_features=2).eval()
    load_keras_weights(network, dict(np.load(golden_folder / "small_weights.npz")))
    for place, scale in (("small_input", 1), ("mid_input_times_8", 1 / 8)):
        image = torch.from_numpy(np.load(golden_folder / f"{place}.npy") * scale).float().movedim(-1, 1)
        found = InferenceNet(network, image.shape[2:])(image)
        with torch.no_grad():
            assert (found - network(image)).abs().max() < 1e-5
        golden = np.load(golden_folder / f"{place.split('_')[0]}_output.npy")
        lesion = golden if golden.ndim == 4 else golden[..., 1]
        assert np.abs(found.softmax(1)[:, 1].numpy() - lesion).max() < 1e-5


@pytest.mark.parametrize(
    ("kind", "size", "fewer"),
    [
        ("original", (16, 32, 48), 0.9),
        ("original", (32, 16, 64), 0.95),
        ("2d", (8, 24), 0.95),
        ("2d", (64, 64), 1),
        ("anisotropic", (4, 16, 16), 0.95),
    ],
)
def test_the_same_logits_in_fewer_operations(kind, size, fewer):
    network = _with_statistics(_network(kind))
    image = torch.rand(2, 2, *size, generator=torch.Generator().manual_seed(0))
    prepared = InferenceNet(network, size)
    network.decoder.deep_supervision = False
    with torch.no_grad():
        expected = network(image)
        assert (prepared(image) - expected).abs().max() < 1e-5 * expected.abs().max()
    assert _operations(prepared, image) <= fewer * _operations(network, image)
    assert saves_operations(network, size)


def test_an_axis_of_one_voxel_leaves_one_tap():
    prepared = InferenceNet(_network("original"), (16, 32, 32)).network
    kernels = [scale.conv.conv.kernel_size for scale in prepared.encoder.attention[-1].scales]
    assert kernels == [(1, 3, 3), (1, 3, 3), (1, 3, 3)]
    assert prepared.encoder.downsampling[-1].conv.conv.kernel_size == (2, 3, 3)
    assert not any(isinstance(module, nn.BatchNorm3d) for module in prepared.encoder.downsampling.modules())


def test_nothing_is_spared_where_all_taps_see_the_image_and_norms_depend_on_it():
    assert not saves_operations(_network("anisotropic"), (16, 64, 64))


def test_another_size_is_refused():
    prepared = InferenceNet(_network("original"), (16, 32, 32))
    with pytest.raises(ValueError, match="images of"):
        prepared(torch.rand(1, 2, 32, 32, 32))
