"""The zip file of a shared model: what is refused before anything of it reaches the disk, unpacking, and writing."""

import hashlib
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import IO

from tqdm import tqdm

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import DATASET_NAME
from nnunetv2_mscs.nnunet_files.model_folder import ENSEMBLES, model_of
from nnunetv2_mscs.sharing.allowed_files import ALLOWED, CARD, IGNORED, MANIFEST
from nnunetv2_mscs.sharing.manifest import (
    CHUNK_BYTES,
    LARGEST_MANIFEST_BYTES,
    Manifest,
    facts_of,
    parse_manifest,
)

DAMAGED = "Get the file once more; if the error stays, ask the sender."
DANGEROUS = "Do not use the file; tell the sender."
NO_MODEL = "This is not a model of nnU-Net: ask the sender."
# What reading a damaged zip file raises; OSError for offsets outside of the file.
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, struct.error)
# Paths that leave their folder, on any system.
WAYS_OUT = re.compile(r"^/|^[A-Za-z]:|\\|(^|/)\.{0,2}(/|$)")
LONGEST_NAME_BYTES, MOST_FILES = 250, 50_000
ENCRYPTED = 0x1
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Every entry has this time, so that the same model makes the same bytes.
NO_TIME = (1980, 1, 1, 0, 0, 0)
RIGHTS = 0o644 << 16


@dataclass(frozen=True)
class Contents:
    """What a zip holds.

    Args:
        dataset: the one folder that all files are in.
        entries: by name, without folders.
        manifest: ours; None in a zip of nnU-Net's own export.
    """

    dataset: str
    entries: Mapping[str, zipfile.ZipInfo]
    manifest: Manifest | None

    @property
    def bytes(self) -> int:
        """Size of the unpacked files."""
        return sum(entry.file_size for entry in self.entries.values())

    @property
    def folders(self) -> list[str]:
        """The folders of models and ensembles, each of which is installed as a whole."""
        parts = [name.split("/")[1:-1] for name in self.entries]
        return sorted({"/".join(part[: 1 + (part[0] == ENSEMBLES)]) for part in parts if part})

    @property
    def models(self) -> list[str]:
        """The folders of models."""
        return [folder for folder in self.folders if not folder.startswith(f"{ENSEMBLES}/")]


@contextmanager
def opened(file: Path) -> Iterator[tuple[zipfile.ZipFile, str]]:
    """The zip file and its SHA-256, hexadecimal. Raises MscsError if it cannot be read, or is no whole zip file."""
    try:
        stream = file.open("rb")
    except OSError as error:
        raise MscsError(f"{file} cannot be read: {error.strerror or error}.", "Check its name and rights.") from error
    with stream:
        with tqdm(total=os.fstat(stream.fileno()).st_size, desc="checksum", unit="B", unit_scale=True, delay=1) as bar:
            sha256 = facts_of(stream, lambda block: bar.update(len(block))).sha256
        try:
            archive = zipfile.ZipFile(stream)
        except UNREADABLE as error:
            raise MscsError(f"{file} is no zip file, or its end is missing ({error}).", DAMAGED) from error
        with archive:
            yield archive, sha256


def look_into(archive: zipfile.ZipFile) -> Contents:
    """Check names and manifest of a zip.

    Raises:
        MscsError: an entry could leave the folder of the data set, is a link, is encrypted, is there twice or is no
            part of a model; or the files are not those of the manifest.
    """
    if len(archive.infolist()) > MOST_FILES:
        raise MscsError(f"The zip holds more than {MOST_FILES} files.", NO_MODEL)
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        # Some programs on Windows write backslashes, against the zip standard; the checks see the final names.
        entry.filename = entry.filename.replace("\\", "/")
        _check_entry(entry)
        if entry.is_dir() or IGNORED.fullmatch(entry.filename):
            continue
        if entry.filename in entries:
            raise MscsError(f"{entry.filename} is in the zip twice.", DAMAGED)
        entries[entry.filename] = entry
    datasets = {name.split("/")[0] for name in entries}
    if len(datasets) != 1 or not DATASET_NAME.fullmatch(min(datasets)):
        raise MscsError(f"The zip holds {_listed(datasets)}, not one folder such as Dataset501_Stroke.", NO_MODEL)
    dataset = datasets.pop()
    foreign = {name for name in entries if not ALLOWED.fullmatch(name.removeprefix(f"{dataset}/"))}
    if foreign:
        raise MscsError(f"{_listed(foreign)} in the zip is not part of a model.", "Ask the sender for a file without.")
    contents = Contents(dataset, entries, _manifest(archive, entries))
    strange = {name for name in contents.models if not model_of(name)}
    if strange or not contents.models:
        found = f"{_listed(strange)}, which is not a model of nnU-Net" if strange else "no model of nnU-Net"
        raise MscsError(f"The zip holds {found}.", NO_MODEL)
    return contents


def _check_entry(entry: zipfile.ZipInfo) -> None:
    """Raise MscsError for an entry that could do harm, or that no export writes so."""
    name = entry.filename.rstrip("/") if entry.is_dir() else entry.filename
    kind = stat.S_IFMT(entry.external_attr >> 16)
    is_whole = len(entry.orig_filename) == len(entry.filename)  # zipfile cuts names at a byte of 0
    is_safe = is_whole and not WAYS_OUT.search(name) and name.isprintable()
    is_short = all(len(part.encode()) <= LONGEST_NAME_BYTES for part in name.split("/"))
    for fine, finding, remedy in (
        (is_safe, f"the path {entry.orig_filename!r}, which leads out of its folder or cannot be shown", DANGEROUS),
        (is_short, f"the name {name[:60]!r}..., which is too long", NO_MODEL),
        (kind in (0, stat.S_IFREG, stat.S_IFDIR), f"{name}, which is a link or a device", DANGEROUS),
        (not entry.flag_bits & ENCRYPTED, f"{name}, which is encrypted", "Ask for a file without a password."),
        (
            entry.compress_type in METHODS,
            f"{name}, compressed by method {entry.compress_type}, which no export of models uses",
            "Ask the sender for the file as mscs export wrote it.",
        ),
    ):
        if not fine:
            raise MscsError(f"The zip holds {finding}.", remedy)


def _manifest(archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> Manifest | None:
    """The manifest, if the zip has one. Raises MscsError unless the zip holds its files and no others."""
    names = [name for name in entries if name.endswith(f"/{MANIFEST}")]
    if not names:
        if any(name.endswith(f"/{CARD}") for name in entries):
            raise MscsError(f"The zip holds a {CARD} and lacks the {MANIFEST} that is written with it.", DAMAGED)
        return None
    if len(names) > 1 or entries[names[0]].file_size > LARGEST_MANIFEST_BYTES:
        raise MscsError(f"The zip holds {len(names)} files {MANIFEST}, or one that is too large.", DAMAGED)
    manifest = parse_manifest(b"".join(_blocks(archive, entries[names[0]])))
    if manifest.name != names[0]:
        raise MscsError(f"{names[0]} is the manifest of {manifest.models.home}.", DAMAGED)
    there, named = entries.keys() - {manifest.name}, manifest.files.keys()
    differing = {name for name in there & named if entries[name].file_size != manifest.files[name].bytes}
    for wrong, finding in (
        (named - there, "The zip lacks {}."),
        (there - named, "The zip holds {}, which its manifest does not name."),
        (differing, "The size of {} is not the one in the manifest."),
    ):
        if wrong:
            raise MscsError(finding.format(_listed(wrong)), DAMAGED)
    return manifest


def unpack(archive: zipfile.ZipFile, contents: Contents, place: Path) -> None:
    """Write all files to the folder `place`. Raises MscsError if one is damaged or differs from its checksum."""
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
                raise MscsError(f"{name} in the zip differs from its checksum (SHA-256).", DAMAGED)


def _blocks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes of a file in the zip, never more than it is said to have. Raises MscsError if they cannot be read."""
    try:
        with archive.open(entry) as source:
            while block := source.read(CHUNK_BYTES):
                yield block
    except UNREADABLE as error:
        raise MscsError(f"{entry.filename} in the zip is damaged: {error}.", DAMAGED) from error


def write_archive(out: Path, sources: Mapping[str, Path | bytes], manifest: Manifest) -> None:
    """Write a zip file.

    Args:
        out: to write.
        sources: files to copy, or contents, by their names in the zip.
        manifest: without checksums; the zip gets it with them, as its first entry, so that damage cannot hide it.

    Raises:
        MscsError: a file changed meanwhile.
    """
    facts = {}
    total = sum(len(one) if isinstance(one, bytes) else one.stat().st_size for one in sources.values())
    with tqdm(total=2 * total, desc="export", unit="B", unit_scale=True, delay=1) as bar:
        for name, source in sources.items():
            with _stream(source) as stream:
                facts[name] = facts_of(stream, lambda block: bar.update(len(block)))
        manifest = replace(manifest, files=facts)
        first = {manifest.name: manifest.as_json().encode()}
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, source in (*first.items(), *sorted(sources.items())):
                entry = zipfile.ZipInfo(name, NO_TIME)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, RIGHTS
                entry.create_system = 3  # rights are Unix's, on every system
                entry.file_size = len(first[name]) if name in first else facts[name].bytes
                with archive.open(entry, "w") as target, _stream(source) as stream:
                    written = facts_of(stream, target.write, lambda block: bar.update(len(block)))
                if facts.get(name, written) != written:
                    raise MscsError(f"{source!s} has changed meanwhile.", "Export once the training has ended.")


def _stream(source: Path | bytes) -> IO[bytes]:
    return BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _listed(names: Iterable[str]) -> str:
    shown = sorted(names)
    return (", ".join(shown[:3]) or "nothing") + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")
