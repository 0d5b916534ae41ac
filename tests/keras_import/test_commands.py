"""An imported model in nnU-Net's own commands, in processes of their own."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprint_dataset

from nnunetv2_mscs.cli.main import main
from tests.few_samples import FewSamples
from tests.forked_workers import run_forked

CASES = 3
SIZE = (32, 48, 16)
SPACING = (1.2, 1.2, 5.0)

pytestmark = pytest.mark.slow


@pytest.fixture
def command(nnunet_folders) -> Callable[..., str]:
    """A function that runs a command of this environment, insists on success, and returns what it printed."""

    def run(*words: str | Path) -> str:
        program, *arguments = (str(word) for word in words)
        words = [str(Path(sys.executable).parent / program), *arguments]
        variables = {**os.environ, "nnUNet_def_n_proc": "1", "OMP_NUM_THREADS": "1"}
        result = run_forked(words, cwd=nnunet_folders, env=variables)
        output = result.stdout + result.stderr
        assert result.returncode == 0, output[-5000:]
        return output

    return run


def write_image(array: np.ndarray, file: Path) -> None:
    """Write an array in x, y, z order."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(SPACING)
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(file))


def tile_weight(patch_size: tuple[int, ...]) -> np.ndarray:
    """What nnU-Net multiplies a tile's logits with, before it keeps them in half precision."""
    squared = [((np.arange(n) - n // 2) / (n / 8)) ** 2 for n in patch_size]
    return np.exp(-0.5 * sum(np.meshgrid(*squared, indexing="ij")))


def test_predict_gives_the_originals_probabilities(command, keras_files, golden_folder, nnunet_folders):
    """nnU-Net weights the logits of a tile and keeps them in half precision, which costs 2^-10 of a logit, and next to
    everything where the weight is near 0: in the corners of a scan that is a single tile."""
    original = np.load(golden_folder / "small_output.npy")[0]
    image = np.load(golden_folder / "small_input.npy")[0]
    for channel in range(2):
        write_image(image[..., channel], nnunet_folders / "scans" / f"golden_{channel:04d}.nii.gz")
    options = ("--scaling", "none", "--patch-size", *map(str, SIZE))
    command("mscs", "import-keras", keras_files["whole.keras"], "model", *options)
    predict = ("nnUNetv2_predict_from_modelfolder", "-i", "scans", "-o", "masks", "-m", "model", "-f", "0")
    command(*predict, "-device", "cpu", "--save_probabilities", "-npp", "1", "-nps", "1")
    probabilities = np.load(nnunet_folders / "masks" / "golden.npz")["probabilities"].transpose(3, 2, 1, 0)
    error = np.abs(probabilities - original).max(-1)
    assert error[tile_weight(SIZE) > 1e-4].max() < 5e-4
    assert np.median(error) < 2e-5
    mask = sitk.ReadImage(str(nnunet_folders / "masks" / "golden.nii.gz"))
    assert mask.GetSize() == SIZE
    assert mask.GetSpacing() == pytest.approx(SPACING)
    sure = (np.abs(original[..., 1] - 0.5) > 1e-3) & (tile_weight(SIZE) > 1e-4)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask).T[sure], original.argmax(-1)[sure])


def test_training_goes_on_from_the_weights(command, keras_files, nnunet_folders, monkeypatch, capsys):
    random = np.random.default_rng(0)
    raw = nnunet_folders / "nnUNet_raw" / "Dataset701_Small"
    for case in range(CASES):
        lesion = np.zeros((36, 30, 8), np.uint8)
        lesion[10:20, 8:18, 2:5] = 1
        write_image(lesion, raw / "labelsTr" / f"case_{case}.nii.gz")
        for channel in range(2):
            image = random.normal(100, 10, lesion.shape) + 60 * lesion
            write_image(image.astype(np.float32), raw / "imagesTr" / f"case_{case}_{channel:04d}.nii.gz")
    described = {"channel_names": {"0": "ADC", "1": "DWI"}, "labels": {"background": 0, "lesion": 1}}
    (raw / "dataset.json").write_text(json.dumps(described | {"numTraining": CASES, "file_ending": ".nii.gz"}))
    folds = [{"train": [f"case_{case}" for case in range(1, CASES)], "val": ["case_0"]}]
    extract_fingerprint_dataset(701, FewSamples, num_processes=1, show_progress_bar=False)
    preprocessed = nnunet_folders / "nnUNet_preprocessed" / raw.name
    (preprocessed / "splits_final.json").write_text(json.dumps(folds))

    options = ("--dataset", "701", "--patch-size", "32", "32", "16")
    monkeypatch.chdir(nnunet_folders)
    assert main(["import-keras", str(keras_files["weights.h5"]), "model", *options]) == 0
    typed = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip().startswith("nnUNetv2_")]
    _, preprocess, train = typed
    command(*preprocess, "-np", "1")
    trainer = train.index("-tr") + 1
    train[trainer] += "_1epochs_1iterations"
    log = command(*train, "-device", "cpu")
    assert "Loading pretrained weights from file" in log
    assert "Mean Validation Dice" in log
    results = nnunet_folders / "nnUNet_results" / raw.name
    assert (results / f"{train[trainer]}__KerasPlans__3d_fullres" / "fold_0" / "checkpoint_final.pth").is_file()
