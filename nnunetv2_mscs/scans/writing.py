"""Write one volume, and make sure that it arrived on the disk."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.workplace.whole_files import DISK_FULL


def write_volume(array: np.ndarray, grid: Grid, path: Path) -> None:
    """Write a (Z, Y, X) array as compressed NIfTI and read it through once.

    ITK compresses NIfTI at zlib's fast setting whatever level is asked for, and reports no full disk: hence the check.

    Args:
        array: finite numbers.
        grid: where its voxels lie.
        path: a file that ends in .nii.gz.

    Raises:
        MscsError: the file could not be written in full.
    """
    array = np.ascontiguousarray(array)
    try:
        sitk.WriteImage(grid.place(sitk.GetImageFromArray(array)), str(path), useCompression=True)
        arrived = gzip.decompress(path.read_bytes()).endswith(array.tobytes())
    except (RuntimeError, OSError, EOFError, zlib.error) as error:
        raise MscsError(f"{path.name} could not be written in full.", DISK_FULL) from error
    if not arrived:
        raise MscsError(f"{path.name} could not be written in full.", DISK_FULL)
