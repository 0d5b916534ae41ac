"""Which of a NIfTI header's records of geometry, qform and sform, may be in force: ITK chooses, and says nothing."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.nifti_header import is_half_a_turn, quaternion_square, read_header, recorded_affines

NO_ORIENTATION = "the header records no orientation (qform and sform codes are 0)"
SAME_VOXEL_SIZE = 0.01
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
        path: the file.
        grid: its grid as read.

    Raises:
        ScanError: the record in force gives another voxel size than the header's pixdim, or none is usable.
    """
    header = read_header(path)
    recorded = recorded_affines(header)
    if not recorded:
        return Orientation(grid, (), [NO_ORIENTATION])
    affines = {name: affine for name, affine in recorded.items() if affine is not None}
    unusable = [_unusable(name, header) for name in recorded if name not in affines]
    if not affines:
        raise ScanError(f"has no usable orientation: {' and '.join(unusable)}", "Export the file again.", path)
    apart = {name: _distance_mm(grid, affine) for name, affine in affines.items()}
    used = min(apart, key=apart.__getitem__)
    sizes = np.linalg.norm(affines[used][:3, :3], axis=0)
    if np.abs(sizes / grid.spacing - 1).max() > SAME_VOXEL_SIZE:
        raise ScanError(
            f"has two voxel sizes in its header: {_shown(grid.spacing)} mm (pixdim), {_shown(sizes)} mm ({used})",
            "Find out which is right and correct the other, or export the file again.",
            path,
        )
    warnings = [f"{reason}; the {used} was used" for reason in unusable]
    if used == "qform" and is_half_a_turn(header):
        grid = _rectangular(affines[used], grid) or grid
    other = next((name for name in affines if name != used), None)
    if other is None:
        return Orientation(grid, (), warnings)
    other_grid = _rectangular(affines[other], grid)
    if other_grid is None:
        warnings.append(f"the header's qform and sform differ by up to {apart[other]:.3g} mm; the {used} was used")
        return Orientation(grid, (), warnings)
    if apart[other] <= grid.tolerance_mm:
        return Orientation(grid, (), warnings)
    return Orientation(grid, ((used, grid), (other, other_grid)), warnings)


def _unusable(name: str, header: Any) -> str:
    if name == "qform" and np.isfinite(square := quaternion_square(header)) and square > 1:
        return f"its qform's quaternion is no rotation (it squares to {square:.4g})"
    return f"its {name} holds NaN, infinite numbers or an axis of no length"


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
