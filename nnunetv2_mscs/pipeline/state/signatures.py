"""What tells that files are complete and unchanged, without reading gigabytes."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# Files up to this size, and plans and the like whatever their size, are known by their content: nnU-Net writes some
# of them again as they are. Larger ones are known by their size and the time they were last changed.
LARGEST_READ = 64 * 1024
READ_WHATEVER_SIZE = (".json",)


def signature(place: Path) -> dict[str, list[Any]]:
    """Of a file, or of every file in a folder: path -> [size, time of change in ns] or [size, "sha256 of content"]."""
    return {str(file): _of_file(file) for file in _files(place)}


def signatures(places: Iterable[Path]) -> dict[str, list[Any]]:
    """Of several places together."""
    return {file: signed for place in places for file, signed in signature(place).items()}


def missing(places: Sequence[Path]) -> list[Path]:
    """Those that are not there, or are folders without any file."""
    return [place for place in places if not (place.is_file() or next(_files(place), None))]


def changed(outputs: Mapping[str, Sequence[Any]], places: Iterable[Path]) -> str:
    """In words what is no longer as it was; empty if all is. A new file among those that were there is a change."""
    now = signatures(places)
    gone, new = [file for file in outputs if file not in now], [file for file in now if file not in outputs]
    if gone:
        return f"{_named(gone)} gone"
    if new:
        return f"{_named(new)} new"
    other = [file for file in outputs if list(outputs[file]) != now[file]]
    return f"{_named(other)} changed" if other else ""


def digest(signed: Mapping[str, Sequence[Any]]) -> str:
    """One short word for a signature."""
    return hashlib.sha256(json.dumps(sorted(signed.items())).encode()).hexdigest()[:16]


def _named(files: Sequence[str]) -> str:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{files[0]}{more} {'are' if more else 'is'}"


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        return iter([place])
    return _walk(place)


def _walk(folder: Path) -> Iterator[Path]:
    for at, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            yield Path(at) / name


def _of_file(file: Path) -> list[Any]:
    state = file.stat()
    if state.st_size <= LARGEST_READ or file.suffix in READ_WHATEVER_SIZE:
        return [state.st_size, hashlib.sha256(file.read_bytes()).hexdigest()[:16]]
    return [state.st_size, state.st_mtime_ns]
