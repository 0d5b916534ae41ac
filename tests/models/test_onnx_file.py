"""`mscs export --onnx`: the network in ONNX Runtime gives PyTorch's numbers, and the JSON says what is around it."""

import json
import shutil

import numpy as np
import onnxruntime
import pytest
import torch

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.keras_import.keras_weights import load_keras_weights
from nnunetv2_mscs.models.onnx_file import export_onnx, write_network
from nnunetv2_mscs.models.predictor import Predictor
from nnunetv2_mscs.network import MSCSNet
from tests.sharing.tiny_models import DATASET, NNUNET, write_best


def run(file, image: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"image": image.numpy()})[0]


def test_the_golden_numbers(golden_folder, tmp_path):
    network = MSCSNet.original(base_features=2).eval()
    load_keras_weights(network, dict(np.load(golden_folder / "small_weights.npz")))
    image = torch.from_numpy(np.load(golden_folder / "small_input.npy")).movedim(-1, 1)
    write_network([network], image.shape[1:], tmp_path / "network.onnx")
    found = run(tmp_path / "network.onnx", torch.cat([image] * 3))
    assert found.shape[0] == 3
    golden = np.load(golden_folder / "small_output.npy")
    assert np.abs(torch.from_numpy(found[2:]).softmax(1).movedim(1, -1).numpy() - golden).max() < 1e-5


def test_the_weights_of_the_package(tmp_path, capsys):
    file = tmp_path / "stroke.onnx"
    assert main(["export", "synthetic", "--onnx", str(file)]) == 0
    assert str(file) in capsys.readouterr().out
    predictor = next(iter(Predictor(device="cpu", engine="torch")._networks._predictors.values()))
    image = 3 * torch.rand(3, 2, 112, 96, generator=torch.Generator().manual_seed(0))
    predictor.network.load_state_dict(predictor.list_of_parameters[0])
    with torch.inference_mode():
        expected = predictor.network.eval()(image).softmax(1).numpy()
    for some in (image, image[:1]):
        found = torch.from_numpy(run(file, some)).softmax(1).numpy()
        assert np.abs(found - expected[: len(some)]).max() < 1e-4

    about = json.loads((tmp_path / "stroke.onnx.json").read_text())
    assert about["network"]["input"] == {"name": "image", "type": "float32", "shape": ["batch", 2, 112, 96]}
    adc, dwi = about["channels"]
    assert (adc["name"], adc["unit"], dwi["name"]) == ("ADC", "10^-6 mm2/s", "DWI")
    assert (adc["normalisation"]["high"], adc["normalisation"]["scale"]) == (3, 2)
    assert about["preprocessing"]["spacing_mm"] == [2, 2]
    assert (about["sliding_window"]["patch_size"], about["sliding_window"]["step"]) == ([112, 96], 0.5)
    after = about["postprocessing"]
    assert (after["activation"], after["threshold"], after["smallest_lesion_ml"]) == (
        "softmax over the labels",
        0.2,
        0.05,
    )
    assert after["labels"] == {"background": 0, "lesion": 1}
    assert {"nnunetv2_mscs", "torch", "nnunetv2"} <= set(about["versions"])
    assert main(["export", "synthetic", "--onnx", str(file)]) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_folds_are_one_network_with_their_mean_logits(model, tmp_path):
    image = torch.rand(2, 2, 24, 24, generator=torch.Generator().manual_seed(0))
    export_onnx(tmp_path / "both.onnx", str(model))
    alone = []
    for fold in ("0", "1"):
        export_onnx(tmp_path / f"{fold}.onnx", str(model), folds=[fold])
        alone.append(run(tmp_path / f"{fold}.onnx", image))
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    np.testing.assert_allclose(run(tmp_path / "both.onnx", image), np.mean(alone, axis=0), atol=1e-4)
    about = json.loads((tmp_path / "both.onnx.json").read_text())
    assert about["folds"] == ["0", "1"]
    assert about["sliding_window"]["mirroring_axes"] == [0, 1]
    assert about["channels"][0]["normalisation"]["formula"].startswith("(x - mean)")


def test_what_cannot_be_one_network_is_refused(results, model, tmp_path, monkeypatch):
    copy = tmp_path / "results"
    shutil.copytree(results, copy)
    shutil.copytree(copy / DATASET / model.name, copy / DATASET / NNUNET)
    write_best(copy, "MSCSTrainer", "nnUNetTrainer")
    with pytest.raises(MscsError, match=r"is an ensemble, and an ONNX file holds one network\. Name one"):
        export_onnx(tmp_path / "a.onnx", str(copy / DATASET))
    with pytest.raises(MscsError, match="has no fold 7"):
        export_onnx(tmp_path / "a.onnx", str(model), folds=["7"])
    with pytest.raises(MscsError, match=r"does not end in \.onnx"):
        export_onnx(tmp_path / "a.zip", str(model))
    monkeypatch.setattr("nnunetv2_mscs.models.onnx_file.find_spec", lambda package: None)
    with pytest.raises(MscsError, match=r'pip install "nnunetv2-mscs\[onnx\]"'):
        export_onnx(tmp_path / "a.onnx", str(model))
    assert not list(tmp_path.glob("a.onnx*"))


@pytest.mark.parametrize(
    "arguments", [["m"], ["m", "out.zip", "--onnx", "a.onnx"], ["m", "--onnx", "a.onnx", "--title", "T"]]
)
def test_the_command_names_one_file(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["export", *arguments])
    assert ended.value.code == 2
    assert "--onnx" in capsys.readouterr().err
