"""The header of a NIfTI file as stored, and the two records of geometry in it."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
NIFTI2_SIZE = 540
UNITS_MASK, MM_PER_UNIT = 7, {1: 1000.0, 3: 0.001}
# Rounding leaves quaternions that square to a little more than 1; NIfTI's own library takes any and normalises it.
LARGEST_SQUARE = 1.01
# The real part of a quaternion is the root of what is missing to 1. This little is rounding of 32-bit numbers, whose
# root would turn a volume that is stored half a turn from RAS, such as along LPS or ARI, by 0.05 degrees.
LARGEST_ROUNDING = 4e-7


def read_header(path: Path) -> Any:
    """The header of a .nii or .nii.gz file as nibabel's object, unchecked: nibabel.load corrects some fields."""
    import nibabel
    from nibabel.openers import ImageOpener

    with ImageOpener(str(path)) as stream:
        size = stream.read(4)
        stream.seek(0)
        is_second = NIFTI2_SIZE in (int.from_bytes(size, "little"), int.from_bytes(size, "big"))
        header: Any = nibabel.Nifti2Header if is_second else nibabel.Nifti1Header
        return header.from_fileobj(stream, check=False)


def load_nifti(path: Path) -> Any:
    """nibabel.load, which also takes quaternions that square to more than 1: `recorded_affines` judges them."""
    import nibabel

    headers: tuple[Any, ...] = (nibabel.Nifti1Header, nibabel.Nifti2Header)
    with ExitStack() as restored:
        for header in headers:
            restored.callback(setattr, header, "quaternion_threshold", header.quaternion_threshold)
            header.quaternion_threshold = -np.inf
        return nibabel.load(path)


def recorded_affines(header: Any) -> dict[str, np.ndarray | None]:
    """The affines of the forms with a code above 0, in mm and ITK's LPS world.

    Returns:
        "sform" and "qform", as far as they are recorded; None for one that holds no affine: numbers that are not
        finite, axes of no length, or a quaternion that is no rotation.
    """
    scale = MM_PER_UNIT.get(int(header["xyzt_units"]) & UNITS_MASK, 1.0)
    forms: dict[str, np.ndarray | None] = {}
    if header["sform_code"] > 0:
        forms["sform"] = np.stack([header["srow_x"], header["srow_y"], header["srow_z"], (0, 0, 0, 1)]).astype(float)
    if header["qform_code"] > 0:
        forms["qform"] = _affine_of_quaternion(header)
    return {name: _in_mm(affine, scale) for name, affine in forms.items()}


def quaternion_square(header: Any) -> float:
    """b2 + c2 + d2 of the qform's quaternion, at most 1 in a rotation."""
    return float(sum(float(header[f"quatern_{axis}"]) ** 2 for axis in "bcd"))


def is_half_a_turn(header: Any) -> bool:
    """Whether the qform's quaternion has no real part, but for rounding."""
    return abs(1.0 - quaternion_square(header)) <= LARGEST_ROUNDING


def _affine_of_quaternion(header: Any) -> np.ndarray | None:
    from nibabel.quaternions import quat2mat

    square = quaternion_square(header)
    if not square <= LARGEST_SQUARE:
        return None
    vector = [float(header[f"quatern_{axis}"]) for axis in "bcd"]
    real = 0.0 if is_half_a_turn(header) else np.sqrt(max(0.0, 1.0 - square))
    affine = np.eye(4)
    affine[:3, :3] = quat2mat([real, *vector])  # which normalises
    handedness = -1.0 if header["pixdim"][0] < 0 else 1.0
    affine[:3, :3] *= np.abs(header["pixdim"][1:4].astype(float)) * (1.0, 1.0, handedness)
    affine[:3, 3] = [float(header[f"qoffset_{axis}"]) for axis in "xyz"]
    return affine


def _in_mm(affine: np.ndarray | None, scale: float) -> np.ndarray | None:
    if affine is None or not np.isfinite(affine).all() or not np.linalg.norm(affine[:3, :3], axis=0).all():
        return None
    affine[:3] *= scale
    return LPS_FROM_RAS @ affine
