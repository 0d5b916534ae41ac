"""OpenVINO in PyTorch's place: the same masks, a copy of the network that follows the checkpoint, clear refusals."""

import os
import shutil
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from nnunetv2_mscs import Predictor
from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.keras_import.keras_weights import load_keras_weights
from nnunetv2_mscs.models import engines, openvino_network
from nnunetv2_mscs.models.engines import TorchNetwork, choose_engine, with_fewer_operations
from nnunetv2_mscs.models.openvino_network import OpenVINONetwork, on_openvino
from nnunetv2_mscs.network import MSCSNet
from tests.models.conftest import write_cascade
from tests.models.new_scans import write_study
from tests.sharing.tiny_models import DATASET, MSCS

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="the extra openvino is not installed")


@pytest.fixture(autouse=True)
def _torch_unless_asked_for(monkeypatch, tmp_path):
    """In the place of conftest's: here OpenVINO is what it is. The user's cache is an empty folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(openvino_network.sys, "platform", "linux")


@pytest.fixture
def own_model(results, tmp_path):
    """A model folder to write in."""
    return shutil.copytree(results, tmp_path / "results") / DATASET / MSCS


@pytest.fixture
def files(tmp_path):
    write_study(tmp_path / "study")
    return {"adc": tmp_path / "study/adc.nii.gz", "dwi": tmp_path / "study/dwi.nii.gz"}


def with_engine(model, **options) -> Predictor:
    return Predictor(model, "cpu", **{"precision": "float32", "engine": "openvino"} | options)


@needs_openvino
def test_the_masks_of_folds_with_mirroring_are_pytorchs(own_model, predictor, files):
    found, expected = with_engine(own_model).predict(**files), predictor.predict(**files)
    assert np.abs(found.probabilities - expected.probabilities).max() < 1e-3
    both = np.count_nonzero((found.mask > 0) & (expected.mask > 0))
    assert 2 * both / (np.count_nonzero(found.mask) + np.count_nonzero(expected.mask)) > 0.9999
    half = with_engine(own_model, precision="bfloat16") if torch.cpu._is_amx_tile_supported() else None
    assert half is None or 0 < np.abs(half.predict(**files).probabilities - expected.probabilities).max() < 0.1


@needs_openvino
def test_the_golden_numbers_in_3d(golden_folder, tmp_path):
    network = MSCSNet.original(base_features=2)
    load_keras_weights(network, dict(np.load(golden_folder / "small_weights.npz")))
    image = torch.from_numpy(np.load(golden_folder / "small_input.npy")).movedim(-1, 1)
    (tmp_path / "model/fold_0").mkdir(parents=True)
    for name in ("plans.json", "dataset.json", "fold_0/checkpoint_final.pth"):
        (tmp_path / "model" / name).write_text("{}")
    compiled = on_openvino(
        network,
        [network.state_dict()],
        [tmp_path / "model/fold_0/checkpoint_final.pth"],
        image.shape[1:],
        "float32",
    )
    found = compiled(torch.cat([image, image.flip(-1)]))
    golden = np.load(golden_folder / "small_output.npy")
    assert np.abs(found[:1].softmax(1).movedim(1, -1).numpy() - golden).max() < 1e-5
    with torch.no_grad():
        torch.testing.assert_close(found[1:], network.eval()(image.flip(-1)), rtol=0, atol=1e-4)


@needs_openvino
def test_a_cascade_is_pytorchs(files, tmp_path):
    """Its second stage sees the labels of the first as a channel more."""
    fine = write_cascade(tmp_path)[1]
    found, expected = (with_engine(fine, engine=engine).predict(**files) for engine in ("openvino", "torch"))
    assert np.abs(found.probabilities - expected.probabilities).max() < 1e-3
    assert expected.mask.any()


@needs_openvino
def test_the_exported_network_follows_the_checkpoint(own_model, files, tmp_path, monkeypatch):
    cache, before = tmp_path / "cache/nnunetv2-mscs/openvino", sorted(own_model.rglob("*"))
    first = with_engine(own_model, fast=True).predict(**files).probabilities
    assert sorted(own_model.rglob("*")) == before, "a model's folder is its content"
    (kept,) = cache.iterdir()
    assert {file.name for file in kept.iterdir()} == {"network.xml", "network.bin", "facts.json"}
    with monkeypatch.context() as patched:
        patched.setattr(openvino_network, "write_openvino", None)
        np.testing.assert_array_equal(with_engine(own_model, fast=True).predict(**files).probabilities, first)

    (kept / "network.bin").write_bytes((kept / "network.bin").read_bytes()[:-4])
    np.testing.assert_array_equal(with_engine(own_model, fast=True).predict(**files).probabilities, first)

    shutil.copy(own_model / "fold_1/checkpoint_final.pth", own_model / "fold_0/checkpoint_final.pth")
    second = with_engine(own_model, fast=True).predict(**files).probabilities
    assert len(list(cache.iterdir())) == 2
    assert np.abs(second - first).max() > 1e-3
    expected = Predictor(own_model, "cpu", precision="float32", engine="torch", fast=True).predict(**files)
    assert np.abs(second - expected.probabilities).max() < 1e-3


@needs_openvino
def test_networks_that_were_used_last_are_kept(own_model, tmp_path, monkeypatch):
    monkeypatch.setattr(openvino_network, "MOST_KEPT", 1)
    cache = tmp_path / "cache/nnunetv2-mscs/openvino"
    with_engine(own_model, fast=True)
    (first,) = cache.iterdir()
    os.utime(first, (0, 0))
    shutil.copy(own_model / "fold_1/checkpoint_final.pth", own_model / "fold_0/checkpoint_final.pth")
    with_engine(own_model, fast=True)
    assert [place.name for place in cache.iterdir()] != [first.name]


@needs_openvino
def test_a_cache_that_cannot_be_written_is_refused(own_model, monkeypatch):
    monkeypatch.setattr(openvino_network, "write_failure", lambda place: "x")
    with pytest.raises(MscsError, match="cannot be kept in"):
        with_engine(own_model, fast=True)


@needs_openvino
def test_a_cpu_without_the_precision_is_refused(monkeypatch, tmp_path):
    import openvino

    class Float32Alone:
        def read_model(self, file):
            return file

        def compile_model(self, *arguments):
            return self

        def get_property(self, name):
            return openvino.Type.f32

        def create_infer_request(self):
            return None

    monkeypatch.setattr(openvino, "Core", Float32Alone)
    OpenVINONetwork([tmp_path], (2, 24, 24), "float32")
    with pytest.raises(MscsError, match="does not compute in bfloat16 on this CPU"):
        OpenVINONetwork([tmp_path], (2, 24, 24), "bfloat16")


@pytest.mark.parametrize(
    ("wanted", "device", "installed", "name", "reason"),
    [
        ("auto", "cpu", True, "openvino", "it is installed"),
        ("auto", "cpu", False, "torch", "OpenVINO is not installed"),
        ("auto", "cuda", True, "torch", "OpenVINO is for CPUs"),
        ("torch", "cpu", True, "torch", "as asked for"),
        ("openvino", "cpu", True, "openvino", "as asked for"),
    ],
)
def test_the_choice_and_its_reason(monkeypatch, wanted, device, installed, name, reason):
    monkeypatch.setattr(engines, "find_spec", lambda package: object() if installed else None)
    chosen = choose_engine(wanted, torch.device(device))
    assert (chosen.name, chosen.reason) == (name, reason)


def test_what_cannot_be_done_is_refused(monkeypatch, model, files, tmp_path, capsys):
    monkeypatch.setattr(engines, "find_spec", lambda package: None)
    command = ["predict", str(tmp_path / "study"), "-m", str(model), "-o", str(tmp_path / "out"), "--device", "cpu"]
    assert main([*command, "--engine", "openvino"]) == 1
    assert 'pip install "nnunetv2-mscs[openvino]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*command, "--precision", "float32"]) == 0
    assert "; on cpu in float32 by torch (OpenVINO is not installed)" in capsys.readouterr().out
    with pytest.raises(MscsError, match="computes on a CPU, and the device is cuda"):
        choose_engine("openvino", torch.device("cuda"))
    with pytest.raises(MscsError, match="no engine 'tensorrt'"):
        choose_engine("tensorrt", torch.device("cpu"))


def test_pytorch_computes_fewer_operations_where_that_is_exact():
    torch.manual_seed(0)
    network, image = MSCSNet.original(base_features=2).eval(), torch.rand(1, 2, 16, 16, 32)
    first = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    second = {name: tensor * 1.1 for name, tensor in first.items()}
    prepared = with_fewer_operations(network, image.shape[2:])
    assert isinstance(prepared, TorchNetwork)
    with torch.inference_mode():
        for weights in (first, second, first):
            prepared.load_state_dict(weights)
            found = prepared(image)
            network.load_state_dict(weights)
            expected = network(image)
            assert (found - expected).abs().max() < 1e-5 * max(1, float(expected.abs().max()))
    other = torch.nn.Conv2d(2, 2, 3)
    assert with_fewer_operations(other, (8, 8)) is other
