"""The ways in which networks are run: compiled, in mixed precision, distributed, traced, exported."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_mscs.network import MSCSNet
from nnunetv2_mscs.network.topology import features_of_stages
from tests.forked_workers import call_in_workers


def small_network(deep_supervision: bool = False, **arguments) -> MSCSNet:
    torch.manual_seed(1)
    strides = [1, [1, 2, 2], 2]
    return MSCSNet(
        2, 2, strides, [[1, 3, 3], 3, 3], features_of_stages(3, 4), deep_supervision=deep_supervision, **arguments
    )


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(1, 2, 4, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _fresh_compiler():
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("deep_supervision", [False, True])
def test_compile_gives_the_same_in_one_graph(image, deep_supervision):
    network = small_network(deep_supervision).eval()
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(image), network(image), rtol=1e-4, atol=1e-5)


def test_compiled_network_takes_deep_supervision_being_switched(image):
    network = small_network(deep_supervision=True)
    compiled = torch.compile(network, backend="eager")
    assert len(compiled(image)) == 2
    network.decoder.deep_supervision = False
    assert compiled(image).shape == (1, 2, 4, 16, 16)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_trains_and_stays_close(image, dtype):
    network = small_network()
    with torch.autocast("cpu", dtype=dtype):
        output = network(image)
        loss = nn.functional.cross_entropy(output.float(), torch.zeros(1, 4, 16, 16, dtype=torch.long))
    loss.backward()
    assert output.dtype == dtype
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.requires_grad)
    network.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        mixed = network(image).float()
    with torch.no_grad():
        full = network(image)
    torch.testing.assert_close(mixed, full, rtol=0, atol=0.1 * float(full.std()) + 0.05)


@pytest.mark.parametrize("original", [False, True])
def test_trace_gives_the_same(image, original):
    network = MSCSNet.original(base_features=2).eval() if original else small_network().eval()
    image = torch.rand(1, 2, 16, 32, 16) if original else image
    with torch.no_grad():
        traced = torch.jit.trace(network, image)
        other = torch.rand_like(image)
        torch.testing.assert_close(traced(other), network(other))


@pytest.mark.parametrize("original", [False, True])
def test_onnx_runs_elsewhere_with_the_same_result(image, original, tmp_path):
    network = MSCSNet.original(base_features=2).eval() if original else small_network().eval()
    image = torch.rand(1, 2, 32, 32, 16) if original else image
    file = tmp_path / "network.onnx"
    torch.onnx.export(network, (image,), file, dynamo=True, input_names=["image"], verbose=False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"image": image.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(output, network(image).numpy(), rtol=0, atol=1e-4)


def _train(network: nn.Module, images: torch.Tensor, deep_supervision: bool) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(2):  # a parameter left without gradient fails the second step of a distributed network
        optimizer.zero_grad()
        outputs = network(images)
        sum(output.square().mean() for output in (outputs if deep_supervision else [outputs])).backward()
        optimizer.step()


def _two_images() -> torch.Tensor:
    return torch.rand(2, 2, 4, 16, 16, generator=torch.Generator().manual_seed(0))


def _work(deep_supervision: bool, folder: Path, rank: int) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    network = DistributedDataParallel(small_network(deep_supervision, dropout=0.0))
    _train(network, _two_images()[rank : rank + 1], deep_supervision)
    torch.save(network.module.state_dict(), f"{folder}/{rank}.pth")
    distributed.destroy_process_group()


@pytest.mark.parametrize("deep_supervision", [False, True])
def test_two_distributed_workers_train_as_one_on_both_images(deep_supervision, tmp_path):
    call_in_workers(__file__, "_work", deep_supervision, tmp_path)
    network = small_network(deep_supervision, dropout=0.0)
    _train(network, _two_images(), deep_supervision)
    for rank in range(2):
        trained = torch.load(tmp_path / f"{rank}.pth")
        torch.testing.assert_close(trained, network.state_dict(), rtol=1e-4, atol=1e-5)


def test_synchronised_batch_norm_takes_the_paper_network():
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(MSCSNet.original(base_features=2))
    assert any(isinstance(module, nn.SyncBatchNorm) for module in converted.modules())
