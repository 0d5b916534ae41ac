"""Volumes written along any axes and with any forms in their headers, by nibabel alone."""

import gzip
from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

ALL_AXES = ["".join(letters) for order in permutations(("LR", "PA", "SI")) for letters in product(*order)]


def rotation(about_x: float, about_y: float, about_z: float) -> np.ndarray:
    """A rotation by three angles in degrees, (3, 3)."""
    result = np.eye(3)
    for axis, degrees in enumerate((about_x, about_y, about_z)):
        i, j = (n for n in range(3) if n != axis)
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(np.deg2rad(degrees))
        turn[i, j], turn[j, i] = -np.sin(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        result = turn @ result
    return result


def oblique(affine: np.ndarray, *degrees: float) -> np.ndarray:
    """An affine turned in the world."""
    turned = affine.copy()
    turned[:3] = rotation(*degrees) @ affine[:3]
    return turned


def along(array: np.ndarray, affine: np.ndarray, axes: str) -> tuple[np.ndarray, np.ndarray]:
    """The same volume, (x, y, z), stored along other axes, named as nibabel does."""
    change = ornt_transform(io_orientation(affine), axcodes2ornt(tuple(axes)))
    return apply_orientation(array, change), affine @ inv_ornt_aff(change, array.shape)


def mirrored(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The affine of a volume mirrored from left to right about its own middle."""
    result = affine.copy()
    middle = affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
    result[0] *= -1
    result[0, 3] += 2 * middle[0]
    return result


def moved(affine: np.ndarray, *by_mm: float) -> np.ndarray:
    result = affine.copy()
    result[:3, 3] += by_mm
    return result


def write_nifti(
    path: Path,
    array: np.ndarray,
    affine: np.ndarray,
    *,
    sform: np.ndarray | None = None,
    qform: np.ndarray | None = None,
    codes: tuple[int, int] = (1, 1),
    quaternion_square: float | None = None,
    unit: str = "mm",
    big_endian: bool = False,
    version: int = 1,
    **fields: float,
) -> Path:
    """Write (x, y, z) or (x, y, z, channels) voxels as they are.

    Args:
        path: .nii or .nii.gz.
        array: the voxels as stored.
        affine: where they lie in mm, in both forms unless others are given.
        sform, qform: instead of it.
        codes: of sform and qform.
        quaternion_square: what the qform's quaternion is to square to.
        unit: of the header's lengths: mm, meter, micron or unknown.
        big_endian: the order of bytes.
        version: of NIfTI, 1 or 2.
        fields: of the header, such as scl_slope.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    header = nibabel.Nifti1Header() if version == 1 else nibabel.Nifti2Header()
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape)
    scale = np.diag([*[{"meter": 1e-3, "micron": 1e3}.get(unit, 1.0)] * 3, 1.0])
    header.set_qform(scale @ (affine if qform is None else qform), codes[1])
    header.set_sform(scale @ (affine if sform is None else sform), codes[0])
    header.set_xyzt_units(unit)
    if quaternion_square is not None:
        vector = np.array([float(header[f"quatern_{axis}"]) for axis in "bcd"])
        for axis, value in zip("bcd", vector * np.sqrt(quaternion_square / (vector**2).sum()), strict=True):
            header[f"quatern_{axis}"] = value
    header["vox_offset"] = len(header.binaryblock) + 4
    header["magic"] = b"n+1" if version == 1 else b"n+2\0\r\n\x1a\n"
    for name, value in fields.items():
        header[name] = value
    order = ">" if big_endian else "<"
    voxels = array.astype(array.dtype.newbyteorder(order)).tobytes(order="F")
    content = header.as_byteswapped(order).binaryblock + bytes(4) + voxels
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def placed(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and affine of a file, as nibabel reads them."""
    image = nibabel.load(path)
    return np.asanyarray(image.dataobj), image.affine


def same_place(
    made: tuple[np.ndarray, np.ndarray], found: tuple[np.ndarray, np.ndarray], *, atol: float = 1e-6
) -> bool:
    """Whether each voxel that was made is found at its place in the world, and no other.

    Args:
        made: voxels (x, y, z), and their affine.
        found: likewise, along any axes.
        atol: how far values may be from each other, besides rounding.
    """
    (ours, affine), (theirs, other) = made, found
    if sorted(ours.shape) != sorted(theirs.shape):
        return False
    indices = np.indices(ours.shape).reshape(3, -1)
    world = affine[:3, :3] @ indices + affine[:3, 3:]
    there = np.linalg.inv(other[:3, :3]) @ (world - other[:3, 3:])
    nearest = np.rint(there).astype(int)
    outside = (nearest < 0).any() or any((n >= size).any() for n, size in zip(nearest, theirs.shape, strict=True))
    if np.abs(there - nearest).max() > 0.02 or outside:
        return False
    return bool(np.allclose(theirs[tuple(nearest)], ours.ravel(), rtol=1e-6, atol=atol))
