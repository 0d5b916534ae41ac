"""Which of a NIfTI header's records of geometry, qform and sform, may be in force: ITK chooses, and says nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.nifti import FORMS, quaternion_square, read_header

NO_ORIENTATION = "the header records no orientation (qform and sform codes are 0)"
SAME_VOXEL_SIZE = 0.01
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# The real part of a quaternion is the root of what is missing to 1. This little is rounding of 32-bit numbers, whose
# root would turn a volume that is stored half a turn from RAS, such as along LPS or ARI, by 0.05 degrees.
LARGEST_ROUNDING = 4e-7
WORTH_TELLING_VOXELS = 0.1


class Orientation(NamedTuple):
    """What a header says about where its voxels lie.

    Args:
        grid: of the form in force.
        forms: the grid of each form by its name, the one in force first; empty unless two of them contradict each
            other.
        warnings: no orientation is recorded, or one form cannot be used.
    """

    grid: Grid
    forms: tuple[tuple[str, Grid], ...]
    warnings: list[str]


def read_orientation(path: Path, grid: Grid) -> Orientation:
    """Compare the grid that a NIfTI file was read on with what its header's qform and sform say.

    Args:
        path: the file, as `nifti.as_plain_nifti` gives it: each form in force is an affine in mm.
        grid: its grid as read.

    Raises:
        ScanError: the record in force gives another voxel size than the header's pixdim.
    """
    header = read_header(path)
    affines = _recorded_affines(header)
    if not affines:
        return Orientation(grid, (), [NO_ORIENTATION])
    apart = {name: _distance_mm(grid, affine) for name, affine in affines.items()}
    used = min(apart, key=apart.__getitem__)
    sizes = np.linalg.norm(affines[used][:3, :3], axis=0)
    if np.abs(sizes / grid.spacing - 1).max() > SAME_VOXEL_SIZE:
        if forms := _forms_of_two_sizes(affines, used, sizes, grid):
            return Orientation(forms[0][1], forms, [])
        raise ScanError(
            f"has two voxel sizes in its header: {_shown(grid.spacing)} mm (pixdim), {_shown(sizes)} mm ({used})",
            "Find out which is right and correct the other, or export the file again.",
            path,
        )
    if used == "qform" and _is_half_a_turn(header):
        grid = _rectangular(affines[used], grid) or grid
    other = next((name for name in affines if name != used), None)
    if other is None or apart[other] <= grid.tolerance_mm:
        return Orientation(grid, (), [])
    other_grid = _rectangular(affines[other], grid)
    if other_grid is None:
        warning = f"the header's qform and sform differ by up to {apart[other]:.3g} mm; the {used} was used"
        return Orientation(grid, (), [warning])
    return Orientation(grid, ((used, grid), (other, other_grid)), [])


def _forms_of_two_sizes(
    affines: dict[str, np.ndarray], used: str, sizes: np.ndarray, grid: Grid
) -> tuple[tuple[str, Grid], ...]:
    """The forms of a header whose two records give two voxel sizes; empty if there is one record, or either shears."""
    grids = {
        name: _rectangular(affine, replace(grid, spacing=tuple(map(float, sizes))) if name == used else grid)
        for name, affine in affines.items()
    }
    forms = tuple((name, one) for name, one in sorted(grids.items(), key=lambda item: item[0] != used) if one)
    return forms if len(forms) > 1 else ()


def _recorded_affines(header: Any) -> dict[str, np.ndarray]:
    """The affines of the forms with a code above 0, in ITK's LPS world, the sform first."""
    forms = {}
    if header["sform_code"] > 0:
        forms["sform"] = LPS_FROM_RAS @ header.get_sform()
    if header["qform_code"] > 0:
        forms["qform"] = LPS_FROM_RAS @ _affine_of_quaternion(header)
    return forms


def _affine_of_quaternion(header: Any) -> np.ndarray:
    from nibabel.quaternions import quat2mat

    vector = [float(header[key]) for key in FORMS["qform"][:3]]
    real = 0.0 if _is_half_a_turn(header) else np.sqrt(max(0.0, 1.0 - quaternion_square(header)))
    affine = np.eye(4)
    affine[:3, :3] = quat2mat([real, *vector])  # which normalises
    handedness = -1.0 if header["pixdim"][0] < 0 else 1.0
    affine[:3, :3] *= np.abs(header["pixdim"][1:4].astype(float)) * (1.0, 1.0, handedness)
    affine[:3, 3] = [float(header[key]) for key in FORMS["qform"][3:]]
    return affine


def _is_half_a_turn(header: Any) -> bool:
    """Whether the qform's quaternion has no real part, but for rounding."""
    return abs(1.0 - quaternion_square(header)) <= LARGEST_ROUNDING


def _rectangular(affine: np.ndarray, grid: Grid) -> Grid | None:
    """The grid of an affine (in LPS) on a file of the size and spacing of `grid`; None if it scales or shears."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if np.abs(sizes / grid.spacing - 1).max() > SAME_VOXEL_SIZE:
        return None
    left, _, right = np.linalg.svd(affine[:3, :3] / sizes)
    direction = left @ right
    middle = (np.array(grid.size) - 1) / 2
    origin = affine[:3, :3] @ middle + affine[:3, 3] - direction @ (middle * grid.spacing)
    straight = Grid(grid.size, grid.spacing, tuple(map(float, origin)), tuple(map(float, direction.ravel())))
    is_straight = _distance_mm(straight, affine) <= WORTH_TELLING_VOXELS * min(grid.spacing)
    return straight if is_straight else None


def _distance_mm(grid: Grid, affine: np.ndarray) -> float:
    """The farthest that a voxel of the grid lies from where the affine (in LPS) puts it."""
    indices = np.indices((2, 2, 2)).reshape(3, -1).T * (np.array(grid.size) - 1)
    placed = indices @ affine[:3, :3].T + affine[:3, 3]
    straight = np.asarray(grid.origin) + (indices * grid.spacing) @ grid.matrix.T
    return float(np.linalg.norm(placed - straight, axis=1).max())


def _shown(sizes: Any) -> str:
    return " x ".join(f"{size:.4g}" for size in sizes)
