"""Files that are whole or not there: written under another name, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnunetv2_mscs.errors import MscsError

DISK_FULL = "Do you have write permission there? Is the disk full (bytes or number of files), or a quota used up?"


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn the failure to write a file or folder into MscsError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MscsError(f"{place} could not be written: {error.strerror or error}.", DISK_FULL) from error


@contextmanager
def whole_file(file: Path) -> Iterator[Path]:
    """A name beside `file` to write to, with its ending; it becomes `file` if the block succeeds, else it is removed.

    Raises:
        MscsError: the file cannot be written.
    """
    unfinished = file.with_name(f".part-{file.name}")
    try:
        with writing(file):
            yield unfinished
            with unfinished.open("rb") as written:  # after a power cut the new name could else be that of an empty file
                os.fsync(written.fileno())
            unfinished.replace(file)
    finally:
        with suppress(OSError):
            unfinished.unlink()


def write_whole(file: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes. Raises MscsError if that fails."""
    with whole_file(file) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
