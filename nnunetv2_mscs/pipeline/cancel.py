"""Stop a run: its process on this machine, or its jobs on a cluster."""

import os
import re
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.slurm_queue import cancel_jobs
from nnunetv2_mscs.pipeline.state import RunFolder
from nnunetv2_mscs.workplace.leftovers import LOCK, sole_run
from nnunetv2_mscs.workplace.locks import holder_of, is_held

HOLDER = re.compile(r"Process (?P<process>\d+) on (?P<host>\S+)")
# More than the grace that commands get to end by themselves.
SECONDS_TO_END = 30.0
SECONDS_TO_DIE = 5.0


def cancel(run: RunFolder) -> list[str]:
    """End what is at work for a run; returns in words what was ended. What is done stays, so that the run can continue.

    Raises:
        MscsError: it is at work on another machine, does not end, or Slurm cannot be asked.
    """
    ended = []
    if is_held(run.path / LOCK):
        ended.append(_end_holder(run))
    if jobs := cancel_jobs(run):
        ended.append(f"cancelled Slurm's {'job' if len(jobs) == 1 else 'jobs'} {', '.join(jobs)}")
    return ended


def _end_holder(run: RunFolder) -> str:
    lock = run.path / LOCK
    holder = holder_of(lock)
    match = HOLDER.match(holder)
    if not match or match["host"] != socket.gethostname():
        raise MscsError(f"{holder}.", "Cancel it there, where the process can be reached.")
    process = int(match["process"])
    try:
        os.kill(process, signal.SIGTERM)
    except ProcessLookupError:
        raise MscsError(f"{holder}, out of reach from here.", "Cancel it from the container it runs in.") from None
    except PermissionError:
        raise MscsError(f"{holder}, and is another user's.", "Ask that user to cancel it.") from None
    ended = f"ended process {process}"
    if not _is_free_within(lock, SECONDS_TO_END):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        _is_free_within(lock, SECONDS_TO_DIE)
        ended = f"killed process {process}, which did not end by itself"
    # What it started continues without it, until the next holder of the folder ends it: this process, or a new run.
    with suppress(MscsError), sole_run(run.path):
        pass
    return ended


def _is_free_within(lock: Path, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while is_held(lock):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
