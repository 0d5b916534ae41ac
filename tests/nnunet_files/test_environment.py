from pathlib import Path

import pytest

from nnunetv2_mscs import doctor
from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.environment import VARIABLES, check_folder_name, folders_of


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


# What no shell has replaced or another system writes, what is said of it, and what to type
FAULTS = {
    '"/d/raw"': ("stray quotes", '="/d/raw"'),
    "'/d/raw'": ("stray quotes", '="/d/raw"'),
    "“/d/raw”": ("stray quotes", '="/d/raw"'),
    '/d/raw"': ("stray quotes", '="/d/raw"'),
    '"$HOME/raw"': ("stray quotes", '="$HOME/raw"'),
    '"~/raw"': ("left ~ as it is", '="$HOME/raw"'),
    "$HOME/raw": ("left $HOME as it is", '="$HOME/raw"'),
    "${HOME}/raw": ("left ${HOME} as it is", '="${HOME}/raw"'),
    "/d/$USER/raw": ("left $USER as it is", '="/d/$USER/raw"'),
    "`pwd`/raw": ("left `pwd` as it is", ""),
    "%USERPROFILE%\\raw": ("left %USERPROFILE% as it is", '="/path/to/raw"'),
    "C:\\d\\raw": ("a path of Windows", '="/path/to/raw"'),
    "C:/d/raw": ("a path of Windows", '="/path/to/raw"'),
    "\\\\server\\raw": ("a path of Windows", '="/path/to/raw"'),
    "/d/raw\r": ("an end of line", '="/d/raw"'),
    " /d/raw": ("blanks", '="/d/raw"'),
    "\u200b/d/raw": ("signs that cannot be seen", '="/d/raw"'),
    "/d/raw\ufeff ": ("signs that cannot be seen", '="/d/raw"'),
    "=/d/raw": ("the name of a variable", '="/d/raw"'),
    "nnUNet_raw='/d/raw'": ("stray quotes", '="/d/raw"'),
    "nnUNet_raw=/d/raw": ("the name of a variable", '="/d/raw"'),
    "<your folder>/raw": ("<your folder> stands for", '="/path/to/raw"'),
    "/d/raw:/e/raw": ("several folders", '="/d/raw"'),
    "s3://d/raw": ("an address", '="/path/to/raw"'),
}


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("value", FAULTS)
def test_what_names_no_folder_is_refused_wherever_it_is_read(
    variable, value, nnunet_folders, tmp_path, monkeypatch, capsys
):
    """Each command that reads a variable names it and its fault, and makes nothing."""
    fault, remedy = FAULTS[value]
    here, scans = tmp_path / "here", tmp_path / "scans"
    for folder in (here, scans):
        folder.mkdir()
    (scans / "x.txt").write_text("x")
    monkeypatch.chdir(here)
    monkeypatch.setenv(variable, value)
    before = sorted(tmp_path.rglob("*"))
    commands = {
        "nnUNet_raw": [["convert", str(scans), "1", "X"], ["show", "--in", "1"], ["status"]],
        "nnUNet_preprocessed": [["convert", str(scans), "1", "X"], ["status"]],
        "nnUNet_results": [
            ["convert", str(scans), "1", "X"],
            ["export", "1", "x.zip"],
            ["install", "x.zip"],
            ["predict-best", "1", "-i", str(scans), "-o", "y"],
        ],
    }[variable]
    for words in commands:
        assert main(words) == 1, words
        said = capsys.readouterr().err
        assert f"{variable} is " in said, words
        assert fault in said, words
        assert remedy in said, words
    line = doctor._folder(variable)
    assert line.state != doctor.OK
    assert fault in line.text
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "value", ["/d/O'Brien/raw", "/d/two words/größe", "./raw", "/d/100%/raw", "raw-1_$", "lr=0.1/raw", "/d/a:b/raw"]
)
def test_odd_names_of_folders_are_theirs(value):
    check_folder_name("nnUNet_raw", value)


def test_an_option_is_checked_alike(tmp_path):
    with pytest.raises(MscsError, match=r"--workspace is \$WORK/x, in which the shell left \$WORK.*Write it as"):
        folders_of(Path("$WORK/x"))
