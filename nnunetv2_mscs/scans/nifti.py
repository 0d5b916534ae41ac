"""NIfTI as every reader understands it: headers that nibabel, ITK and nnU-Net read otherwise are put right first.

Where a header says something odd, and the NIfTI standard or the file itself says what is meant, the scan is copied as a
plain NIfTI-1 file and read from there. Where nothing says it, the file is refused, with the field's name.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from nnunetv2_mscs.scans.compressed import GZIP_MAGIC
from nnunetv2_mscs.scans.contents import EXPORT_AGAIN, check_voxel_file
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.formats import MGH_ENDINGS, NIFTI_ENDINGS, PAIR_ENDING
from nnunetv2_mscs.scans.grid import spacing_is_sane
from nnunetv2_mscs.scans.intact import FIRST_VOXEL

SIZE_1, SIZE_2 = 348, 540
END_OF_HEADER = {SIZE_1: FIRST_VOXEL, SIZE_2: 544}  # with the four bytes that say whether extensions follow
UNITS = {1: ("metres", 1000.0), 3: ("microns", 0.001)}
SPATIAL, MILLIMETRES = 7, 2
MOST_VOXELS_OF_AN_AXIS = 32767
SMALLEST_SLOPE = 1e-15  # ITK takes less for no slope at all
FORMS = {
    "sform": ("srow_x", "srow_y", "srow_z"),
    "qform": ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
}
SINGULAR = 1e-4
# Rounding leaves quaternions that square to a little more than 1. NIfTI's own library takes any and normalises it;
# nibabel refuses all that exceed 1 by more than READABLE.
LARGEST_SQUARE, READABLE = 1.01, 3 * float(np.finfo(np.float32).eps)
ANALYZE = "it is Analyze 7.5, which does not record which side is left"
MGH_FLAG = ">28xh"  # whether the header says where the voxels lie


@dataclass
class _Mended:
    """A header to write, and what was changed in it.

    Args:
        header: of NIfTI-1.
        changed: it differs from the file's own.
        warnings: what was decided, in words.
    """

    header: Any
    changed: bool = False
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        self.changed = True
        self.warnings.append(text)


@contextmanager
def as_plain_nifti(path: Path) -> Iterator[tuple[Path, list[str]]]:
    """The file itself if its header means the same to every reader, or is not NIfTI's; else a plain copy, for a while.

    Args:
        path: a scan of any format. NIfTI-2, NIfTI in two files, Analyze and MGH always come as a copy.

    Yields:
        The file to read, and warnings on what was decided.

    Raises:
        ScanError: the header says nothing that can be meant, or the file is incomplete.
    """
    try:
        made = _plain(path)
    except (OSError, EOFError, zlib.error) as error:
        raise ScanError(f"is damaged or truncated: {str(error) or type(error).__name__}", EXPORT_AGAIN, path) from error
    if made is None:
        yield path, []
        return
    with TemporaryDirectory(prefix="mscs-") as folder:
        copy = Path(folder) / "scan.nii"
        copy.write_bytes(made[0])
        yield copy, made[1]


def _plain(path: Path) -> tuple[bytes, list[str]] | None:
    """The bytes of the plain copy, and warnings; None if the file can be read as it is."""
    name = path.name.lower()
    if name.endswith(MGH_ENDINGS):
        return _plain_mgh(path), []
    if not name.endswith((*NIFTI_ENDINGS, PAIR_ENDING)):
        return None
    stored = read_header(path)
    if stored is None:
        return (_plain_analyze(path), [ANALYZE]) if name.endswith(PAIR_ENDING) else None
    is_single = bytes(stored["magic"]).startswith(b"n+")
    mended = _as_nifti_1(stored, path)
    mended.changed |= not is_single
    _settle_forms(mended, path)
    _settle_scaling(mended, path)
    _settle_units(mended, path)
    _settle_dimensions(mended)
    offset, end = float(stored["vox_offset"]), END_OF_HEADER[int(stored["sizeof_hdr"])] if is_single else 0
    if not mended.changed and (offset > end or (offset == end and not _claims_extensions(_content(path, end), end))):
        return None
    voxels = _voxels(mended, _content(path if is_single else _partner(path)), offset, end, path)
    mended.header["sizeof_hdr"], mended.header["magic"], mended.header["vox_offset"] = SIZE_1, b"n+1", FIRST_VOXEL
    return mended.header.binaryblock + bytes(FIRST_VOXEL - SIZE_1) + voxels, mended.warnings


def read_header(path: Path) -> Any:
    """nibabel's object of the header as stored, unchecked (nibabel.load corrects some fields); None if it is that of
    Analyze, or none that nibabel could know."""
    import nibabel

    head = _content(path, SIZE_2)
    for order, sign in (("<", "little"), (">", "big")):
        size = struct.unpack(f"{order}i", head[:4])[0] if len(head) >= SIZE_1 else 0
        if size == SIZE_1 and head[344:347] in (b"n+1", b"ni1"):
            return nibabel.Nifti1Header(head[:SIZE_1], endianness=sign, check=False)
        if size == SIZE_2 and len(head) == SIZE_2 and head[4:7] in (b"n+2", b"ni2"):
            return nibabel.Nifti2Header(head, endianness=sign, check=False)
    return None


def _content(path: Path, most: int = -1) -> bytes:
    """The file's bytes, unpacked; of a gzip stream read to its end the checksum is checked, too."""
    with path.open("rb") as plain:
        is_packed = plain.read(2) == GZIP_MAGIC
    with gzip.open(path, "rb") if is_packed else path.open("rb") as stream:
        return stream.read(most)


def _partner(path: Path) -> Path:
    """The file of the voxels that belong to a header file."""
    for ending in (".img", ".IMG", ".img.gz"):
        if (partner := path.with_suffix(ending)).is_file():
            check_voxel_file(partner, path)
            return partner
    raise ScanError(
        f"says that its voxels lie in {path.with_suffix('.img').name}, which is not there",
        "Put that file beside it, or export the scan again as one file.",
        path,
    )


def _as_nifti_1(header: Any, path: Path) -> _Mended:
    import nibabel

    if int(header["sizeof_hdr"]) == SIZE_1:
        return _Mended(header.copy())
    if (sizes := header["dim"]).max() > MOST_VOXELS_OF_AN_AXIS:
        raise ScanError(f"is NIfTI-2 of {sizes.max()} voxels along an axis", "Save it as NIfTI-1.", path)
    plain = nibabel.Nifti1Header(endianness=header.endianness, check=False)
    for key in set(plain.keys()) & set(header.keys()) - {"sizeof_hdr", "magic", "vox_offset"}:
        plain[key] = header[key]
    return _Mended(plain, changed=True)


def _settle_forms(mended: _Mended, path: Path) -> None:
    """Drop a qform or sform in force that puts voxels nowhere, if the other one is fine."""
    recorded = [form for form in FORMS if mended.header[f"{form}_code"]]
    broken = {form: what for form in recorded if (what := _what_is_broken(mended.header, form))}
    usable = [form for form in recorded if form not in broken]
    for form, what in broken.items():
        if not usable:
            raise ScanError(f"its {form} {what}", f"Correct the header's {form}, or export the file again.", path)
        mended.header[f"{form}_code"] = 0
        mended.warn(f"its {form} {what}: the {usable[0]} was used")
    square = quaternion_square(mended.header)
    if "qform" in usable and square > 1 + READABLE:
        for key in FORMS["qform"][:3]:
            mended.header[key] = mended.header[key] / np.sqrt(square)
        mended.changed = True


def quaternion_square(header: Any) -> float:
    """b2 + c2 + d2 of the qform's quaternion, at most 1 in a rotation."""
    return float(sum(float(header[key]) ** 2 for key in FORMS["qform"][:3]))


def _what_is_broken(header: Any, form: str) -> str:
    values = np.concatenate([np.atleast_1d(header[key]) for key in FORMS[form]]).astype(float)
    if not np.isfinite(values).all():
        return "holds NaN" if np.isnan(values).any() else "holds infinite values"
    if form == "qform":
        square = quaternion_square(header)
        return f"holds a quaternion that is no rotation (it squares to {square:.4g})" if square > LARGEST_SQUARE else ""
    axes = values.reshape(3, 4)[:, :3]
    lengths = np.linalg.norm(axes, axis=0)
    is_flat = not lengths.all() or abs(np.linalg.det(axes / lengths)) < SINGULAR
    return "puts all voxels into one plane" if is_flat else ""


def _settle_scaling(mended: _Mended, path: Path) -> None:
    """See that slope and intercept mean the same to all; by the standard, a slope of 0 is none, and then neither is
    the intercept."""
    slope, inter = float(mended.header["scl_slope"]), float(mended.header["scl_inter"])
    if np.isinf(slope) or 0 < abs(slope) < SMALLEST_SLOPE:
        raise _bad_scaling("scl_slope", slope, path)
    if np.isnan(slope) and np.isfinite(inter) and inter:
        raise _bad_scaling("scl_slope", slope, path, f" beside an intercept (scl_inter) of {inter:g}")
    if slope == 0 and inter and np.isfinite(inter):
        mended.warn(f"its scl_slope is 0, so that its scl_inter of {inter:g} does not count: the numbers as stored")
        mended.header["scl_inter"] = 0
    elif slope and np.isfinite(slope) and not np.isfinite(inter):
        if np.isinf(inter):
            raise _bad_scaling("scl_inter", inter, path)
        mended.warn("its scl_inter is NaN: taken as 0")
        mended.header["scl_inter"] = 0


def _bad_scaling(key: str, value: float, path: Path, beside: str = "") -> ScanError:
    return ScanError(
        f"its {key} is {value:g}{beside}: what its numbers stand for is not known",
        f"Correct the header's {key}, or export the file again.",
        path,
    )


def _settle_units(mended: _Mended, path: Path) -> None:
    """Bring a header in metres or microns to mm."""
    header = mended.header
    units = int(header["xyzt_units"])
    if units & SPATIAL not in UNITS:
        return
    name, factor = UNITS[units & SPATIAL]
    stored = [float(size) for size in header["pixdim"][1:4]]
    if not spacing_is_sane([size * factor for size in stored]):
        raise ScanError(
            f"has an impossible voxel size of {' x '.join(f'{size:g}' for size in stored)} {name} (its xyzt_units)",
            "If these are mm, set the header's xyzt_units to 2; else correct its pixdim.",
            path,
        )
    header["pixdim"][1:4] = [_scaled(size, factor) for size in stored]
    for key in (*FORMS["sform"], "qoffset_x", "qoffset_y", "qoffset_z"):
        header[key] = np.vectorize(_scaled)(header[key], factor)
    header["xyzt_units"] = units & ~SPATIAL | MILLIMETRES
    mended.warn(f"its header is in {name}: brought to mm")


def _scaled(value: float, factor: float) -> float:
    """The product to the seven digits of the header's numbers: 0.003 m are 3 mm, not 3.0000001."""
    return float(f"{float(value) * factor:.7g}")


def _settle_dimensions(mended: _Mended) -> None:
    """Drop axes after the third whose length is 0 or less."""
    sizes = mended.header["dim"]
    for axis in range(4, min(int(sizes[0]), 7) + 1):
        if sizes[axis] < 1:
            mended.changed, sizes[axis] = True, 1


def _voxels(mended: _Mended, content: bytes, offset: float, end: int, path: Path) -> bytes:
    """The bytes of the voxels, from where they really begin.

    Args:
        mended: the header.
        content: of the file that holds the voxels.
        offset: the file's own vox_offset.
        end: of the header in the same file; 0 if the voxels have a file of their own.
        path: of the scan, for messages.
    """
    from nibabel.spatialimages import HeaderDataError

    try:
        shape, dtype = mended.header.get_data_shape(), mended.header.get_data_dtype()
    except HeaderDataError as error:
        raise ScanError(f"is damaged, truncated or not NIfTI: {error}", EXPORT_AGAIN, path) from error
    count = int(np.prod(shape)) * dtype.itemsize
    first = int(offset) if np.isfinite(offset) and offset >= 0 else -1
    if first < end or (first == end > 0 and _claims_extensions(content, end)):
        # Less cannot be: the header and its extensions stand there. Without extensions the voxels follow it at once.
        begin = _end_of_extensions(content, end, len(content) - count, mended.header.endianness)
        if first < end and len(content) != begin + count and (offset != 0 or any(content[end - 4 : end])):
            raise ScanError(
                f"its vox_offset is {offset:g}, where the header itself stands",
                f"Set the header's vox_offset to where the voxels begin ({end}), or export the file again.",
                path,
            )
        if first != begin:
            what = "the header ends" if begin == end else "the header's extensions end"
            mended.warn(f"its vox_offset is {offset:g}: the voxels were read where {what}, at byte {begin}")
        first = begin
    if first < 0 or len(content) < first + count:
        raise ScanError(f"is truncated: {len(content)} of {max(first, 0) + count} bytes", EXPORT_AGAIN, path)
    return content[first : first + count]


def _claims_extensions(content: bytes, end: int) -> bool:
    return any(content[end - 4 : end - 3])


def _end_of_extensions(content: bytes, end: int, voxels: int, endianness: str) -> int:
    """Where the header's extensions end: at byte `voxels` if they fill all up to there by their size, else at `end`."""
    position = end
    while _claims_extensions(content, end) and position + 8 <= voxels:
        size = struct.unpack_from(f"{endianness}i", content, position)[0]
        if size < 8:
            break
        position += size
    return position if position == voxels else end


def _plain_analyze(path: Path) -> bytes:
    import nibabel

    _partner(path)
    image: Any = nibabel.load(path)
    plain = nibabel.Nifti1Image(np.asanyarray(image.dataobj), None)
    plain.header.set_zooms([abs(float(size)) for size in image.header.get_zooms()])
    return plain.to_bytes()


def _plain_mgh(path: Path) -> bytes:
    import nibabel

    content = _content(path)
    image: Any = nibabel.MGHImage.from_bytes(content)
    expected = image.dataobj.offset + int(np.prod(image.shape)) * image.get_data_dtype().itemsize
    if len(content) < expected:
        raise ScanError(f"is truncated: {len(content)} of {expected} bytes", EXPORT_AGAIN, path)
    is_placed = bool(struct.unpack_from(MGH_FLAG, content)[0])
    return nibabel.Nifti1Image(np.asanyarray(image.dataobj), image.affine if is_placed else None).to_bytes()
