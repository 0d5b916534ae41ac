"""Hidden places where results are built, so that they appear at their own place whole or not at all."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from nnunetv2_mscs.workplace.locks import lock, lock_where_possible
from nnunetv2_mscs.workplace.whole_files import write_whole

LOCK, NEW, SET_ASIDE, RUBBISH = "lock", "new", "replaced", "rubbish"
COMING, GOING, MOVES = "coming", "going", "moves.json"
SECONDS_TO_LOCK = 60.0


@contextmanager
def hidden_place(parent: Path, prefix: str) -> Iterator[Path]:
    """A hidden folder in `parent`, locked while this process works in it, and removed at the end."""
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

    Where the file system has no locks, the work goes on without them, and `clear_leftovers` finds nothing abandoned.
    """
    unlocked = place / f"{LOCK}.new"
    with unlocked.open("wb") as handle:
        lock_where_possible(handle)
        unlocked.rename(place / LOCK)
        yield


def replace_folder(old: Path, new: Path, place: Path) -> None:
    """Put `new` where `old` stands; should that fail, the end of the hidden `place` beside it puts `old` back."""
    aside = place / SET_ASIDE / old.name
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
    """Remove the hidden places that killed runs left in a folder; what they had set aside for replacement is put back.

    Returns:
        The folders removed.
    """
    if not parent.is_dir():
        return []
    removed = [place for place in sorted(parent.glob(f"{prefix}*")) if _is_abandoned(place)]
    for place in removed:
        _discard(place)
    return removed


def _discard(place: Path) -> None:
    """Remove a hidden folder, after a folder that was set aside in it is back in its place or has been replaced."""
    _take_back(place)
    for old in (place / SET_ASIDE).glob("*"):
        if not (place.parent / old.name).exists():
            with suppress(FileNotFoundError):
                old.rename(place.parent / old.name)
    shutil.rmtree(place, ignore_errors=True)


def _is_abandoned(place: Path) -> bool:
    """Whether the process that made a hidden folder has ended; a new one has no lock yet."""
    try:
        with (place / LOCK).open("rb+") as handle:
            return lock(handle)
    except FileNotFoundError:
        with suppress(FileNotFoundError):
            return time.time() - place.stat().st_mtime > SECONDS_TO_LOCK
        return False
    except OSError:  # no locks: it may be at work
        return False


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """Make a folder with its parents; if the block fails, those that are new are removed again."""
    made = _make(folder)
    try:
        yield
    except BaseException:
        _unmake(made)
        raise


def _make(folder: Path) -> list[Path]:
    """Make a folder with its parents; returns those that are new. If it raises, it has made none."""
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
