"""Whether a file is whole: ITK reads 0, without a word, for what is cut off, damaged or NaN in a NIfTI file."""

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.grid import spacing_is_sane

EXPORT_AGAIN = "Copy or export the file again."
NIFTI_ENDINGS = (".nii", ".nii.gz")


def check_intact(path: Path) -> list[str]:
    """Check that a file can be opened and, if NIfTI, that it is complete and its header makes sense.

    Returns:
        Warnings about the header's geometry.

    Raises:
        ScanError: empty, unreadable, truncated or damaged file, NaN or infinite values, or an impossible voxel size.
    """
    try:
        with path.open("rb"):
            size = path.stat().st_size
    except OSError as error:
        raise ScanError(f"cannot be opened: {error.strerror}", "Check the file and its permissions.", path) from error
    if size == 0:
        raise ScanError("is empty (0 bytes)", EXPORT_AGAIN, path)
    if path.name.lower().endswith(NIFTI_ENDINGS):
        return _check_nifti(path)
    return []


def _check_nifti(path: Path) -> list[str]:
    import nibabel
    from nibabel.openers import ImageOpener

    try:
        image: Any = nibabel.load(path)
        with ImageOpener(str(path)) as stream:  # nibabel.load puts 1 where the header says 0
            header = type(image.header).from_fileobj(stream, check=False)
        dtype, voxels = image.get_data_dtype(), int(np.prod(image.shape))
        content = _uncompressed(path)
    except (OSError, EOFError, ValueError, zlib.error, nibabel.filebasedimages.ImageFileError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ScanError(f"is damaged, truncated or not NIfTI: {reason}", EXPORT_AGAIN, path) from error
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
    return _orientation_warnings(image)


def _uncompressed(path: Path) -> bytes:
    """The file's content; reading a gzip stream to its end also checks its checksum."""
    if not path.name.lower().endswith(".gz"):
        return path.read_bytes()
    with gzip.open(path, "rb") as stream:
        return stream.read()


def _orientation_warnings(image: Any) -> list[str]:
    """What a reader of the NIfTI header's two orientation records (qform, sform) should know."""
    if image.header["qform_code"] <= 0 and image.header["sform_code"] <= 0:
        return ["the header records no orientation (qform and sform codes are 0)"]
    if image.header["qform_code"] <= 0 or image.header["sform_code"] <= 0:
        return []
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=float)
    corners[:, :3] *= np.asarray(image.shape[:3], dtype=float) - 1
    difference = corners @ (image.get_sform() - image.get_qform()).T
    apart = float(np.linalg.norm(difference[:, :3], axis=1).max())
    if apart <= 0.1 * min(image.header["pixdim"][1:4]):
        return []
    return [f"the header's qform and sform differ by up to {apart:.3g} mm; the sform is used where ITK accepts it"]
