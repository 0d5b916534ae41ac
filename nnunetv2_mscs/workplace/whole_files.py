"""Files that are whole or not there: written under another name, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnunetv2_mscs.errors import MscsError

DISK_FULL = "Do you have write permission there? Is the disk full (bytes or number of files), or a quota used up?"


@contextmanager
def whole_file(file: Path) -> Iterator[Path]:
    """A name beside `file` to write to, with its ending; it becomes `file` if the block succeeds, else it is removed.

    Raises:
        MscsError: the file cannot be written.
    """
    unfinished = file.with_name(f".part-{file.name}")
    try:
        yield unfinished
        _bring_to_disk(unfinished)
        unfinished.replace(file)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MscsError(f"{file} could not be written: {error.strerror or error}.", DISK_FULL) from error
    finally:
        with suppress(OSError):
            unfinished.unlink()


def _bring_to_disk(file: Path) -> None:
    """Write a file through to the disk: after a power cut its new name could else belong to an empty file."""
    with file.open("rb") as written:
        os.fsync(written.fileno())


def write_whole(file: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes. Raises MscsError if that fails."""
    with whole_file(file) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
