"""Signatures of files: by their content, which is read again only if size or time have changed."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# A user's own files up to this size, and JSON of any size, are known by their content; larger ones by their size and
# the time of their last change.
LARGEST_READ = 64 * 1024
READ_WHATEVER_SIZE = ".json"
BLOCK = 1024 * 1024
# Stands for the content of a link that leads nowhere.
NOWHERE = "leads nowhere"

Signed = Mapping[str, Sequence[Any]]


def signature(place: Path) -> dict[str, list[Any]]:
    """Sign files that no stage makes: path of every file in `place` -> [size, SHA-256] or [size, time in ns]."""
    return {str(file): _without_reading_much(file) for file in _files(place)}


def content_signatures(places: Iterable[Path]) -> dict[str, list[Any]]:
    """Sign what a stage has made: path of every file -> [size, SHA-256 of its content, time of change in ns].

    The time decides nothing; it only spares reading an unchanged file again.
    """
    return {str(file): _of_content(file) for place in places for file in _files(place)}


def missing(places: Sequence[Path]) -> list[Path]:
    """The places that do not exist, or are folders without any file."""
    return [place for place in places if not (place.is_file() or next(_files(place), None))]


def changed(outputs: Signed, places: Iterable[Path]) -> str:
    """In words, what has changed since it was signed; empty if nothing has. A new file is a change."""
    now = {str(file): file for place in places for file in _files(place)}
    gone, new = [file for file in outputs if file not in now], [file for file in now if file not in outputs]
    if gone:
        return f"{_named(gone)} gone"
    if new:
        return f"{_named(new)} new"
    other = [name for name, file in now.items() if not is_unchanged(file, outputs)]
    return f"{_named(other)} changed" if other else ""


def is_unchanged(file: Path, outputs: Signed) -> bool:
    """Whether a file has the content that it was signed with."""
    signed = list(outputs.get(str(file), ()))
    if len(signed) != 3 or not file.is_file():
        return False
    state = file.stat()
    if state.st_size != signed[0]:
        return False
    return state.st_mtime_ns == signed[2] or _hash(file) == signed[1]


def digest(signed: Signed, within: Sequence[Path] = ()) -> str:
    """A digest of sizes and contents.

    Args:
        signed: path -> what it is signed with.
        within: files and folders that count; all if empty.
    """
    parts = [str(place) for place in within]
    counted = {
        file: list(entry)[:2]
        for file, entry in signed.items()
        if not parts or any(file == part or file.startswith(f"{part}{os.sep}") for part in parts)
    }
    return hashlib.sha256(json.dumps(sorted(counted.items())).encode()).hexdigest()[:16]


def _named(files: Sequence[str]) -> str:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{files[0]}{more} {'are' if more else 'is'}"


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        return iter([place])
    return _walk(place)


def _walk(folder: Path) -> Iterator[Path]:
    """Every file in a folder and below, links included; a link back to a folder above is not followed."""
    seen = {os.path.realpath(folder)}
    for at, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if _is_new(os.path.join(at, name), seen))
        for name in sorted(files):
            yield Path(at) / name


def _is_new(folder: str, seen: set[str]) -> bool:
    place = os.path.realpath(folder)
    is_new = place not in seen
    seen.add(place)
    return is_new


def _without_reading_much(file: Path) -> list[Any]:
    if not file.exists():
        return [0, NOWHERE]
    state = file.stat()
    if state.st_size <= LARGEST_READ or file.suffix == READ_WHATEVER_SIZE:
        return [state.st_size, _hash(file)]
    return [state.st_size, state.st_mtime_ns]


def _of_content(file: Path) -> list[Any]:
    if not file.exists():
        return [0, NOWHERE, 0]
    state = file.stat()
    return [state.st_size, _hash(file), state.st_mtime_ns]


def _hash(file: Path) -> str:
    reading = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(BLOCK):
            reading.update(block)
    return reading.hexdigest()[:16]
