import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.environment import VARIABLES, folders_of


def test_a_workspace_holds_all_three_whatever_the_variables_say(nnunet_folders, tmp_path):
    folders = folders_of(tmp_path / "elsewhere")

    assert folders.environment == {name: str(tmp_path / "elsewhere" / name) for name in VARIABLES}


def test_relative_variables_become_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.setenv(name, f"data/{name}")

    assert folders_of().results == tmp_path / "data" / "nnUNet_results"


def test_every_unset_variable_is_named(nnunet_folders, monkeypatch):
    monkeypatch.delenv("nnUNet_raw")
    monkeypatch.setenv("nnUNet_results", "")

    with pytest.raises(MscsError, match=r"nnUNet_raw and nnUNet_results are not set.*export nnUNet_raw=.*--workspace"):
        folders_of()


def test_a_tilde_that_no_shell_replaced_is_refused(nnunet_folders, monkeypatch):
    monkeypatch.setenv("nnUNet_results", "~/results")

    with pytest.raises(MscsError, match=r"nnUNet_results is ~/results.*\$HOME/results"):
        folders_of()
