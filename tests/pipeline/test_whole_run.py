"""Whole runs with nnU-Net's real commands: pasted from a dry run, and killed in their midst."""

import random
import shutil

import pytest

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.nnunet_files.environment import VARIABLES
from nnunetv2_mscs.pipeline.state import read_record
from tests.forked_workers import forked_stages
from tests.pipeline.whole_runs import (
    ALL_STAGES,
    BEGUN,
    DATASET,
    FEW_WORKERS,
    differences,
    run_folder,
    run_with_kills,
    run_words,
    stage_names,
)


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_makes_what_the_typed_commands_make(
    pasted_run, begun_run, monkeypatch, capsys
):
    """Killed in its first training, by the fixture, and within the first second of `predict`; then in this process."""
    source, pasted = pasted_run
    workspace = begun_run()
    (kill,) = run_with_kills(source, workspace, ["predict"], random.Random(5), longest_s=1)
    assert kill.in_its_midst
    for name, value in FEW_WORKERS.items():
        monkeypatch.setenv(name, value)
    words = run_words(source, workspace)[3:]
    with forked_stages():
        assert main(words) == 0
    last = capsys.readouterr().out
    assert differences(pasted, workspace) == []
    run = run_folder(workspace)
    assert sorted(stage_names(workspace)) == sorted(ALL_STAGES)
    assert read_record(run, BEGUN).attempts == 2
    assert str(run.report) in last
    assert "Dice" in last

    shutil.rmtree(workspace / f"nnUNet_preprocessed/{DATASET}/MSCSPlans_2d")
    with forked_stages():
        assert main(words) == 0
    again = capsys.readouterr().out
    assert "only if what they read has then changed" in again
    assert "preprocess MSCSPlans 2d: done in" in again
    assert again.count("done before") == len(ALL_STAGES) - 1, "the same data train nothing again"

    assert main([*words, "--seed", "1"]) == 1
    refused = capsys.readouterr()
    assert "--seed 1 instead of 0" in refused.out
    assert "Agree with --yes" in refused.err
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
