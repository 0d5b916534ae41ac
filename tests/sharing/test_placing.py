"""A model is placed whole or not at all, whatever ends the work, and nothing of the user's is lost by it."""

import os
import signal
import sys
from pathlib import Path

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.sharing.exporting import ExportRequest, export
from nnunetv2_mscs.sharing.installing import install
from nnunetv2_mscs.workplace import hidden_places
from tests.forked_workers import run_forked
from tests.sharing.tiny_models import DATASET, ENSEMBLE, MSCS, NNUNET, write_best, write_decision

MODELS = (MSCS, NNUNET)


class Stopped(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def best(results, tmp_path, monkeypatch) -> Path:
    """The zip of an ensemble."""
    write_best(results, "MSCSTrainer", "nnUNetTrainer")
    write_decision(results / DATASET / ENSEMBLE, steps=1)
    export(tmp_path / "best.zip", ExportRequest("901"))
    monkeypatch.delenv("nnUNet_results")
    return tmp_path / "best.zip"


@pytest.fixture
def there(tmp_path) -> Path:
    """A folder of results with a former model of one name, and another model."""
    for name in (MSCS, "OtherTrainer__nnUNetPlans__2d"):
        (tmp_path / "there" / DATASET / name).mkdir(parents=True)
        (tmp_path / "there" / DATASET / name / "plans.json").write_text("old")
    return tmp_path / "there"


def state(results: Path) -> dict[str, bytes]:
    """All files but those in hidden places."""
    files = {str(file.relative_to(results)): file for file in results.rglob("*") if file.is_file()}
    return {name: file.read_bytes() for name, file in files.items() if "/." not in name}


def stop_at(monkeypatch, count: int, error: BaseException) -> None:
    """Let the `count`th renaming of a file or folder fail."""
    rename, calls = Path.rename, iter(range(1, count + 1))

    def counted(self, target):
        if next(calls, None) == count:
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", counted)


def stopped_everywhere(best: Path, there: Path, monkeypatch, error: BaseException, kind: type[BaseException]):
    """After each renaming in turn at which an installation stops."""
    for count in range(1, 30):
        with monkeypatch.context() as patch:
            stop_at(patch, count, error)
            if isinstance(error, Stopped):  # a process that was killed tidies up nothing
                patch.setattr(hidden_places, "_discard", lambda _: None)
            try:
                install(best, results=there, overwrite=True)
                return
            except kind:
                pass
        yield count
    raise AssertionError("it stops for ever")


def test_an_error_in_the_middle_leaves_all_as_it_was(best, there, monkeypatch):
    before = state(there)
    stops = 0
    for stops in stopped_everywhere(best, there, monkeypatch, OSError(5, "broken"), MscsError):
        assert state(there) == before, stops
        assert not (there / DATASET / "ensembles").exists()
        assert not list(there.rglob(".mscs-install-*"))
    assert stops >= 6
    assert (there / DATASET / ENSEMBLE / "postprocessing.pkl").is_file()


def test_after_a_kill_anywhere_the_next_call_restores_all_or_finds_it_whole(best, there, monkeypatch):
    before = state(there)
    stops = 0
    for stops in stopped_everywhere(best, there, monkeypatch, Stopped(), Stopped):
        with pytest.raises(MscsError, match="there already"):  # a call that places nothing
            install(best, results=there)
        after = state(there)
        whole = f"{DATASET}/{ENSEMBLE}/postprocessing.pkl" in after
        if not whole:
            assert after == before, stops
            continue
        assert all(after[f"{DATASET}/{name}/plans.json"] != b"old" for name in MODELS), stops
        break
    assert stops >= 6
    assert (there / DATASET / "OtherTrainer__nnUNetPlans__2d" / "plans.json").read_text() == "old"


def test_a_model_that_a_killed_process_was_replacing_comes_back(exported, tmp_path):
    there = tmp_path / "there"
    install(exported, results=there)
    (there / DATASET / MSCS / "plans.json").write_text("old")
    before = state(there)
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "rename = Path.rename\n"
        "def killed(self, target):\n"
        f"    if Path(target) == Path({str(there / DATASET / MSCS)!r}):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return rename(self, target)\n"
        "Path.rename = killed\n"
        "from nnunetv2_mscs.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    words = ["install", str(exported), "--results", str(there), "--overwrite"]
    done = run_forked([sys.executable, "-c", code, *words], tmp_path, os.environ)
    assert done.returncode == -signal.SIGKILL
    assert not (there / DATASET / MSCS).exists()
    with pytest.raises(MscsError, match="there already"):
        install(exported, results=there)
    assert state(there) == before
    assert not list(there.rglob(".mscs-install-*"))


def test_a_data_set_of_the_same_id_is_told(exported, tmp_path, monkeypatch):
    for variable in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        folder = tmp_path / variable
        (folder / "Dataset901_Mine").mkdir(parents=True)
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            monkeypatch.setenv(name, str(tmp_path / ("empty" if name != variable else name)))
        with pytest.raises(MscsError, match=r"id 901 is taken by .*Dataset901_Mine.*--results"):
            install(exported)
        assert not (tmp_path / "empty" / DATASET).exists()
    assert install(exported, results=tmp_path / "elsewhere").folders
    with pytest.raises(MscsError, match="id 901 is taken"):
        install(exported, results=tmp_path / "nnUNet_results")
