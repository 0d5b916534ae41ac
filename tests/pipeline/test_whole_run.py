"""Whole runs with nnU-Net's real commands: pasted from a dry run, and killed at random moments of several stages."""

import random
import shutil

import pytest

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.nnunet_files.environment import VARIABLES
from tests.pipeline.whole_runs import (
    ALL_STAGES,
    DATASET,
    MODEL,
    call,
    differences,
    run_folder,
    run_with_kills,
    run_words,
    stage_names,
)

# Stages and the seconds after their beginning within which they are killed: they last longer on any machine.
KILLED_IN = {f"train_{MODEL}_fold1": 7, "predict": 7}


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_makes_what_the_typed_commands_make(pasted_run, tmp_path):
    source, pasted = pasted_run
    workspace = tmp_path / "killed"
    workspace.mkdir()
    rng = random.Random(5)
    kills = [
        kill
        for stage, longest_s in KILLED_IN.items()
        for kill in run_with_kills(source, workspace, [stage], rng, longest_s)
    ]
    assert [kill.stage for kill in kills if kill.in_its_midst] == list(KILLED_IN)
    last = call(run_words(source, workspace), tmp_path)
    assert last.returncode == 0, last.stdout + last.stderr
    assert differences(pasted, workspace) == []
    run = run_folder(workspace)
    assert sorted(stage_names(workspace)) == sorted(ALL_STAGES)
    assert str(run.report) in last.stdout
    assert "Dice" in last.stdout

    shutil.rmtree(workspace / f"nnUNet_preprocessed/{DATASET}/MSCSPlans_2d")
    again = call(run_words(source, workspace), tmp_path)
    assert again.returncode == 0, again.stderr
    assert "only if what they read has then changed" in again.stdout
    assert "preprocess MSCSPlans 2d: done in" in again.stdout
    assert again.stdout.count("done before") == len(ALL_STAGES) - 1, "the same data train nothing again"

    refused = call(run_words(source, workspace, "--seed", 1), tmp_path)
    assert refused.returncode == 1
    assert "--seed 1 instead of 0" in refused.stdout
    assert "Agree with --yes" in refused.stderr
    assert differences(pasted, workspace) == []


def test_wrong_use_is_told_before_anything_is_made(tmp_path, monkeypatch, capsys):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for words, message in (
        (["run"], "SOURCE is not given"),
        (["run", tmp_path / "none", 5, "X", "--workspace", tmp_path / "w"], "does not exist"),
        (["run", tmp_path, 5, "X"], "nnUNet_raw"),
        (["run", tmp_path, 5, "X", "--workspace", tmp_path / "w", "--wait"], "give --executor slurm"),
        (["run", tmp_path, 5, "X", "--workspace", tmp_path / "w", "--slurm", "time=60"], "give --executor slurm"),
        (["run", tmp_path, 5, "X", "--workspace", tmp_path / "w", "--executor", "slurm", "-np", 2], "--slurm cpus=12"),
        (["run", tmp_path, 5, "X", "--workspace", tmp_path / "w", "--executor", "slurm", "--slurm", "x=1"], "option x"),
        (["run", tmp_path, 5, "X", "--executor", "slurm", "--gpus", 0, "--workspace", tmp_path / "w"], "gpus-per-fold"),
        (["run", tmp_path, 5, "X", "--workspace", tmp_path / "w", "--device", "cpu", "--gpus", 0], "device is cpu"),
        (["run", tmp_path, 5, "X", "--workspace", tmp_path / "w", "--dry-run"], "lie in each other"),
    ):
        assert main([str(word) for word in words]) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("line", "message"), [("folds: [7]", "7"), ("fold: [1]", "there is no key fold. Did you mean folds?")]
)
def test_a_settings_file_is_checked_as_the_command_line_is(tmp_path, capsys, line, message):
    file = tmp_path / "run.yaml"
    file.write_text(f"source: here\ndataset_id: 5\nname: X\n{line}\n")
    with pytest.raises(SystemExit) as wrong:
        main(["run", "--config", str(file)])
    assert wrong.value.code == 2
    assert message in capsys.readouterr().err
