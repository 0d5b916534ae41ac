"""The dataset's place in nnUNet_raw: it appears there as a whole, or not at all."""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.errors import MscsError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has none; leftovers of a killed run then stay until deleted by hand
    fcntl = None  # type: ignore[assignment]

RAW, PREPROCESSED, RESULTS = "nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"
PREFIX = ".mscs-convert-"
LOCK, NEW, REPLACED, RUBBISH = "lock", "new", "replaced", "rubbish"
SECONDS_TO_LOCK = 60.0
NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}


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


def raw_folder() -> Path:
    """The folder $nnUNet_raw, which need not exist yet.

    Raises:
        MscsError: it is not set or not writable.
    """
    setting = os.environ.get(RAW)
    if not setting:
        raise MscsError("nnUNet_raw is not set.", "Type: export nnUNet_raw=/path/to/nnUNet_raw")
    _check_writable(Path(setting))
    return Path(setting)


def find_destination(raw: Path, dataset_id: int, name: str, *, overwrite: bool) -> Destination:
    """Where the dataset will stand in the folder `raw`, once leftovers are cleared from it.

    Raises:
        MscsError: the id is taken by another name, or the dataset exists.
    """
    destination = Destination(raw, f"Dataset{dataset_id:03d}_{name}")
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
    with _made(destination.raw), _hidden_folder(destination.raw) as place, _locked(place):
        new = place / NEW
        new.mkdir()
        yield new
        _publish(new, destination, place, overwrite=overwrite)


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """A folder with its parents; those that were not there go again if the block fails."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for path in missing:
            with suppress(OSError):
                path.rmdir()
        raise


@contextmanager
def _hidden_folder(raw: Path) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=raw))
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
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
        unlocked.rename(place / LOCK)
        yield


def _publish(new: Path, destination: Destination, place: Path, *, overwrite: bool) -> None:
    """Put the new dataset in its place; if that fails, `_discard` puts back the old one."""
    if not destination.path.exists():
        new.rename(destination.path)
        return
    if not overwrite:
        raise MscsError(f"{destination.path} appeared while this was at work.", "Choose another id.")
    old = place / REPLACED / destination.name
    old.parent.mkdir()
    destination.path.rename(old)
    new.rename(destination.path)
    old.parent.rename(place / RUBBISH)


def clear_leftovers(raw: Path) -> list[Path]:
    """Remove what killed runs left in nnUNet_raw; a dataset that one had set aside to replace is put back.

    Returns:
        The folders removed.
    """
    if fcntl is None or not raw.is_dir():
        return []
    removed = [place for place in sorted(raw.glob(f"{PREFIX}*")) if _is_abandoned(place)]
    for place in removed:
        _discard(place)
    return removed


def _discard(place: Path) -> None:
    """Remove a hidden folder, once a dataset set aside in it stands in its place again or has been replaced."""
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
