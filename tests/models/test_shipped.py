"""The weights of this package: small, read without running code, used in every way that docs/weights.md names."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from nnunetv2_mscs import Predictor
from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.models.shipped import SHIPPED, shipped_folder
from nnunetv2_mscs.nnunet_files.checkpoints import read_checkpoint
from tests.models.new_scans import write_study

LARGEST_BYTES = 20e6


@pytest.fixture(scope="module")
def shipped() -> Predictor:
    return Predictor(device="cpu", engine="torch")


def test_they_are_small_and_in_half_precision():
    files = [path for path in shipped_folder().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < LARGEST_BYTES
    weights = read_checkpoint(shipped_folder() / "fold_all/checkpoint_final.pth")["network_weights"]
    assert {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()} == {torch.float16}


def test_nothing_in_them_names_a_place_or_a_patient():
    texts = [path.read_text() for path in shipped_folder().rglob("*.json")]
    texts.append(str(read_checkpoint(shipped_folder() / "fold_all/checkpoint_final.pth")["init_args"]))
    for word in ("/work", "/home", "/root", "/tmp", "isles", "soop", "sub-"):
        assert not any(word in text.lower() for text in texts), word


def test_model_path_names_a_folder_that_nnunet_reads(capsys, tmp_path):
    assert main(["model-path"]) == 0
    folder = capsys.readouterr().out.strip()
    write_study(tmp_path)
    ours = Predictor(device="cpu", precision="float32").predict(
        adc=tmp_path / "adc.nii.gz", dwi=tmp_path / "dwi.nii.gz"
    )
    theirs = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False, use_mirroring=False)
    theirs.initialize_from_trained_model_folder(folder, use_folds=("all",))
    turned = ours.scan.scan.turned_to("LPS")
    array = np.stack([turned.channels["ADC"], turned.channels["DWI"]])
    spacing = [float(size) for size in turned.grid.spacing[::-1]]
    _, probabilities = theirs.predict_single_npy_array(array, {"spacing": spacing}, None, None, True)
    # nnU-Net adds windows in half precision, which loses their corners
    assert np.abs(np.sort(probabilities[1].ravel()) - np.sort(ours.probabilities.ravel())).mean() < 0.005
    with pytest.raises(MscsError, match="No weights called synthetc"):
        shipped_folder("synthetc")


def test_predict_takes_them_where_no_model_is_named(tmp_path, capsys):
    write_study(tmp_path / "in/p1")
    assert main(["predict", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--device", "cpu"]) == 0
    record = json.loads((tmp_path / "out/p1.json").read_text())
    facts = json.loads((shipped_folder() / "synthetic_training.json").read_text())
    assert (record["threshold"], record["min_lesion_ml"]) == (facts["threshold"], facts["min_lesion_ml"])
    assert "SyntheticStroke" in capsys.readouterr().out
    assert main(["predict", str(tmp_path / "in"), "-m", SHIPPED, "-o", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert "done before: 1 of 1" in capsys.readouterr().out


def test_real_scans(real_folder, shipped):
    """Real scans that nothing was trained on; docs/weights.md has the figures of all five."""
    for case, least in (("soop_3", 0.8), ("isles22_0002", 0.6)):
        images = {name: real_folder / "images" / f"{case}_{name}.nii.gz" for name in ("adc", "dwi")}
        found = shipped.predict(**images).mask > 0
        truth = sitk.GetArrayFromImage(sitk.ReadImage(str(real_folder / "masks" / f"{case}.nii.gz"))) > 0
        assert 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth)) > least
