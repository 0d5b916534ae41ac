"""What a file holds by its first bytes, where that is not what its name says."""

import gzip
import re
import shlex
import struct
import zlib
from pathlib import Path

from nnunetv2_mscs.scans.compressed import GZIP_MAGIC
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.formats import (
    CONVERT_DICOM,
    DICOM_MAGIC,
    DICOM_MAGIC_AT,
    META_IMAGE_ENDINGS,
    MGH_ENDINGS,
    NIFTI_ENDINGS,
    NRRD_ENDINGS,
    PAIR_ENDING,
    READ,
    ending_of,
    unread_format,
)

EXPORT_AGAIN = "Copy or export the file again."
DOWNLOAD_AGAIN = "Download the file again, logged in if its site asks for that."
LOOKED_AT = 1024
NIFTI, MGH, META_IMAGE, NRRD, ARRAY, ZIP, GZIP = "NIfTI", "MGH", "MetaImage", "NRRD", "a NumPy array", "a zip", "gzip"
FORMAT_OF = {
    **dict.fromkeys((*NIFTI_ENDINGS, PAIR_ENDING), NIFTI),
    **dict.fromkeys(META_IMAGE_ENDINGS, META_IMAGE),
    **dict.fromkeys(NRRD_ENDINGS, NRRD),
    **dict.fromkeys(MGH_ENDINGS, MGH),
    ".npy": ARRAY,
    ".npz": ZIP,
}
CALLED = {ZIP: "a zip of NumPy arrays"}
COMPRESSED_ENDINGS = (".nii.gz", ".mgz")
# The ending to rename a file to that holds one of these, gzip-compressed or not.
PLAIN_ENDING = {NIFTI: ".nii", MGH: ".mgh", META_IMAGE: ".mha", NRRD: ".nrrd", ARRAY: ".npy"}
GZIP_ENDING = {NIFTI: ".nii.gz", MGH: ".mgz"}
STARTS = {
    b"\x93NUMPY": ARRAY,
    b"NRRD": NRRD,
    b"PK\x03\x04": ZIP,
    b"PK\x05\x06": ZIP,
    GZIP_MAGIC: GZIP,
}
# What is no scan at all: first bytes, what they are of, what to do.
POINTERS = (
    (b"version https://git-lfs", "a Git LFS pointer", "The scan itself was not fetched. Fetch it: git lfs pull"),
    (b"/annex/objects/", "a git-annex pointer", "The scan itself was not fetched. Fetch it: datalad get FILE"),
)
FOREIGN = (
    *POINTERS,
    (b"BZh", "bzip2-compressed", "Unpack it with bunzip2."),
    (b"\xfd7zXZ", "xz-compressed", "Unpack it with unxz."),
    (b"\x28\xb5\x2f\xfd", "zstandard-compressed", "Unpack it with unzstd."),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it."),
    (b"Rar!", "a RAR archive", "Unpack it."),
    (b"\x89HDF", "HDF5", "Export it as NIfTI."),
    (b"MATLAB", "a MATLAB file", "Export it as NIfTI."),
    (b"\x89PNG", "a PNG picture", "Export the scan itself, as NIfTI."),
    (b"\xff\xd8\xff", "a JPEG picture", "Export the scan itself, as NIfTI."),
    (b"II*\x00", "a TIFF picture", "Export the scan itself, as NIfTI."),
    (b"MM\x00*", "a TIFF picture", "Export the scan itself, as NIfTI."),
    (b"%PDF", "a PDF", DOWNLOAD_AGAIN),
    (b"\x80\x02", "a Python pickle", "Save the array with numpy.save."),
    (b"\x80\x03", "a Python pickle", "Save the array with numpy.save."),
    (b"\x80\x04", "a Python pickle", "Save the array with numpy.save."),
    (b"\x80\x05", "a Python pickle", "Save the array with numpy.save."),
    (b"mrtrix image", "an MRtrix image", "Convert it: mrconvert FILE new.nii.gz"),
    (b"CDF\x01", "a MINC file", "Convert it to NIfTI: mnc2nii FILE new.nii"),
)
HTML = re.compile(rb"\s*(<!--.*?-->\s*)*(<\?xml[^>]*>\s*)?<(!doctype html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
META_IMAGE_KEY = re.compile(
    rb"\s*(ObjectType|ObjectSubType|NDims|Comment|Name|ID|BinaryData|CompressedData)[ \t]*=", re.IGNORECASE
)
NIFTI_SIZES = (348, 540)
MGH_HEADER = 90, 284  # its unused part, of zeros
TAR_MAGIC, TAR_MAGIC_AT = b"ustar", 257


def check_content(path: Path) -> None:
    """Check that a file can be opened, and holds what its name says, as far as its first bytes show.

    Raises:
        ScanError: it cannot be opened, is empty, or holds something else: then what it holds, and what to do.
    """
    head = _first_bytes(path)
    ending = ending_of(path)
    if not ending:
        raise ScanError(f"is in a format that is not read ({unread_format(path) or 'unknown'})", READ, path)
    expected = FORMAT_OF[ending]
    is_compressed = head.startswith(GZIP_MAGIC)
    inner = _unpacked(path) if is_compressed else head
    if inner == b"":
        raise ScanError("is empty (0 bytes once unpacked)", EXPORT_AGAIN, path)
    kind = _kind(inner)
    if kind == GZIP:
        remedy = f"Unpack it once: {_unpacking(path)}"
        raise ScanError("is gzip-compressed twice", remedy, path)
    _refuse_foreign(inner, kind, expected, path)
    if kind and kind != expected:
        what = f"{kind}, gzip-compressed" if is_compressed else kind
        better = (GZIP_ENDING if is_compressed else PLAIN_ENDING).get(kind)
        remedy = f"Rename it to end in {better}." if better else "Unpack it, and take the scan that it holds."
        raise ScanError(f"is {what}, though its name ends in {ending}", remedy, path)
    if is_compressed and ending not in COMPRESSED_ENDINGS:
        better = GZIP_ENDING.get(expected)
        remedy = f"Rename it to {better}." if better else f"Unpack it: {_unpacking(path)}"
        raise ScanError(f"is gzip-compressed, though its name ends in {ending}", remedy, path)
    if not is_compressed and ending in COMPRESSED_ENDINGS:
        remedy = f"Rename it to {PLAIN_ENDING[expected]}." if kind else EXPORT_AGAIN
        raise ScanError(f"is not gzip-compressed, though its name ends in {ending}", remedy, path)


def check_voxel_file(path: Path, header: Path) -> None:
    """Check that the file of a header's voxels, which may begin with any bytes, is no pointer and no web page.

    Raises:
        ScanError: it is one, or it is empty or cannot be opened.
    """
    head = _first_bytes(path)
    for start, what, remedy in POINTERS:
        if head.startswith(start):
            raise ScanError(f"its voxels lie in {path.name}, which is {what}", remedy, header)
    if HTML.match(head):
        raise ScanError(f"its voxels lie in {path.name}, which is a web page (HTML)", DOWNLOAD_AGAIN, header)


def _unpacking(path: Path) -> str:
    name = shlex.quote(path.name)
    return f"mv {name} packed.gz && gzip -dc packed.gz > {name}"


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            head = stream.read(LOOKED_AT)
    except OSError as error:
        if path.is_symlink() and not path.exists():
            raise _broken_link(path) from error
        raise ScanError(f"cannot be opened: {error.strerror}", "Check the file and its permissions.", path) from error
    if not head:
        raise ScanError("is empty (0 bytes)", EXPORT_AGAIN, path)
    return head


def _broken_link(path: Path) -> ScanError:
    target = path.readlink().as_posix()
    if "annex/objects" in target:
        return ScanError("is a link of git-annex (DataLad) whose content was not fetched", "datalad get FILE", path)
    return ScanError(f"is a link to {target}, which is not there", "Copy the file itself, or mend the link.", path)


def _unpacked(path: Path) -> bytes | None:
    """The first bytes of what a gzip file holds; None if it is damaged: a later reading to its end says how."""
    try:
        with gzip.open(path, "rb") as stream:
            return stream.read(LOOKED_AT)
    except (OSError, EOFError, zlib.error):
        return None


def _kind(head: bytes | None) -> str:
    """The format that the first bytes belong to, of those that are read, or gzip; "" if it is unknown."""
    if head is None:
        return ""
    for start, kind in STARTS.items():
        if head.startswith(start):
            return kind
    if len(head) >= NIFTI_SIZES[0] and any(struct.unpack(order, head[:4])[0] in NIFTI_SIZES for order in ("<i", ">i")):
        return NIFTI
    if META_IMAGE_KEY.match(head):
        return META_IMAGE
    if head.startswith(b"\0\0\0\1") and len(head) >= MGH_HEADER[1] and not any(head[slice(*MGH_HEADER)]):
        return MGH
    return ""


def _refuse_foreign(head: bytes | None, kind: str, expected: str, path: Path) -> None:
    if head is None or kind:
        return
    expected = CALLED.get(expected, expected)
    for start, what, remedy in FOREIGN:
        if head.startswith(start):
            raise ScanError(f"is {what}, not {expected}", remedy, path)
    if head[DICOM_MAGIC_AT : DICOM_MAGIC_AT + 4] == DICOM_MAGIC:
        raise ScanError(f"is DICOM, not {expected}", f"Scans in DICOM: {CONVERT_DICOM}", path)
    if head[TAR_MAGIC_AT : TAR_MAGIC_AT + 5] == TAR_MAGIC:
        raise ScanError(f"is a tar archive, not {expected}", "Unpack it, and take the scan that it holds.", path)
    if HTML.match(head):
        raise ScanError(f"is a web page (HTML), not {expected}", DOWNLOAD_AGAIN, path)
    if text := _as_text(head):
        shown = " ".join(text.split())[:40]
        raise ScanError(f"is text, not {expected}: it begins with {shown!r}", EXPORT_AGAIN, path)
    if not any(head):
        raise ScanError(f"holds only bytes of 0 where {expected} begins", EXPORT_AGAIN, path)


def _as_text(head: bytes) -> str:
    """The first bytes as text, if they are nothing else; "" otherwise."""
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # not merely a letter that is cut in two
            return ""
        text = head[: error.start].decode("utf-8-sig")
    return text if all(letter.isprintable() or letter.isspace() for letter in text) else ""
