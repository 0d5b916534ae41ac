"""nnU-Net's readers of our data sets: whatever way a scan is stored, the network sees it along the data set's axes.

nnU-Net's own SimpleITKIO takes voxels in the order of the file: a scan stored sagittally is sliced sagittally, and an
ADC stored from left to right is laid on a DWI stored from right to left. A reader of this module brings the channels
together by their headers, turns them to its axes, and lays masks back onto the grid as stored. For scans that are
stored along its axes it gives the numbers that SimpleITKIO gives.

nnU-Net makes readers without arguments, by a name that plans and dataset.json hold. So there is one class for each of
the 48 orders and directions of axes, such as MSCSReaderLPS; `mscs convert` names that of the data set's cases.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import SimpleITK as sitk
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter

from nnunetv2_mscs.nnunet_files.dataset import reader_along
from nnunetv2_mscs.scans.alignment import align, along, turn
from nnunetv2_mscs.scans.channels import single_volume
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.formats import IMAGE_ENDINGS
from nnunetv2_mscs.scans.forms import Placed, settle_forms
from nnunetv2_mscs.scans.grid import ALL_AXES, Grid
from nnunetv2_mscs.scans.reading import read_volume

# Geometry in the properties of a case: as nnU-Net has it, by SimpleITK's names, and as the file stores it.
AS_READ, AS_STORED = "sitk_stuff", "stored"
HIGHEST_OF_ONE_BYTE = 255


class OrientedReader(BaseReaderWriter):
    """Reads scans of several channels along `axes`, and writes masks on the grid that the scan was stored on."""

    supported_file_endings: ClassVar[Sequence[str]] = IMAGE_ENDINGS
    axes: ClassVar[str]

    def read_images(self, image_fnames: list[str] | tuple[str, ...]) -> tuple[np.ndarray, dict[str, Any]]:
        """Read the channels of a case.

        Args:
            image_fnames: a file for each channel, or one of all.

        Returns:
            (C, Z, Y, X) float32 along `axes`, and nnU-Net's properties of a case: what `write_seg` needs, too.

        Raises:
            RuntimeError: a file cannot be read, or the channels lie on different grids. It is no error of our own, as
                nnU-Net sends it from one process to another.
        """
        try:
            array, stored = read_together([Path(name) for name in image_fnames])
        except ScanError as error:
            raise RuntimeError(f"{error.file or image_fnames[0]}: {error}") from error
        grid = along(self.axes, stored)
        array = turn(array, stored, grid)[0]
        properties = {
            AS_READ: _geometry(grid),
            AS_STORED: _geometry(stored),
            "spacing": [float(spacing) for spacing in grid.spacing[::-1]],
        }
        return np.ascontiguousarray(array, dtype=np.float32), properties

    def read_seg(self, seg_fname: str) -> tuple[np.ndarray, dict[str, Any]]:
        """Read a mask as (1, Z, Y, X) float32 along `axes`; as `read_images`."""
        return self.read_images((seg_fname,))

    def write_seg(self, seg: np.ndarray, output_fname: str, properties: dict[str, Any]) -> None:
        """Write a mask, (Z, Y, X) along `axes`, on the grid that its scan is stored on."""
        stored = properties.get(AS_STORED, properties[AS_READ])
        labels = turn(seg[None], _grid(seg.shape, properties[AS_READ]), _grid(seg.shape, stored))[0][0]
        labels = labels.astype(np.uint8 if seg.max() < HIGHEST_OF_ONE_BYTE else np.uint16, copy=False)
        image = sitk.GetImageFromArray(np.ascontiguousarray(labels))
        sitk.WriteImage(_grid(labels.shape, stored).place(image), output_fname, True)


def read_together(files: Sequence[Path]) -> tuple[np.ndarray, Grid]:
    """All channels on the grid of the second, which is the DWI in our data sets, or of the only one."""
    volumes = {file: read_volume(file) for file in files}
    if len(files) > 1:
        volumes = {file: single_volume(volume, "channel", file) for file, volume in volumes.items()}
    placed = {str(file): Placed(file, volume) for file, volume in volumes.items()}
    name = list(placed)[min(1, len(placed) - 1)]
    settle_forms(placed, reference=name)
    reference = placed[name].volume.grid
    aligned = []
    for other, one in placed.items():
        try:
            aligned.append(align(one.volume.array, one.volume.grid, reference, what=other, reference_name=name)[0])
        except ScanError as error:
            raise ScanError(error.finding, "Export both from one series.", one.path) from error
    return np.concatenate(aligned), reference


def _geometry(grid: Grid) -> dict[str, tuple[float, ...]]:
    return {
        "spacing": tuple(map(float, grid.spacing)),
        "origin": tuple(map(float, grid.origin)),
        "direction": tuple(map(float, grid.direction)),
    }


def _grid(shape: Sequence[int], geometry: dict[str, tuple[float, ...]]) -> Grid:
    return Grid(tuple(int(n) for n in shape[::-1]), geometry["spacing"], geometry["origin"], geometry["direction"])


READERS = {
    reader_along(axes): type(reader_along(axes), (OrientedReader,), {"axes": axes, "__module__": __name__})
    for axes in ALL_AXES
}
globals().update(READERS)
