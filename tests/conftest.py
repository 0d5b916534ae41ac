"""Where the shared files lie: the original's golden numbers and real scans, by the project or by variables."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]

# nnU-Net reads it once, when it is imported: every validation would start eight processes that each import torch.
os.environ.setdefault("nnUNet_def_n_proc", "1")


def _shared(variable: str, folder: str) -> Path:
    path = Path(os.environ.get(variable, PROJECT.parent / "shared" / folder))
    if not path.is_dir():
        if os.environ.get("MSCS_REQUIRE_DATA"):
            pytest.fail(f"{path} is not there, and MSCS_REQUIRE_DATA forbids to go without")
        pytest.skip(f"{path} is not there; name its place by {variable}")
    return path


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    """Inputs, weights, inner tensors and outputs of the original network."""
    return _shared("MSCS_GOLDEN_DATA", "golden")


@pytest.fixture(scope="session")
def real_folder() -> Path:
    """Real scans: images/, masks/, unlabelled/."""
    return _shared("MSCS_REAL_DATA", "real")


@pytest.fixture(scope="session")
def field_folder() -> Path:
    """Small odd inputs after public reports, a folder each: see its README."""
    return _shared("MSCS_FIELD_DATA", "field")


@pytest.fixture
def nnunet_folders(tmp_path, monkeypatch) -> Path:
    """nnU-Net's three folders, new and empty, as its environment variables name them."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path


@pytest.fixture(scope="session")
def pasted_run(tmp_path_factory):
    """Phantoms, and the workspace of a whole run on them that a dry run's commands have made in a shell."""
    from tests.pipeline.whole_runs import make_phantoms, paste_dry_run

    folder = tmp_path_factory.mktemp("pasted")
    source = make_phantoms(folder, cases=7)
    (folder / "workspace").mkdir()
    done = paste_dry_run(source, folder / "workspace")
    assert done.returncode == 0, done.stdout + done.stderr
    return source, folder / "workspace"


@pytest.fixture(scope="session")
def begun_run(pasted_run, tmp_path_factory) -> Callable[[], Path]:
    """A function that lays a run that was killed in its first training into its place; returns the workspace.

    Its records hold the files' paths: whoever takes it removes what another has made of it.
    """
    from tests.pipeline.whole_runs import BEGUN, kill_in_first_epoch

    place = tmp_path_factory.mktemp("begun") / "workspace"
    kept = place.with_name("kept")
    place.mkdir()
    kill_in_first_epoch(pasted_run[0], place, BEGUN)
    place.rename(kept)

    def lay() -> Path:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(kept, place)
        return place

    return lay
