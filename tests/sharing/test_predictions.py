"""Exported, installed in an empty place, and predicted with there by nnU-Net's own commands: the same masks."""

import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.nnunet_files.commands import nnunet_command, predict_commands
from nnunetv2_mscs.nnunet_files.environment import VARIABLES
from nnunetv2_mscs.nnunet_files.model_folder import Model, ModelSet
from tests.kept_variables import kept_variables
from tests.sharing.tiny_models import DATASET, write_best, write_decision, write_model

TRAINERS = ("MSCSTrainer", "nnUNetTrainer")
CASES = 1


def write_scans(folder: Path) -> None:
    """Noise: an untrained network answers to it, too."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for case in range(CASES):
        for channel in range(2):
            image = sitk.GetImageFromArray(random.normal(size=(4, 24, 20)).astype(np.float32))
            image.SetSpacing((2, 2, 6))
            sitk.WriteImage(image, str(folder / f"case{case}_000{channel}.nii.gz"))


def run(words: list[str], folder: Path, results: Path) -> str:
    few = {"OMP_NUM_THREADS": "1", "nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1"}
    done = subprocess.run(
        words,
        cwd=folder,
        env={**kept_variables(), **few, "nnUNet_results": str(results)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def predict(commands: list[str], folder: Path, results: Path) -> dict[str, bytes]:
    """What commands that were printed, run as typed but with these programs on the CPU, write as masks."""
    for command in commands:
        name, *words = shlex.split(command.replace('"$nnUNet_results"', str(results)))
        device = ["-device", "cpu", "-npp", "1", "-nps", "1"] if name == "nnUNetv2_predict" else []
        run(nnunet_command(name, *words, *device), folder, results)
    return {file.name: file.read_bytes() for file in sorted((folder / "MASKS").glob("*.nii.gz"))}


@pytest.mark.slow
def test_the_ensemble_predicts_the_same_masks_byte_for_byte_where_it_is_installed(tmp_path, monkeypatch, capsys):
    results = tmp_path / "trained"
    for trainer in TRAINERS:
        write_model(results, trainer)
    write_best(results, *TRAINERS)
    models = ModelSet(DATASET, tuple(Model(trainer, "nnUNetPlans", "2d") for trainer in TRAINERS), ("0", "1"))
    write_decision(results / DATASET / models.decisions, steps=1)
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        write_scans(tmp_path / place / "SCANS")
    commands = predict_commands(models, postprocess=True)
    before = predict(commands, tmp_path / "here", results)
    assert len(before) == CASES
    assert any(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "here/MASKS" / name))).any() for name in before)

    assert main(["export", str(results / DATASET), str(tmp_path / "best.zip"), "--small"]) == 0
    shutil.rmtree(results)
    for name in VARIABLES:
        monkeypatch.setenv(name, str(tmp_path / "there" / name))
    capsys.readouterr()
    assert main(["install", str(tmp_path / "best.zip")]) == 0
    printed = capsys.readouterr().out
    printed_commands = [line.strip() for line in printed.split("To predict:\n")[1].splitlines()]
    assert printed_commands == commands
    words = ["901", "-i", str(tmp_path / "there/SCANS"), "-o", str(tmp_path / "there/MASKS"), "--device", "cpu"]
    assert main(["predict-best", *words, "-np", "1"]) == 0
    after = {file.name: file.read_bytes() for file in sorted((tmp_path / "there/MASKS").glob("*.nii.gz"))}
    assert after == before
    assert not (tmp_path / "there/MASKS.log").exists()
