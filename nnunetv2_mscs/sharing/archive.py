"""The zip file of a shared model, looked at before anything of it reaches the disk, and unpacked with checksums."""

import hashlib
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import DATASET_NAME
from nnunetv2_mscs.sharing.allowed_files import ALLOWED, IGNORED
from nnunetv2_mscs.sharing.card import CARD
from nnunetv2_mscs.sharing.manifest import (
    CHUNK_BYTES,
    LARGEST_BYTES,
    MANIFEST,
    FileFacts,
    Manifest,
    facts_of_stream,
    parse_manifest,
)

AGAIN = "Get the file once more; if it stays so, ask the sender."
# What reading a damaged zip file raises; OSError for places that are not in the file.
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, struct.error)
# Neither a way out of the folder nor a name that another system reads as one.
WAYS_OUT = re.compile(r"^/|^[A-Za-z]:|\\|(^|/)\.{0,2}(/|$)")
LONGEST_NAME_BYTES, MOST_FILES = 250, 50_000
ENCRYPTED = 0x1
# How others than nnU-Net and this package compress is not read, and never needed.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# The record at the end of a zip file: its length, where in it the number of entries stands, and a number that says
# that the number stands elsewhere.
END_BYTES, END_COUNT, ELSEWHERE = 22, 10, 0xFFFF


@dataclass(frozen=True)
class Contents:
    """What a zip holds.

    Args:
        dataset: the one folder that everything lies in.
        entries: by name, folders left out.
        manifest: ours; None in a zip of nnU-Net's own export.
    """

    dataset: str
    entries: Mapping[str, zipfile.ZipInfo]
    manifest: Manifest | None

    @property
    def bytes(self) -> int:
        """Unpacked."""
        return sum(entry.file_size for entry in self.entries.values())


@contextmanager
def opened(file: Path) -> Iterator[tuple[zipfile.ZipFile, str]]:
    """The zip file and its SHA-256, hexadecimal.

    Raises:
        MscsError: it is none, or its table of contents is damaged.
    """
    if not file.is_file():
        raise MscsError(f"{file} is not there.", "Name the zip file.")
    with _readable(file) as stream:
        with tqdm(total=os.fstat(stream.fileno()).st_size, desc="checksum", unit="B", unit_scale=True, delay=1) as bar:
            sha256 = facts_of_stream(stream, lambda block: bar.update(len(block))).sha256
        try:
            archive = zipfile.ZipFile(stream)
            told = _told_entries(stream, archive)
        except UNREADABLE as error:
            raise MscsError(f"{file} is no zip file, or its end is missing ({error}).", AGAIN) from error
        with archive:
            there = len(archive.infolist())
            if told not in (there, ELSEWHERE):
                raise MscsError(f"{file} is damaged: it lists {there} files and says {told}.", AGAIN)
            yield archive, sha256


@contextmanager
def _readable(file: Path) -> Iterator[IO[bytes]]:
    try:
        stream = file.open("rb")
    except OSError as error:
        raise MscsError(f"{file} cannot be read: {error.strerror or error}.", "May you read it?") from error
    with stream:
        yield stream


def _told_entries(stream: IO[bytes], archive: zipfile.ZipFile) -> int:
    """How many entries a zip file says that it has: a damaged one can hide some in the comment of another."""
    stream.seek(-END_BYTES - len(archive.comment), 2)
    return int(struct.unpack_from("<H", stream.read(END_BYTES), END_COUNT)[0])


def look_into(archive: zipfile.ZipFile) -> Contents:
    """Names and manifest of a zip.

    Raises:
        MscsError: an entry could leave the data set's folder, is a link, is encrypted or stands twice; or files are
            missing, or are more than, or other than, the manifest says.
    """
    if len(archive.infolist()) > MOST_FILES:
        raise MscsError(f"The zip holds more than {MOST_FILES} files.", "It is no model: ask the sender.")
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        _refuse_dangerous(entry)
        if entry.is_dir() or IGNORED.fullmatch(entry.filename):
            continue
        if entry.filename in entries:
            raise MscsError(f"{entry.filename} is in the zip twice.", AGAIN)
        entries[entry.filename] = entry
    datasets = {name.split("/")[0] for name in entries}
    if len(datasets) != 1 or not DATASET_NAME.fullmatch(next(iter(datasets))):
        raise MscsError(
            f"The zip holds {_listed(datasets)}, not one folder such as Dataset501_Stroke.",
            "It is no model of nnU-Net's: ask the sender.",
        )
    dataset = datasets.pop()
    foreign = {name for name in entries if not ALLOWED.fullmatch(name.removeprefix(f"{dataset}/"))}
    if foreign:
        raise MscsError(f"{_listed(foreign)} in the zip is no part of a model.", "Ask the sender for a file without.")
    manifest = _manifest(archive, entries)
    if manifest:
        _compare(manifest, entries, dataset)
    elif any(name.endswith(f"/{CARD}") for name in entries):
        raise MscsError(f"The zip holds a {CARD} and lacks the {MANIFEST} that is written with it.", AGAIN)
    return Contents(dataset, entries, manifest)


def unpack(archive: zipfile.ZipFile, contents: Contents, place: Path) -> None:
    """Write all files below `place`.

    Raises:
        MscsError: one differs from its checksum.
    """
    facts = contents.manifest.files if contents.manifest else {}
    with tqdm(total=contents.bytes, desc="unpack", unit="B", unit_scale=True, delay=1) as bar:
        for name, entry in contents.entries.items():
            file = place / name
            file.parent.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256()
            with file.open("xb") as target:
                for block in _blocks(archive, entry):
                    digest.update(block)
                    target.write(block)
                    bar.update(len(block))
            if name in facts and digest.hexdigest() != facts[name].sha256:
                raise MscsError(f"{name} in the zip differs from its checksum (SHA-256).", AGAIN)


def _blocks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes of a file in the zip. Raises MscsError if they cannot be read."""
    try:
        with archive.open(entry) as source:
            while block := source.read(CHUNK_BYTES):
                yield block
    except UNREADABLE as error:
        raise MscsError(f"{entry.filename} in the zip is damaged: {error}.", AGAIN) from error


def _refuse_dangerous(entry: zipfile.ZipInfo) -> None:
    name = entry.filename.rstrip("/") if entry.is_dir() else entry.filename
    if entry.orig_filename != entry.filename or not name or WAYS_OUT.search(name) or not name.isprintable():
        raise MscsError(
            f"The zip holds the path {entry.orig_filename!r}, which leads out of its folder or cannot be shown.",
            "Do not use the file; tell the sender.",
        )
    if any(len(part.encode()) > LONGEST_NAME_BYTES for part in name.split("/")):
        raise MscsError(f"The zip holds the name {name[:60]!r}..., which is too long.", "Ask the sender.")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise MscsError(f"{name} in the zip is a link or a device.", "Do not use the file; tell the sender.")
    if entry.flag_bits & ENCRYPTED:
        raise MscsError(f"{name} in the zip is encrypted.", "Ask the sender for a file without a password.")
    if entry.compress_type not in METHODS:
        raise MscsError(
            f"{name} in the zip is compressed by method {entry.compress_type}, which no export of models uses.",
            "Ask the sender for the file as mscs export wrote it.",
        )


def _manifest(archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> Manifest | None:
    names = [name for name in entries if name.split("/")[-1] == MANIFEST]
    if not names:
        return None
    if len(names) > 1 or entries[names[0]].file_size > LARGEST_BYTES:
        raise MscsError(f"The zip holds {len(names)} files {MANIFEST}, or one too large.", AGAIN)
    manifest = parse_manifest(b"".join(_blocks(archive, entries[names[0]])))
    if manifest.name != names[0]:
        raise MscsError(f"{names[0]} is the manifest of {manifest.models.home}, and lies elsewhere.", AGAIN)
    return manifest


def _compare(manifest: Manifest, entries: Mapping[str, zipfile.ZipInfo], dataset: str) -> None:
    """Raise MscsError unless the zip holds the files of the manifest and no others."""
    there, told = set(entries) - {manifest.name}, set(manifest.files)
    if told - there:
        raise MscsError(f"The zip lacks {_listed(told - there)}.", AGAIN)
    if there - told:
        raise MscsError(f"The zip holds {_listed(there - told)}, which its manifest does not name.", AGAIN)
    wrong = {name for name, fact in manifest.files.items() if not _fits(fact, entries[name])}
    if wrong:
        raise MscsError(f"The size of {_listed(wrong)} is not as the manifest says.", AGAIN)
    if manifest.models.dataset != dataset:
        raise MscsError(f"The manifest is of {manifest.models.dataset}, the files are of {dataset}.", AGAIN)


def _fits(fact: FileFacts, entry: zipfile.ZipInfo) -> bool:
    return fact.bytes == entry.file_size


def _listed(names: set[str]) -> str:
    shown = sorted(names)[:3]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (", ".join(shown) or "nothing") + more
