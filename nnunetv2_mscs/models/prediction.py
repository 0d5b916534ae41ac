"""What a model says about one scan, with the measurements that are made of it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import SimpleITK as sitk

from nnunetv2_mscs.scans.alignment import turn, turned
from nnunetv2_mscs.scans.channels import DWI
from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.new_scan import NewScan
from nnunetv2_mscs.scans.scan import Scan
from nnunetv2_mscs.scans.units import head_mask

FEWEST_VOXELS_TO_COMPARE = 5


@dataclass(frozen=True)
class Prediction:
    """The result for one scan. Arrays are (Z, Y, X) on the DWI's grid as stored.

    Args:
        mask: uint8 labels, 0 outside of lesions.
        probabilities: float32, of lesion.
        grid: where the voxels lie.
        lesion_volumes_ml: of each lesion (26-connected piece), the largest first.
        largest_probability: of any voxel: how close an empty mask came to a lesion.
        mean_adc: in the mask, in 10^-6 mm2/s (or without unit if `adc_unit` is "scaled"); None for an empty mask.
        relative_dwi: median DWI in the mask over that at the mirrored place; None if that cannot be said.
        b_value: of the DWI in s/mm2, if it is known.
        adc_unit: the unit that the ADC was stored in, or that it was computed; None without ADC.
        warnings: sentences that ask for a look.
        notes: what was decided while reading.
        seconds: by step.
        scan: the scan as harmonised.
    """

    mask: np.ndarray
    probabilities: np.ndarray
    grid: Grid
    lesion_volumes_ml: tuple[float, ...]
    largest_probability: float
    mean_adc: float | None
    relative_dwi: float | None
    b_value: float | None
    adc_unit: str | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: dict[str, float]
    scan: NewScan = field(repr=False)

    @property
    def lesion_volume_ml(self) -> float:
        return float(sum(self.lesion_volumes_ml))

    @property
    def lesion_count(self) -> int:
        return len(self.lesion_volumes_ml)

    def as_image(self) -> sitk.Image:
        """The mask as an ITK image on the DWI's grid."""
        return self.grid.place(sitk.GetImageFromArray(self.mask))

    def measurements(self) -> dict[str, Any]:
        """The numbers for tables, by the names of their columns."""
        return {
            "lesion_volume_ml": round(self.lesion_volume_ml, 6),
            "lesion_count": self.lesion_count,
            "largest_lesion_ml": round(max(self.lesion_volumes_ml, default=0.0), 6),
            "largest_probability": round(self.largest_probability, 6),
            "mean_adc": None if self.mean_adc is None else round(self.mean_adc, 3),
            "relative_dwi": None if self.relative_dwi is None else round(self.relative_dwi, 4),
            "b_value": self.b_value,
        }


def mirrored_contrast(scan: Scan, lesion: np.ndarray) -> float | None:
    """The median DWI of a mask over that of the tissue at the mirrored place.

    The head is mirrored about the plane from front to back through its centre of mass; it may be tilted by some
    degrees, so that this is a rough figure. Voxels of the mask itself do not count on the other side.

    Args:
        scan: with a DWI.
        lesion: (Z, Y, X) boolean, on the scan's grid.

    Returns:
        None if fewer than 5 voxels can be compared.
    """
    grid = scan.grid
    upright = turned(grid, Grid(grid.size, grid.spacing))
    dwi, inside = (turn(one[None], grid, upright)[0][0] for one in (scan.channels[DWI], lesion))
    if np.count_nonzero(inside) < FEWEST_VOXELS_TO_COMPARE:
        return None
    head = head_mask(dwi)
    middle = float(np.nonzero(head)[2].mean()) if head.any() else (dwi.shape[2] - 1) / 2
    z, y, x = np.nonzero(inside)
    opposite = np.rint(2 * middle - x).astype(int)
    valid = (opposite >= 0) & (opposite < dwi.shape[2])
    z, y, opposite = z[valid], y[valid], opposite[valid]
    compared = head[z, y, opposite] & ~inside[z, y, opposite]
    if np.count_nonzero(compared) < FEWEST_VOXELS_TO_COMPARE:
        return None
    other = float(np.median(dwi[z[compared], y[compared], opposite[compared]]))
    return float(np.median(dwi[inside])) / other if other > 0 else None
