"""One run in a folder at a time, and an end to what a killed run left running there."""

import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnunetv2_mscs.errors import MscsError

LOCK, RUNNING = "lock", "running.json"


@contextmanager
def sole_run(state: Path) -> Iterator[None]:
    """Hold the folder `state` for this process alone.

    The lock goes with the process that holds it, however that ends. Commands that a killed run left are ended first.

    Raises:
        MscsError: another process holds it.
    """
    state.mkdir(parents=True, exist_ok=True)
    with (state / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise MscsError(
                f"Process {holder} is at work in {state.parent} already.", "Wait for its end, or choose another folder."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        end_leftover(state)
        yield


def remember_process(state: Path, group: int) -> None:
    """Note the process group of a command that has just been started."""
    (state / RUNNING).write_text(json.dumps({"group": group, "started": _start_time(group)}))


def forget_process(state: Path) -> None:
    """The command has ended."""
    (state / RUNNING).unlink(missing_ok=True)


def end_leftover(state: Path) -> None:
    """Kill the command that a run in this folder started and did not live to end.

    A process is known by its number and the time of its start: numbers are given again.
    """
    file = state / RUNNING
    try:
        noted = json.loads(file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        noted = None
    if noted and noted["started"] and _start_time(noted["group"]) == noted["started"]:
        with suppress(ProcessLookupError):
            os.killpg(noted["group"], signal.SIGKILL)
    file.unlink(missing_ok=True)


def _start_time(process: int) -> str:
    """When a process started, as the system says it; empty if there is no such process."""
    if Path("/proc/self/stat").exists():
        with suppress(OSError):
            facts = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            return facts[19] if facts[0] != "Z" else ""
        return ""
    return subprocess.run(["ps", "-o", "lstart=", "-p", str(process)], capture_output=True, text=True).stdout.strip()
