"""A set of phantoms appears at its place as a whole, or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.destination import made
from nnunetv2_mscs.dataset_conversion.staging import NEW, clear_leftovers, hidden_place, replace_folder
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.phantom.layouts import DISK_FULL

TABLE = "phantoms.csv"
PREFIX = ".mscs-phantom-"


def check_destination(out: Path, *, overwrite: bool) -> None:
    """Raise MscsError unless `out` is free for a set: not there, or an empty folder, or a set to replace."""
    if out.is_symlink() and not out.exists():
        raise MscsError(f"{out} is a link to a place that is not there.", "Remove the link, or choose another folder.")
    if not out.exists():
        return
    if not out.is_dir():
        raise MscsError(f"{out} is a file, not a folder.", "Choose another folder.")
    if not any(out.iterdir()):
        return
    if not overwrite:
        raise MscsError(f"{out} is not empty.", "Choose another folder, or replace a set of phantoms with --overwrite.")
    if not (out / TABLE).is_file():
        raise MscsError(
            f"{out} is not a set of phantoms (it has no {TABLE}), so that --overwrite leaves it alone.",
            "Look what it holds and move it away, or choose another folder.",
        )


@contextmanager
def staged(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """A hidden folder beside `out` to build the set in; when the block ends well it becomes `out`, else it goes.

    A killed process leaves it hidden; the next run beside it removes it.
    """
    out = out.resolve()
    check_destination(out, overwrite=overwrite)
    with _writing(out), made(out.parent):
        clear_leftovers(out.parent, PREFIX)
        with hidden_place(out.parent, PREFIX) as place:
            new = place / NEW
            new.mkdir()
            yield new
            check_destination(out, overwrite=overwrite)
            if out.exists():
                replace_folder(out, new, place)
            else:
                new.rename(out)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Turn a folder or file that cannot be written into the user's error."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MscsError(f"{out} could not be written: {error.strerror or error}.", DISK_FULL) from error
