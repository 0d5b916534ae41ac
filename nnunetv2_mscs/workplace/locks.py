"""Locks on files: one process at a time holds one, and the system releases it however that process ends."""

import errno
import os
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

# How a file system answers that has no locks.
NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
WAIT = "Wait for its end, or choose another folder."
AT_WORK = " is at work in "
LOOKS, SECONDS_BETWEEN_LOOKS = 4, 0.05


def lock(file: IO, *, wait: bool = False, shared: bool = False) -> bool:
    """Lock an open file for as long as it is open; False if another process holds it and `wait` is not set.

    Raises:
        OSError: the system or the disk has no locks (its errno is one of NO_LOCKS), or locking failed.
    """
    if fcntl is None:
        raise OSError(errno.ENOSYS, "this system has no file locks")
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def lock_where_possible(file: IO) -> None:
    """Lock an open file, waiting for it; without effect where there are no locks."""
    try:
        lock(file, wait=True)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def held_file(path: Path) -> IO[bytes]:
    """The file, open and locked, and not one that its former holder removed while this process waited."""
    while True:
        handle = path.open("wb")
        lock_where_possible(handle)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle.fileno()), path.stat()):
                return handle
        handle.close()


@contextmanager
def sole_holder(path: Path, place: Path, *, remedy: str = WAIT) -> Iterator[None]:
    """Hold the lock file `path` for this process alone; it names this process and `place` to all others.

    Raises:
        MscsError: another process holds it, or the system or its disk has no locks.
    """
    with path.open("a+") as handle:
        if not _locked_soon(handle):
            raise MscsError(f"{holder_of(path)} already.", remedy)
        handle.truncate(0)
        handle.write(f"Process {os.getpid()} on {socket.gethostname()}{AT_WORK}{place}")
        handle.flush()
        yield


def _locked_soon(handle: IO[str]) -> bool:
    """Lock an open file, unless another process holds it for longer than `is_held` does."""
    for _ in range(LOOKS):
        try:
            if lock(handle):
                return True
        except OSError as error:
            finding = f"{handle.name} cannot be locked: {error.strerror}."
            raise MscsError(finding, "Mount that disk with locks (Lustre: flock), or use another.") from None
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return False


def holder_of(path: Path) -> str:
    """What the holder of a lock wrote into it: "Process 123 on HOST is at work in PLACE"."""
    return path.read_text(errors="replace").strip() or "Another process is at work there"


def last_place(path: Path) -> Path | None:
    """The place that the last holder of a lock worked in; None if there was none."""
    _, said, place = holder_of(path).partition(AT_WORK) if path.is_file() else ("", "", "")
    return Path(place) if said else None


def is_held(path: Path) -> bool:
    """Whether a process holds the lock."""
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        try:
            return not lock(handle, shared=True)
        except OSError:  # without locks nothing can hold one
            return False
