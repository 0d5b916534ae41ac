"""One run in a folder at a time, and an end to what a killed run left running there.

Whatever a run starts carries the folder's name in its environment, and so do the processes that this starts in turn:
that tells what is left of a run, whichever of them died.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnunetv2_mscs.errors import MscsError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

LOCK = "lock"
MARK = "MSCS_RUN_IN"
SECONDS_TO_END = 10.0
LOOKS = 4


@contextmanager
def sole_run(state: Path) -> Iterator[None]:
    """Hold the folder `state` for this process alone.

    The lock goes with the process that holds it, however that ends. What a killed run left running is ended first.

    Raises:
        MscsError: another process holds it, or the system has no such locks.
    """
    if fcntl is None:
        raise MscsError("This system has no file locks.", "Use Linux or macOS.")
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
        end_leftovers(state)
        yield


def marked(state: Path) -> dict[str, str]:
    """The variable that marks processes as started by a run in this folder."""
    return {MARK: str(state.resolve())}


def processes_of(state: Path) -> list[int]:
    """Processes that a run in this folder has started and that still run, as far as the system tells (/proc)."""
    mark = f"{MARK}={state.resolve()}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile, or another user's
            if int(folder.name) != os.getpid() and mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def end_leftovers(state: Path) -> None:
    """Kill what runs in this folder have left running.

    It looks until it finds none several times in a row: a process that is just being started shows no environment.
    """
    deadline = time.monotonic() + SECONDS_TO_END
    looks_without = 0
    while looks_without < LOOKS and time.monotonic() < deadline:
        left = processes_of(state)
        looks_without = 0 if left else looks_without + 1
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)
