"""Channels that are stored along different axes, brought together for models whose reader takes them by index."""

from collections import defaultdict
from pathlib import Path

import SimpleITK as sitk

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON
from nnunetv2_mscs.nnunet_files.json_files import read_json
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.grid import Grid, distance_mm
from nnunetv2_mscs.scans.writing import write_volume

# nnU-Net's own reader warns of channels on other axes, and lays them on each other as they are stored.
BY_INDEX = "SimpleITKIO"
NUMBER = len("_0000")


def stored_together(images: Path, model: Path, place: Path) -> Path:
    """A folder of scans whose channels a model's reader may take as they are stored.

    Args:
        images: scans in nnU-Net's format.
        model: the model's folder.
        place: an empty folder, used if any scan has to be written anew: such scans lie on the grid of their DWI.

    Returns:
        `images` where that is such a folder, or the model's reader is one of ours; else `place`.

    Raises:
        MscsError: the channels of a scan lie on different grids, or cannot be read.
    """
    ending = read_json(model / DATASET_JSON)["file_ending"]
    if read_json(model / PLANS_JSON)["image_reader_writer"] != BY_INDEX:
        return images
    scans: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(images.glob(f"*{ending}")):
        scans[file.name[: -len(ending) - NUMBER]].append(file)
    apart = [files for files in scans.values() if not _lie_alike(files)]
    if not apart:
        return images
    for files in scans.values():
        for file in files:
            (place / file.name).symlink_to(file)
    for files in apart:
        _write_together(files, place)
    return place


def _lie_alike(files: list[Path]) -> bool:
    """Whether the headers of all channels give one grid, with its axes in one order."""
    grids = []
    for file in files:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(file))
        try:
            reader.ReadImageInformation()
        except RuntimeError:
            return False
        size, dimension = reader.GetSize(), reader.GetDimension()
        if dimension < 3:
            return True
        direction = [float(reader.GetDirection()[dimension * i + j]) for i in range(3) for j in range(3)]
        grids.append(Grid(size[:3], reader.GetSpacing()[:3], reader.GetOrigin()[:3], tuple(direction)))
    return all(distance_mm(grids[0], grid) <= grids[0].tolerance_mm for grid in grids[1:])


def _write_together(files: list[Path], place: Path) -> None:
    from nnunetv2_mscs.nnunet_files.reader import read_together

    try:
        arrays, grid = read_together(files)
    except ScanError as error:
        raise MscsError(f"{error.file or files[0]}: {error.finding}.", error.remedy) from error
    for file, array in zip(files, arrays, strict=True):
        (place / file.name).unlink()
        write_volume(array, grid, place / file.name)
