"""Whether a file is whole: ITK reads 0, without a word, for what is cut off, damaged or NaN in a NIfTI file."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from nnunetv2_mscs.scans.compressed import GZIP_MAGIC, count_stored_bytes
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.grid import spacing_is_sane
from nnunetv2_mscs.scans.nifti_header import load_nifti

EXPORT_AGAIN = "Copy or export the file again."
NIFTI_ENDINGS = (".nii", ".nii.gz")
CHECKSUM_ENDINGS = (".mha", ".nrrd")


def check_intact(path: Path) -> int | None:
    """Check that a file can be opened and is complete, as far as its format tells.

    NIfTI, and compressed .mha and .nrrd, are read to their end.

    Returns:
        How many bytes of voxels a .mha or .nrrd file holds, if it tells; compare it with what was read.

    Raises:
        ScanError: empty, unreadable, truncated or damaged file; for NIfTI also NaN or infinite values, an impossible
            voxel size, or a name that says wrongly whether it is compressed.
    """
    try:
        with path.open("rb"):
            size = path.stat().st_size
    except OSError as error:
        raise ScanError(f"cannot be opened: {error.strerror}", "Check the file and its permissions.", path) from error
    if size == 0:
        raise ScanError("is empty (0 bytes)", EXPORT_AGAIN, path)
    if path.name.lower().endswith(NIFTI_ENDINGS):
        _check_nifti(path)
    elif path.name.lower().endswith(CHECKSUM_ENDINGS):
        try:
            return count_stored_bytes(path)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise ScanError(f"is damaged or truncated: {_reason(error)}", EXPORT_AGAIN, path) from error
    return None


def _check_nifti(path: Path) -> None:
    from nibabel.filebasedimages import ImageFileError
    from nibabel.openers import ImageOpener
    from nibabel.spatialimages import HeaderDataError

    _check_name(path)
    try:
        image = load_nifti(path)
        with ImageOpener(str(path)) as stream:  # nibabel.load puts 1 where the header says 0
            header = type(image.header).from_fileobj(stream, check=False)
        dtype, voxels = image.get_data_dtype(), int(np.prod(image.shape))
        content = _uncompressed(path)
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError) as error:
        raise ScanError(f"is damaged, truncated or not NIfTI: {_reason(error)}", EXPORT_AGAIN, path) from error
    expected = image.dataobj.offset + voxels * dtype.itemsize
    if len(content) < expected:
        raise ScanError(f"is truncated: {len(content)} of {expected} bytes", EXPORT_AGAIN, path)
    if dtype.kind == "f":
        stored = np.frombuffer(content, dtype, voxels, image.dataobj.offset)
        if bad := int(np.count_nonzero(~np.isfinite(stored))):
            raise ScanError(f"holds {bad} NaN or infinite values", "Set them to 0.", path)
    spacing = [float(s) for s in header["pixdim"][1:4]]
    if not spacing_is_sane(spacing):
        raise ScanError(
            f"has an impossible voxel size of {' x '.join(f'{s:g}' for s in spacing)} mm",
            "Correct the header's pixdim, or export the file again.",
            path,
        )


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _check_name(path: Path) -> None:
    """That a file is gzip-compressed if, and only if, its name says so, and that ITK opens this very file."""
    with path.open("rb") as stream:
        compressed = stream.read(2) == GZIP_MAGIC
    if compressed and not path.name.lower().endswith(".gz"):
        raise ScanError("is gzip-compressed, though its name ends in .nii", "Rename it to .nii.gz.", path)
    if not compressed and path.name.lower().endswith(".gz"):
        raise ScanError(
            "is not gzip-compressed, though its name ends in .nii.gz",
            "Rename it to .nii if it is NIfTI, or export the file again.",
            path,
        )
    if compressed and (twin := path.with_suffix("")).exists():
        raise ScanError(f"lies beside {twin.name}, which ITK reads in its place", "Move one of the two away.", path)


def _uncompressed(path: Path) -> bytes:
    """The file's content; reading a gzip stream to its end also checks its checksum."""
    if not path.name.lower().endswith(".gz"):
        return path.read_bytes()
    with gzip.open(path, "rb") as stream:
        return stream.read()
