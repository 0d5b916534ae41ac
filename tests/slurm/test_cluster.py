"""The fixture itself ends with what started it, whatever ends that."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_cluster(tmp_path, running_slurm, ended_by):
    """By hand it is a command: Ctrl-C or SIGTERM ends it, and the daemons end with it even if it is killed."""
    script = str(Path(__file__).with_name("cluster.py"))
    with subprocess.Popen([sys.executable, script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as cluster:
        assert cluster.stdout is not None
        configuration = cluster.stdout.readline().strip().removeprefix("export ")
        assert processes_with(configuration)
        cluster.send_signal(ended_by)
    end = time.monotonic() + 120
    while processes_with(configuration):
        assert time.monotonic() < end
        time.sleep(0.1)


def processes_with(variable: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if variable.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(os.readlink(folder / "exe"))
        except OSError:
            continue
    return found
