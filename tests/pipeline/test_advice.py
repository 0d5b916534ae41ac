"""Advice to type a command works as it is printed, wherever nnU-Net's folders lie."""

import shlex

import pytest

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.nnunet_files.environment import VARIABLES, folders_of
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.state import RunFolder


@pytest.mark.parametrize("named", ["", "the same", "another"])
def test_status_and_cancel_find_the_run_as_they_are_printed(tmp_path, monkeypatch, capsys, named):
    workspace, other = tmp_path / "my work", tmp_path / "other"
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        if named:
            monkeypatch.setenv(name, str((workspace if named == "the same" else other) / name))
    folders = folders_of(workspace)
    run = RunFolder.of(folders, "Dataset061_Stroke")
    settings = RunSettings(str(tmp_path), 61, "Stroke")
    run.write_settings(settings, folders, {"executor": "local", "device": "cpu", "gpus": [], "processes": 1})
    for name in ("status", "cancel"):
        command = run.command(name)
        assert ("--workspace" in command) == (named != "the same")
        assert main(shlex.split(command)[1:]) == 0
        assert "Dataset061_Stroke" in capsys.readouterr().out
