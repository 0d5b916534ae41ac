"""Exported, installed in an empty place, and predicted with there: the masks of nnU-Net's own commands."""

import shlex
import shutil
from pathlib import Path

import pytest

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.nnunet_files.commands import nnunet_command, predict_commands
from nnunetv2_mscs.nnunet_files.environment import VARIABLES
from nnunetv2_mscs.nnunet_files.model_folder import Model, ModelSet
from tests.forked_workers import run_forked
from tests.kept_variables import kept_variables
from tests.models.conftest import make_coarse
from tests.models.new_scans import write
from tests.sharing.tiny_models import DATASET, write_best, write_decision, write_model
from tests.stored_scans import placed, same_place

TRAINERS = ("MSCSTrainer", "nnUNetTrainer")


def run(words: list[str], folder: Path, results: Path) -> str:
    few = {"OMP_NUM_THREADS": "1", "nnUNet_def_n_proc": "1"}
    done = run_forked(words, cwd=folder, env={**kept_variables(), **few, "nnUNet_results": str(results)})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def predict(commands: list[str], folder: Path, results: Path) -> None:
    """Run commands that were printed, as typed but with these programs on the CPU."""
    for command in commands:
        name, *words = shlex.split(command.replace('"$nnUNet_results"', str(results)))
        device = ["-device", "cpu", "-npp", "1", "-nps", "1"] if name == "nnUNetv2_predict" else []
        run(nnunet_command(name, *words, *device), folder, results)


@pytest.mark.slow
def test_the_ensemble_predicts_the_masks_of_nnunets_commands_where_it_is_installed(tmp_path, monkeypatch, capsys):
    results = tmp_path / "trained"
    for trainer in TRAINERS:
        make_coarse(write_model(results, trainer), reader="SimpleITKIO")
    write_best(results, *TRAINERS)
    models = ModelSet(DATASET, tuple(Model(trainer, "nnUNetPlans", "2d") for trainer in TRAINERS), ("0", "1"))
    write_decision(results / DATASET / models.decisions, steps=1)
    for place in ("here", "there"):
        write(tmp_path / place / "SCANS", {"adc": "p1_0000.nii.gz", "dwi": "p1_0001.nii.gz"})
    commands = predict_commands(models, postprocess=True)
    predict(commands, tmp_path / "here", results)
    before = placed(tmp_path / "here/MASKS/p1.nii.gz")
    assert before[0].any()

    assert main(["export", str(results / DATASET), str(tmp_path / "best.zip"), "--small"]) == 0
    shutil.rmtree(results)
    for name in VARIABLES:
        monkeypatch.setenv(name, str(tmp_path / "there" / name))
    capsys.readouterr()
    assert main(["install", str(tmp_path / "best.zip")]) == 0
    printed = capsys.readouterr().out
    printed_commands = [line.strip() for line in printed.split("To predict:\n")[1].splitlines()]
    assert printed_commands == commands
    words = [
        "901",
        "-i",
        str(tmp_path / "there/SCANS"),
        "-o",
        str(tmp_path / "there/MASKS"),
        "--device",
        "cpu",
        "--precision",
        "float32",
        "--engine",
        "torch",
    ]
    assert main(["predict-best", *words]) == 0
    assert same_place(placed(tmp_path / "there/MASKS/p1.nii.gz"), before)
