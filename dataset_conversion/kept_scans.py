"""Scans as they were read, kept in a hidden folder until all cases are known to be well.

Each case is loaded once: the check writes what the data set will hold, and the data set takes it over.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.scan import Scan
from nnunetv2_mscs.scans.writing import write_volume

FILE_ENDING = ".nii.gz"
KEPT, IMAGES, LABELS = "kept", "images", "labels"
GIVEN_UP = "given_up"


@dataclass(frozen=True)
class KeptScans:
    """The scans of a conversion, in files named as nnU-Net names them.

    Args:
        folder: where they lie; it exists, and all processes of the conversion write into it.
    """

    folder: Path

    @classmethod
    def beside(cls, dataset: Path) -> "KeptScans":
        """A new place for scans beside the hidden folder in which the data set is put together."""
        kept = cls(dataset.with_name(KEPT))
        for name in (IMAGES, LABELS):
            (kept.folder / name).mkdir(parents=True)
        return kept

    def give_up(self) -> None:
        """Keep no further scans: there is an error, and no data set will be made."""
        with suppress(OSError):  # on a full disk: the scans to come will not be kept either
            (self.folder / GIVEN_UP).touch()

    def put(self, case: str, scan: Scan) -> None:
        """Keep a scan, unless there is an error already.

        Raises:
            MscsError: a file could not be written in full.
        """
        if (self.folder / GIVEN_UP).exists():
            return
        for index, channel in enumerate(scan.channels.values()):
            write_volume(channel, scan.grid, self._image(case, index))
        if scan.labels is not None:
            write_volume(scan.labels.astype(np.uint8), scan.grid, self._label(case))

    def move(self, case: str, count: int, images: Path, labels: Path | None) -> None:
        """Move a scan into folders of the data set.

        Args:
            case: its name.
            count: of its channels.
            images: the folder of its channels.
            labels: the folder of its mask; None leaves the mask behind.
        """
        for index in range(count):
            file = self._image(case, index)
            file.rename(images / file.name)
        if labels is not None:
            file = self._label(case)
            file.rename(labels / file.name)

    def turn(self, case: str, channels: tuple[str, ...], grid: Grid, axes: str) -> None:
        """Store a kept scan along other axes.

        Args:
            case: its name.
            channels: their names.
            grid: where its voxels lie now.
            axes: as in `Grid.axes`.
        """
        kept = {name: _array(self._image(case, index)) for index, name in enumerate(channels)}
        label = self._label(case)
        scan = Scan(kept, grid, _array(label) if label.exists() else None, None)
        self.put(case, scan.turned_to(axes))

    def _image(self, case: str, index: int) -> Path:
        return self.folder / IMAGES / f"{case}_{index:04d}{FILE_ENDING}"

    def _label(self, case: str) -> Path:
        return self.folder / LABELS / f"{case}{FILE_ENDING}"


def _array(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
