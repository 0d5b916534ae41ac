"""One run in a folder at a time, and an end to what a killed run left running there.

Whatever a run starts carries the folder's name in its environment, and so do the processes that this starts in turn:
that tells what is left of a run, whichever of them died.
"""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from nnunetv2_mscs.errors import MscsError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

LOCK = "lock"
MARK = "MSCS_RUN_IN"
STAGE_MARK = "MSCS_STAGE"
WAIT = "Wait for its end, or choose another folder."
AT_WORK = " is at work in "
SECONDS_TO_END = 10.0
LOOKS = 4


@contextmanager
def sole_run(state: Path, *, remedy: str = WAIT) -> Iterator[None]:
    """Hold the folder `state` for this process alone.

    The lock goes with the process that holds it, however that ends. What a killed run left running is ended first.

    Raises:
        MscsError: another process holds it, or the system has no such locks.
    """
    state.mkdir(parents=True, exist_ok=True)
    with sole_holder(state / LOCK, state.parent, remedy=remedy):
        end_leftovers(MARK, str(state.resolve()))
        yield


@contextmanager
def sole_holder(lock: Path, place: Path, *, remedy: str = WAIT) -> Iterator[None]:
    """Hold the file `lock` for this process alone; who else wants it is told this process and `place`.

    Raises:
        MscsError: another process holds it, or the system or its disk has no such locks.
    """
    if fcntl is None:
        raise MscsError("This system has no file locks.", "Use Linux or macOS.")
    with lock.open("a+") as handle:
        if not _locked(handle):
            raise MscsError(f"{holder_of(lock)} already.", remedy)
        handle.truncate(0)
        handle.write(f"Process {os.getpid()} on {socket.gethostname()}{AT_WORK}{place}")
        handle.flush()
        yield


def _locked(handle: IO[str]) -> bool:
    """Lock an open file, unless another process holds it for more than the moment in which `is_held` looks."""
    for _ in range(LOOKS):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.05)
        except OSError as error:
            finding = f"{handle.name} cannot be locked: {error.strerror}."
            raise MscsError(finding, "Mount that disk with locks (Lustre: flock), or use another.") from None
    return False


def holder_of(lock: Path) -> str:
    """What the holder of a lock has written into it: "Process 123 on HOST is at work in PLACE"."""
    return lock.read_text(errors="replace").strip() or "Another process is at work there"


def last_place(lock: Path) -> Path | None:
    """The place that the last holder of a lock was at work in; None if there was none."""
    _, said, place = holder_of(lock).partition(AT_WORK) if lock.is_file() else ("", "", "")
    return Path(place) if said else None


def is_held(lock: Path) -> bool:
    """Whether a process holds the lock."""
    if fcntl is None or not lock.is_file():
        return False
    with lock.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a disk without locks, on which nothing can hold one
            return False
        return False


def marked(state: Path) -> dict[str, str]:
    """The variable that marks processes as started by a run in this folder."""
    return {MARK: str(state.resolve())}


def processes_of(state: Path) -> list[int]:
    """Processes that a run in this folder has started and that still run, as far as the system tells (/proc)."""
    return processes_with(MARK, str(state.resolve()))


def processes_with(variable: str, value: str) -> list[int]:
    """Processes of this machine, but for this one, that have a variable in their environment."""
    mark = f"{variable}={value}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile, or another user's
            if int(folder.name) != os.getpid() and mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def end_leftovers(variable: str, value: str) -> None:
    """Kill what has a variable in its environment, and was left running by a process that was killed.

    It looks until it finds none several times in a row: a process that is just being started shows no environment.
    """
    deadline = time.monotonic() + SECONDS_TO_END
    looks_without = 0
    while looks_without < LOOKS and time.monotonic() < deadline:
        left = processes_with(variable, value)
        looks_without = 0 if left else looks_without + 1
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)
