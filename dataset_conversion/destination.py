"""The dataset's place in nnUNet_raw: it appears there as a whole, or not at all."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nnunetv2_mscs.errors import MscsError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has none; leftovers of a killed run then stay until deleted by hand
    fcntl = None  # type: ignore[assignment]

RAW, PREPROCESSED, RESULTS = "nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"
PREFIX = ".mscs-convert-"
LOCK, NEW, REPLACED, RUBBISH = "lock", "new", "replaced", "rubbish"
SECONDS_TO_LOCK = 60.0


@dataclass(frozen=True)
class Destination:
    """A dataset folder in nnU-Net's raw data.

    Args:
        raw: the folder $nnUNet_raw.
        name: such as Dataset001_Stroke.
    """

    raw: Path
    name: str

    @property
    def path(self) -> Path:
        return self.raw / self.name


def find_destination(dataset_id: int, name: str, *, overwrite: bool) -> Destination:
    """Where the dataset will stand.

    Raises:
        MscsError: nnUNet_raw is not set or not writable, the id is taken by another name, or the dataset exists.
    """
    setting = os.environ.get(RAW)
    if not setting:
        raise MscsError("nnUNet_raw is not set.", "Type: export nnUNet_raw=/path/to/nnUNet_raw")
    destination = Destination(Path(setting), f"Dataset{dataset_id:03d}_{name}")
    _check_writable(destination.raw)
    for folder in _namesakes(dataset_id, destination.name):
        raise MscsError(
            f"The id {dataset_id} is taken by {folder}, and nnU-Net refuses two datasets with one id.",
            f"Choose another id, or the name {folder.name.split('_', 1)[-1]}.",
        )
    if destination.path.exists() and not overwrite:
        raise MscsError(f"{destination.path} exists.", "Choose another id, or replace it with --overwrite.")
    return destination


def _check_writable(raw: Path) -> None:
    existing = next(folder for folder in (raw, *raw.absolute().parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise MscsError(f"nnUNet_raw ({raw}) is not a folder you may write to.", "Set nnUNet_raw to a folder of yours.")


def _namesakes(dataset_id: int, name: str) -> list[Path]:
    """Folders of another name with this id, in any of nnU-Net's three folders."""
    roots = [os.environ.get(variable) for variable in (RAW, PREPROCESSED, RESULTS)]
    folders = [Path(root) for root in roots if root and Path(root).is_dir()]
    found = [path for folder in folders for path in folder.glob(f"Dataset{dataset_id:03d}*") if path.is_dir()]
    return sorted(path for path in found if path.name != name)


@contextmanager
def staged(destination: Destination, *, overwrite: bool) -> Iterator[Path]:
    """A hidden folder to build the dataset in; when the block ends well, it becomes the dataset in one rename.

    Any exception removes it. A killed process leaves it hidden, unlocked, for `clear_leftovers` of the next run.
    """
    made = _make_folders(destination.raw)
    place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=destination.raw))
    lock = _hold_lock(place)
    published = False
    try:
        new = place / NEW
        new.mkdir()
        yield new
        _publish(new, destination, place, overwrite=overwrite)
        published = True
    finally:
        shutil.rmtree(place, ignore_errors=True)
        lock.close()
        if not published:
            for folder in reversed(made):
                with suppress(OSError):
                    folder.rmdir()


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder with its parents; returns those that were not there, outermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()][::-1]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _publish(new: Path, destination: Destination, place: Path, *, overwrite: bool) -> None:
    if not destination.path.exists():
        new.rename(destination.path)
        return
    if not overwrite:
        raise MscsError(f"{destination.path} appeared while this was at work.", "Choose another id.")
    old = place / REPLACED / destination.name
    old.parent.mkdir()
    destination.path.rename(old)
    try:
        new.rename(destination.path)
    except BaseException:
        if not destination.path.exists():
            old.rename(destination.path)
        raise
    old.parent.rename(place / RUBBISH)


def _hold_lock(place: Path) -> IO[bytes]:
    """An open file whose lock the system releases when this process ends, however it ends."""
    unlocked = place / f"{LOCK}.new"
    handle = unlocked.open("wb")
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX)
    unlocked.rename(place / LOCK)
    return handle


def clear_leftovers(raw: Path) -> list[Path]:
    """Remove what killed runs left in nnUNet_raw; a dataset that one had set aside to replace is put back.

    Returns:
        The folders removed.
    """
    if fcntl is None or not raw.is_dir():
        return []
    removed = [place for place in sorted(raw.glob(f"{PREFIX}*")) if _is_abandoned(place)]
    for place in removed:
        for old in (place / REPLACED).glob("*"):
            if not (raw / old.name).exists():
                old.rename(raw / old.name)
        shutil.rmtree(place, ignore_errors=True)
    return removed


def _is_abandoned(place: Path) -> bool:
    try:
        with (place / LOCK).open("ab") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except FileNotFoundError:
        return time.time() - place.stat().st_mtime > SECONDS_TO_LOCK
    except OSError:
        return False
