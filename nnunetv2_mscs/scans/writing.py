"""Write one volume, and make sure that it arrived on the disk."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.intact import check_intact
from nnunetv2_mscs.workplace.whole_files import DISK_FULL


def write_volume(array: np.ndarray, grid: Grid, path: Path) -> None:
    """Write a (Z, Y, X) array as compressed NIfTI and read it through once.

    ITK compresses NIfTI at zlib's fast setting whatever level is asked for, and reports no full disk: hence the check.

    Raises:
        MscsError: the file could not be written in full.
    """
    image = grid.place(sitk.GetImageFromArray(np.ascontiguousarray(array)))
    try:
        sitk.WriteImage(image, str(path), useCompression=True)
        check_intact(path)
    except (RuntimeError, ScanError) as error:
        raise MscsError(f"{path.name} could not be written in full.", DISK_FULL) from error
