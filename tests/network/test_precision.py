"""A network that computes in bfloat16: what changes, and what stays in float32."""

import copy
import pickle

import pytest
import torch

from nnunetv2_mscs.network import MSCSNet

BFLOAT16_STEP = 2.0**-8


@pytest.fixture
def network() -> MSCSNet:
    torch.manual_seed(0)
    return MSCSNet(
        input_channels=2,
        num_classes=2,
        strides=[1, 2, 2],
        kernel_sizes=[3, 3, 3],
        features_per_stage=[8, 16, 32],
        conv_op=torch.nn.Conv2d,
        dropout=0.0,
        deep_supervision=True,
    )


def test_outputs_gradients_and_weights_stay_float32_and_near(network):
    image = torch.randn(2, 2, 64, 64)
    quick = copy.deepcopy(network)
    quick.in_bfloat16 = True
    for one in (network, quick):
        sum(output.square().mean() for output in one(image)).backward()
    for exact, rounded in zip(network(image), quick(image), strict=True):
        assert rounded.dtype == torch.float32
        assert not torch.equal(exact, rounded)
        assert (exact - rounded).abs().max() < 10 * BFLOAT16_STEP * exact.abs().max()
    assert {parameter.dtype for parameter in quick.parameters()} == {torch.float32}
    exact, rounded = (torch.cat([p.grad.flatten() for p in one.parameters()]) for one in (network, quick))
    assert rounded.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(exact, rounded, dim=0) > 0.98


def test_weights_are_stored_as_before(network):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.in_bfloat16 = True
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in before.items())


def test_a_copy_computes_with_its_own_weights(network):
    network.in_bfloat16 = True
    other = pickle.loads(pickle.dumps(copy.deepcopy(network)))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
        assert not other(torch.randn(1, 2, 32, 32))[0].any()
        assert network(torch.randn(1, 2, 32, 32))[0].any()


def test_a_single_output_stays_a_tensor(network):
    network.decoder.deep_supervision = False
    network.in_bfloat16 = True
    with torch.no_grad():
        assert network(torch.randn(1, 2, 32, 32)).dtype == torch.float32
