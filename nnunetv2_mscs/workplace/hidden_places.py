"""Results are built in hidden places beside their own, and appear whole or not at all, whatever ends the work."""

import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from nnunetv2_mscs.workplace.whole_files import write_whole

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has none; leftovers of a killed run then stay until deleted by hand
    fcntl = None  # type: ignore[assignment]

LOCK, NEW, REPLACED, RUBBISH = "lock", "new", "replaced", "rubbish"
COMING, GOING, MOVES = "coming", "going", "moves.json"
SECONDS_TO_LOCK = 60.0
NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}


@contextmanager
def hidden_place(parent: Path, prefix: str) -> Iterator[Path]:
    """A hidden folder in `parent`, locked as long as this process works in it, and removed at the end."""
    with _hidden_folder(parent, prefix) as place, _locked(place):
        yield place


@contextmanager
def _hidden_folder(parent: Path, prefix: str) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        yield place
    finally:
        _discard(place)


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Hold a lock that the system releases when this process ends, however it ends.

    Where the file system knows no locks the work goes on without: there `clear_leftovers` takes nothing for abandoned.
    """
    unlocked = place / f"{LOCK}.new"
    with unlocked.open("wb") as handle:
        _lock(handle)
        unlocked.rename(place / LOCK)
        yield


def _lock(handle: IO[bytes]) -> None:
    """Lock an open file, waiting for it; without effect where the file system knows no locks."""
    if fcntl is None:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def held_file(path: Path) -> IO[bytes]:
    """The file, open and locked: not one that its former holder has removed while this one waited."""
    while True:
        handle = path.open("wb")
        _lock(handle)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle.fileno()), path.stat()):
                return handle
        handle.close()


def replace_folder(old: Path, new: Path, place: Path) -> None:
    """Put `new` where `old` stands; should that fail, the end of the hidden `place` beside it puts `old` back."""
    aside = place / REPLACED / old.name
    aside.parent.mkdir()
    old.rename(aside)
    new.rename(old)
    aside.parent.rename(place / RUBBISH)


def replace_together(new: Path, names: Sequence[str], place: Path) -> None:
    """Put several parts of the folder `new` where those of the same names stand beside the hidden `place`, or none.

    Should that fail, or this process be killed, the end of the hidden place takes back what has come and puts back
    what has gone.

    Args:
        new: in `place`.
        names: of files and folders in `new`, with `/` between folders.
        place: the hidden folder in the folder where they are to stand.
    """
    new.rename(place / COMING)
    write_whole(place / MOVES, json.dumps(list(names)))
    for name in names:
        old, aside = place.parent / name, place / GOING / name
        if os.path.lexists(old):
            aside.parent.mkdir(parents=True, exist_ok=True)
            old.rename(aside)
        old.parent.mkdir(exist_ok=True)
        (place / COMING / name).rename(old)
    (place / MOVES).rename(place / RUBBISH)


def _take_back(place: Path) -> None:
    """Undo the moves of `replace_together` that was not completed; to be killed here does no harm, either."""
    try:
        names = json.loads((place / MOVES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    for name in reversed(names):
        old, aside, coming = place.parent / name, place / GOING / name, place / COMING / name
        if not os.path.lexists(coming):
            old.rename(coming)
        if os.path.lexists(aside):
            aside.rename(old)
        if old.parent != place.parent:
            with suppress(OSError):
                old.parent.rmdir()
    (place / MOVES).unlink()


def clear_leftovers(parent: Path, prefix: str) -> list[Path]:
    """Remove hidden places that killed runs left in a folder; what one had set aside to replace is put back.

    Returns:
        The folders removed.
    """
    if fcntl is None or not parent.is_dir():
        return []
    removed = [place for place in sorted(parent.glob(f"{prefix}*")) if _is_abandoned(place)]
    for place in removed:
        _discard(place)
    return removed


def _discard(place: Path) -> None:
    """Remove a hidden folder, once a dataset set aside in it stands in its place again or has been replaced."""
    _take_back(place)
    for old in (place / REPLACED).glob("*"):
        if not (place.parent / old.name).exists():
            with suppress(FileNotFoundError):
                old.rename(place.parent / old.name)
    shutil.rmtree(place, ignore_errors=True)


def _is_abandoned(place: Path) -> bool:
    """Whether the process that made a hidden folder has ended; one just made has no lock yet."""
    try:
        with (place / LOCK).open("rb+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except FileNotFoundError:
        with suppress(FileNotFoundError):
            return time.time() - place.stat().st_mtime > SECONDS_TO_LOCK
        return False
    except OSError:
        return False


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """A folder with its parents; those that were not there go again if the block fails."""
    made = _make(folder)
    try:
        yield
    except BaseException:
        _unmake(made)
        raise


def _make(folder: Path) -> list[Path]:
    """Make a folder with its parents; returns those that were not there, or makes none and raises."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except BaseException:
        _unmake(missing)
        raise
    return missing


def _unmake(folders: Sequence[Path]) -> None:
    for path in folders:
        with suppress(OSError):
            path.rmdir()
