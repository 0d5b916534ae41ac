"""The zip file of a shared model, looked at before anything of it reaches the disk, and unpacked with checksums."""

import hashlib
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.sharing.manifest import (
    CHUNK_BYTES,
    LARGEST_BYTES,
    MANIFEST,
    FileFacts,
    Manifest,
    parse_manifest,
)
from nnunetv2_mscs.sharing.models import DATASET_NAME

AGAIN = "Get the file once more; if it stays so, ask the sender."
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)
# Neither a way out of the folder nor a name that another system reads as one.
WAYS_OUT = re.compile(r"^/|^[A-Za-z]:|\\|(^|/)\.{0,2}(/|$)|[\x00-\x1f\x7f]")
ENCRYPTED = 0x1


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
def opened(file: Path) -> Iterator[zipfile.ZipFile]:
    """The zip file. Raises MscsError if it is none, or whenever it turns out to be damaged."""
    if not file.is_file():
        raise MscsError(f"{file} is not there.", "Name the zip file.")
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except zipfile.BadZipFile as error:
        raise MscsError(f"{file} is no zip file, or its end is missing ({error}).", AGAIN) from error


def look_into(archive: zipfile.ZipFile) -> Contents:
    """Names and manifest of a zip.

    Raises:
        MscsError: an entry could leave the data set's folder, is a link, is encrypted or stands twice; or files are
            missing, or are more than, or other than, the manifest says.
    """
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        _refuse_dangerous(entry)
        if entry.is_dir():
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
    manifest = _manifest(archive, entries)
    if manifest:
        _compare(manifest, entries, dataset)
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
            try:
                with archive.open(entry) as source, file.open("xb") as target:
                    while block := source.read(CHUNK_BYTES):
                        digest.update(block)
                        target.write(block)
                        bar.update(len(block))
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                raise MscsError(f"{name} in the zip is damaged: {error}.", AGAIN) from error
            if name in facts and digest.hexdigest() != facts[name].sha256:
                raise MscsError(f"{name} in the zip differs from its checksum (SHA-256).", AGAIN)


def _refuse_dangerous(entry: zipfile.ZipInfo) -> None:
    name = entry.filename.rstrip("/") if entry.is_dir() else entry.filename
    if entry.orig_filename != entry.filename or not name or WAYS_OUT.search(name):
        raise MscsError(
            f"The zip holds the path {entry.orig_filename!r}, which leads out of the model's folder.",
            "Do not use the file; tell the sender.",
        )
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise MscsError(f"{name} in the zip is a link or a device.", "Do not use the file; tell the sender.")
    if entry.flag_bits & ENCRYPTED:
        raise MscsError(f"{name} in the zip is encrypted.", "Ask the sender for a file without a password.")


def _manifest(archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> Manifest | None:
    names = [name for name in entries if name.split("/")[-1] == MANIFEST]
    if not names:
        return None
    if len(names) > 1 or entries[names[0]].file_size > LARGEST_BYTES:
        raise MscsError(f"The zip holds {len(names)} files {MANIFEST}, or one too large.", AGAIN)
    try:
        manifest = parse_manifest(archive.read(names[0]))
    except UNREADABLE as error:
        raise MscsError(f"{names[0]} in the zip is damaged: {error}.", AGAIN) from error
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
