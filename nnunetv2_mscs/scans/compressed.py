"""Checksums and lengths of MetaImage and NRRD files, which ITK leaves unread: it takes damaged voxels as they come."""

import bz2
import re
import zlib
from pathlib import Path

from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.formats import META_IMAGE_ENDINGS

ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS
GZIP_MAGIC = b"\x1f\x8b"
HEADER_FILES = (".mhd", ".nhdr")
TRUE = (b"TRUE", b"T", b"1")


def count_stored_bytes(path: Path) -> int | None:
    """How many bytes of voxels a MetaImage or NRRD file has; compressed ones are read to their end and checksum.

    Returns:
        The number, or None where ITK itself sees to it that there are enough.

    Raises:
        ScanError: the voxels lie in another file, and the format is not one of header files; or that file is not there.
        zlib.error, OSError, EOFError, ValueError: the compressed data are damaged or end early.
    """
    content = path.read_bytes()
    return (_count_mha if path.name.lower().endswith(META_IMAGE_ENDINGS) else _count_nrrd)(content, path)


def _count_mha(content: bytes, path: Path) -> int | None:
    """MetaImage: lines `Key = Value`, the last of them ElementDataFile, then one zlib stream."""
    last = re.search(rb"^ElementDataFile[ \t]*=[ \t]*(.*?)[ \t\r]*(?:\n|\Z)", content, re.MULTILINE | re.IGNORECASE)
    if last is None:
        return None
    header, data = content[: last.start()], content[last.end() :]
    if last[1].upper() != b"LOCAL":
        data = _voxels_of(path, last[1])
        skipped = int(_mha_value(header, b"HeaderSize") or 0)
        if skipped < 0:  # the voxels stand at the end, however long what comes before
            return None
        data = data[skipped:]
    if (_mha_value(header, b"CompressedData") or b"").upper() not in TRUE:
        return len(data) if (_mha_value(header, b"BinaryData") or b"").upper() in TRUE else None
    size = int(_mha_value(header, b"CompressedDataSize") or 0)
    if size <= 0 and last[1].upper() != b"LOCAL":
        size = len(data)
    if size <= 0:
        raise ValueError("the header does not say CompressedDataSize")  # ITK would give memory as it finds it
    return _read_through(data[:size])


def _mha_value(header: bytes, key: bytes) -> bytes | None:
    found = re.search(rb"^" + key + rb"[ \t]*=[ \t]*(\S+)", header, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else None


def _count_nrrd(content: bytes, path: Path) -> int | None:
    """NRRD: lines `field: value`, an empty line, then gzip or bzip2 data."""
    end = re.search(rb"\r?\n\r?\n", content)
    if not content.startswith(b"NRRD"):
        return None
    header, data = (content[: end.start()], content[end.end() :]) if end else (content, b"")
    if detached := re.search(rb"^data ?file:[ \t]*(.+?)[ \t\r]*$", header, re.MULTILINE | re.IGNORECASE):
        data = _voxels_of(path, detached[1])
    if re.search(rb"^(line|byte) ?skip:", header, re.MULTILINE | re.IGNORECASE):
        return None
    encoding = re.search(rb"^encoding:[ \t]*(\S+)", header, re.MULTILINE | re.IGNORECASE)
    name = encoding[1].lower() if encoding else b""
    if name in (b"gzip", b"gz"):
        return _read_through(data)
    if detached and name == b"raw":
        return len(data)
    return len(bz2.decompress(data)) if name in (b"bzip2", b"bz2") else None


def _read_through(data: bytes) -> int:
    """Decompress zlib or gzip data, which checks their checksum, to a number of bytes; what follows is left alone."""
    count = 0
    while True:
        stream = zlib.decompressobj(ZLIB_OR_GZIP)
        count += len(stream.decompress(data))
        if not stream.eof:
            raise EOFError("the compressed voxels end early")
        data = stream.unused_data
        if not data.startswith(GZIP_MAGIC):
            return count


def _voxels_of(path: Path, name: bytes) -> bytes:
    """The content of the file of voxels that a header file (.mhd, .nhdr) names."""
    shown = name.decode(errors="replace")
    if not path.name.lower().endswith(HEADER_FILES) or shown.split()[0].upper() == "LIST" or "%" in shown:
        raise ScanError(f"keeps its voxels in another file ({shown})", "Save it as one file.", path)
    file = path.parent / shown
    if not file.is_file():
        raise ScanError(f"keeps its voxels in {shown}, which is not there", "Put that file beside it.", path)
    return file.read_bytes()
