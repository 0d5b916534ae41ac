"""Volumes written along any axes and with any forms in their headers, by nibabel alone."""

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
    codes: tuple[int, int] | None = None,
    quaternion_square: float | None = None,
) -> Path:
    """Write (x, y, z) voxels.

    Args:
        path: .nii or .nii.gz.
        array: the voxels.
        affine: where they lie, in both forms unless others are given.
        sform, qform: instead of it.
        codes: of sform and qform; 1 for both by default.
        quaternion_square: what the qform's quaternion is to square to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, None)
    s_code, q_code = codes or (1, 1)
    image.set_qform(affine if qform is None else qform, q_code)
    image.set_sform(affine if sform is None else sform, s_code)
    if quaternion_square is not None:
        vector = np.array([float(image.header[f"quatern_{axis}"]) for axis in "bcd"])
        for axis, value in zip("bcd", vector * np.sqrt(quaternion_square / (vector**2).sum()), strict=True):
            image.header[f"quatern_{axis}"] = value
    path.write_bytes(b"")
    header = image.header.copy()
    header["vox_offset"], header["magic"] = 352, b"n+1"
    content = header.binaryblock + b"\0\0\0\0" + np.asfortranarray(array).tobytes(order="F")
    if path.suffix == ".gz":
        import gzip

        content = gzip.compress(content, mtime=0)
    path.write_bytes(content)
    return path


def placed(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and affine of a file, as nibabel reads them."""
    image = nibabel.load(path)
    return np.asanyarray(image.dataobj), image.affine


def same_place(
    made: tuple[np.ndarray, np.ndarray], found: tuple[np.ndarray, np.ndarray], *, rtol: float = 1e-6
) -> bool:
    """Whether each voxel that was made is found at its place in the world, and no other.

    Args:
        made: voxels (x, y, z), and their affine.
        found: likewise, along any axes.
        rtol: how far values may be from each other.
    """
    (ours, affine), (theirs, other) = made, found
    if sorted(ours.shape) != sorted(theirs.shape):
        return False
    indices = np.indices(ours.shape).reshape(3, -1)
    world = affine[:3, :3] @ indices + affine[:3, 3:]
    there = np.linalg.inv(other[:3, :3]) @ (world - other[:3, 3:])
    nearest = np.rint(there).astype(int)
    if np.abs(there - nearest).max() > 0.02 or (nearest < 0).any() or (nearest.T >= np.array(theirs.shape)).any():
        return False
    return bool(np.allclose(theirs[tuple(nearest)], ours.ravel(), rtol=rtol, atol=1e-6))
