"""Ending a run that is at work on this machine; tests/slurm has those on a cluster."""

import subprocess
import sys
import time

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.executors.cancelling import cancel
from nnunetv2_mscs.pipeline.leftovers import LOCK, is_held, sole_run
from nnunetv2_mscs.pipeline.state.run_folder import RunFolder

HOLDER = """
import sys, time
from pathlib import Path
from nnunetv2_mscs.pipeline.leftovers import sole_run
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
