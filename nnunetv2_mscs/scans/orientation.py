"""Which of a NIfTI header's contradicting records of geometry is in force: ITK chooses, and says nothing."""

from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.grid import Grid

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SAME_VOXEL_SIZE = 0.01
WORTH_TELLING_VOXELS = 0.1


def check_orientation(path: Path, grid: Grid) -> list[str]:
    """Compare the grid that a NIfTI file was read on with what its header's qform and sform say.

    Args:
        path: the file.
        grid: its grid as read.

    Returns:
        Warnings: no orientation is recorded, or the two records differ, and which was used.

    Raises:
        ScanError: the record in force gives another voxel size than the header's pixdim.
    """
    import nibabel

    header: Any = nibabel.load(path).header
    forms = {
        name: LPS_FROM_RAS @ affine
        for name, (affine, code) in {
            "sform": header.get_sform(coded=True),
            "qform": header.get_qform(coded=True),
        }.items()
        if code
    }
    if not forms:
        return ["the header records no orientation (qform and sform codes are 0)"]
    apart = {name: _distance_mm(grid, affine) for name, affine in forms.items()}
    used = min(apart, key=apart.__getitem__)
    sizes = np.linalg.norm(forms[used][:3, :3], axis=0)
    if np.abs(sizes / grid.spacing - 1).max() > SAME_VOXEL_SIZE:
        raise ScanError(
            f"has two voxel sizes in its header: {_shown(grid.spacing)} mm (pixdim), {_shown(sizes)} mm ({used})",
            "Find out which is right and correct the other, or export the file again.",
            path,
        )
    if len(forms) == 1 or max(apart.values()) <= WORTH_TELLING_VOXELS * min(grid.spacing):
        return []
    return [f"the header's qform and sform differ by up to {max(apart.values()):.3g} mm; the {used} was used"]


def _distance_mm(grid: Grid, affine: np.ndarray) -> float:
    """The farthest that a voxel of the grid lies from where the affine (in LPS) puts it."""
    indices = np.indices((2, 2, 2)).reshape(3, -1).T * (np.array(grid.size) - 1)
    placed = indices @ affine[:3, :3].T + affine[:3, 3]
    straight = np.asarray(grid.origin) + (indices * grid.spacing) @ grid.matrix.T
    return float(np.linalg.norm(placed - straight, axis=1).max())


def _shown(sizes: Any) -> str:
    return " x ".join(f"{size:.4g}" for size in sizes)
