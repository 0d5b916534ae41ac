"""The commands of this environment, in processes of their own with nnU-Net's folders set."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.forked_workers import run_forked
from tests.kept_variables import kept_variables

# Two cores: without these nnU-Net starts a dozen workers that each import torch.
FEW_WORKERS = {"nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1"}


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> Path:
    """A folder with nnU-Net's three folders in it."""
    folder = tmp_path_factory.mktemp("end_to_end")
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (folder / name).mkdir()
    return folder


@pytest.fixture(scope="session")
def variables(folders) -> dict[str, str]:
    """What the commands find exported."""
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    return kept_variables() | FEW_WORKERS | {name: str(folders / name) for name in names}


@pytest.fixture(scope="session")
def command(folders, variables) -> Callable[..., str]:
    """A function that runs a command of this environment, insists on success, and returns what it printed."""

    def run(*words: str | int | Path) -> str:
        program, *arguments = (str(word) for word in words)
        words = [str(Path(sys.executable).parent / program), *arguments]
        result = run_forked(words, cwd=folders, env=variables)
        output = result.stdout + result.stderr
        assert result.returncode == 0, output[-5000:]
        return output

    return run
