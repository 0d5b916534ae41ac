"""Whether a file is whole: ITK reads 0, without a word, for what is cut off, damaged or NaN in a NIfTI file."""

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_mscs.scans.compressed import count_stored_bytes
from nnunetv2_mscs.scans.contents import EXPORT_AGAIN, check_content
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.formats import META_IMAGE_ENDINGS, NIFTI_ENDINGS, NRRD_ENDINGS
from nnunetv2_mscs.scans.grid import spacing_is_sane

FIRST_VOXEL = 352  # of NIfTI in one file, without extensions
CHECKSUM_ENDINGS = (*META_IMAGE_ENDINGS, *NRRD_ENDINGS)


def check_intact(path: Path) -> int | None:
    """Check that a file holds what its name says and is complete, as far as its format allows.

    NIfTI, and compressed MetaImage and NRRD, are read to their end.

    Returns:
        How many bytes of voxels a MetaImage or NRRD file holds, if it records that; compare it with what was read.

    Raises:
        ScanError: empty, unreadable, truncated or damaged file, or one of another kind than its name says; for NIfTI
            also NaN or infinite values, or an impossible voxel size.
    """
    check_content(path)
    if path.name.lower().endswith(NIFTI_ENDINGS):
        _check_nifti(path)
    elif path.name.lower().endswith(CHECKSUM_ENDINGS):
        try:
            return count_stored_bytes(path)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise ScanError(f"is damaged or truncated: {_reason(error)}", EXPORT_AGAIN, path) from error
    return None


def _check_nifti(path: Path) -> None:
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.openers import ImageOpener
    from nibabel.spatialimages import HeaderDataError

    _check_alone(path)
    try:
        image: Any = nibabel.load(path)
        with ImageOpener(str(path)) as stream:  # nibabel.load puts 1 where the header says 0
            header = type(image.header).from_fileobj(stream, check=False)
        dtype, voxels = image.get_data_dtype(), int(np.prod(image.shape))
        content = _uncompressed(path)
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError, HeaderDataError) as error:
        raise ScanError(f"is damaged, truncated or not NIfTI: {_reason(error)}", EXPORT_AGAIN, path) from error
    if dtype.fields:
        raise ScanError(f"holds colours ({'/'.join(dtype.fields)})", "Export the map itself, in numbers.", path)
    expected = image.dataobj.offset + voxels * dtype.itemsize
    if len(content) < expected:
        if len(content) - FIRST_VOXEL >= expected - image.dataobj.offset:
            raise ScanError(
                f"its vox_offset is {image.dataobj.offset}, beyond which the file is too short for its voxels",
                f"Set the header's vox_offset to where the voxels begin ({FIRST_VOXEL}), or export the file again.",
                path,
            )
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


def _check_alone(path: Path) -> None:
    """That ITK opens this very file."""
    if path.name.lower().endswith(".gz") and (twin := path.with_suffix("")).exists():
        raise ScanError(f"lies beside {twin.name}, which ITK reads in its place", "Move one of the two away.", path)


def _uncompressed(path: Path) -> bytes:
    """The file's content; reading a gzip stream to its end also checks its checksum."""
    if not path.name.lower().endswith(".gz"):
        return path.read_bytes()
    return gzip.decompress(path.read_bytes())
