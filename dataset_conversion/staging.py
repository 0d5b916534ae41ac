"""A dataset appears in nnUNet_raw as a whole, or not at all, whatever ends the work on it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.destination import Destination, refuse_namesakes
from nnunetv2_mscs.dataset_conversion.file_names import HIDDEN
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.workplace.hidden_places import NEW, hidden_place, made, replace_folder
from nnunetv2_mscs.workplace.locks import held_file

PREFIX, PUBLISHING = f"{HIDDEN}-", f"{HIDDEN}.lock"


@contextmanager
def staged(destination: Destination, *, overwrite: bool) -> Iterator[Path]:
    """A hidden folder to build the dataset in; when the block ends well, it becomes the dataset in one rename.

    Any exception removes it. A killed process leaves it hidden, unlocked, for `clear_leftovers` of the next run.
    """
    with made(destination.raw), hidden_place(destination.raw, PREFIX) as place:
        new = place / NEW
        new.mkdir()
        yield new
        with _publishing(destination.raw):
            _publish(new, destination, place, overwrite=overwrite)


@contextmanager
def _publishing(raw: Path) -> Iterator[None]:
    """Let one conversion at a time put its dataset into nnUNet_raw; without effect where there are no locks."""
    path = raw / PUBLISHING
    with ExitStack() as stack:
        with suppress(PermissionError):
            stack.enter_context(held_file(path))
            stack.callback(path.unlink, missing_ok=True)
        yield


def _publish(new: Path, destination: Destination, place: Path, *, overwrite: bool) -> None:
    """Put the new dataset in its place; if that fails, `_discard` puts back the old one."""
    refuse_namesakes(destination)
    if not destination.path.exists():
        new.rename(destination.path)
        return
    if not overwrite:
        raise MscsError(f"{destination.path} appeared while this was at work.", "Choose another id.")
    replace_folder(destination.path, new, place)
