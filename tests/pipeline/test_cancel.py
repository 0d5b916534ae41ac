"""Ending a run that is at work on this machine; tests/slurm has those on a cluster."""

import subprocess
import sys
import time

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline import cancel as cancelling
from nnunetv2_mscs.pipeline.cancel import cancel
from nnunetv2_mscs.pipeline.state import RunFolder
from nnunetv2_mscs.workplace.leftovers import LOCK, marked, processes_with, sole_run
from nnunetv2_mscs.workplace.locks import is_held

HOLDER = """
import sys, time
from pathlib import Path
from nnunetv2_mscs.workplace.leftovers import sole_run
with sole_run(Path(sys.argv[1])):
    time.sleep(300)
"""


@pytest.fixture
def run_folder(tmp_path):
    folder = tmp_path / "Dataset001_Fake" / "mscs_run"
    folder.mkdir(parents=True)
    return RunFolder(folder)


def test_nothing_to_end_is_fine(run_folder):
    assert cancel(run_folder) == []
    with sole_run(run_folder.path):
        pass
    assert cancel(run_folder) == [], "the lock's file stays, and names a process that is gone"


def test_the_process_at_work_is_ended(run_folder):
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(run_folder.path)]) as holder:
        end = time.monotonic() + 30
        while not is_held(run_folder.path / LOCK):
            assert time.monotonic() < end
            time.sleep(0.05)
        assert cancel(run_folder) == [f"ended process {holder.pid}"]
        assert holder.wait(10) != 0
    assert not is_held(run_folder.path / LOCK)


def test_a_run_on_another_machine_is_not_ended_here(run_folder):
    with sole_run(run_folder.path):
        (run_folder.path / LOCK).write_text("Process 1 on elsewhere is at work in /data")
        with pytest.raises(MscsError, match=r"on elsewhere is at work.*Cancel it there"):
            cancel(run_folder)


STUBBORN = """
import os, signal, subprocess, sys, time
from pathlib import Path
from nnunetv2_mscs.workplace.leftovers import marked, sole_run
signal.signal(signal.SIGTERM, signal.SIG_IGN)
state = Path(sys.argv[1])
with sole_run(state):
    words = [sys.executable, "-c", "import time; time.sleep(300)"]
    training = subprocess.Popen(words, env={**os.environ, **marked(state)}, start_new_session=True)
    (state / "training").write_text(str(training.pid))
    time.sleep(300)
"""


def test_what_a_killed_process_has_started_ends_with_it(run_folder, monkeypatch):
    monkeypatch.setattr(cancelling, "SECONDS_TO_END", 1.0)
    with subprocess.Popen([sys.executable, "-c", STUBBORN, str(run_folder.path)]) as holder:
        end = time.monotonic() + 30
        while not (run_folder.path / "training").exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        while len(processes_with(marked(run_folder.path))) != 1:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert cancel(run_folder) == [f"killed process {holder.pid}, which did not end by itself"]
    assert processes_with(marked(run_folder.path)) == []
    assert not is_held(run_folder.path / LOCK)
