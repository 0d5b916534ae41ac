"""How many scans a run has and how large they are: names of all files, headers of some."""

import json
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import SimpleITK as sitk

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, IMAGES_TR, IMAGES_TS, LABELS_TR
from nnunetv2_mscs.nnunet_files.environment import Folders
from nnunetv2_mscs.pipeline.graph.settings import RunSettings
from nnunetv2_mscs.pipeline.graph.source import look_at_source
from nnunetv2_mscs.scans.channels import ADC, COMBINED, DWI
from nnunetv2_mscs.scans.contents import check_content
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.formats import is_array_file
from nnunetv2_mscs.scans.nifti import as_plain_nifti

# Cases whose headers are read, evenly spread over all.
SAMPLE = 20


@dataclass(frozen=True)
class Scans:
    """A data set's size.

    Args:
        labelled: cases to train on.
        test: cases to predict.
        values_per_scan: voxels of all channels of a case together, on average.
        voxels_per_scan: of one channel.
        labels: background included.
    """

    labelled: int
    test: int
    values_per_scan: float
    voxels_per_scan: float
    labels: int = 2

    @property
    def count(self) -> int:
        return self.labelled + self.test


@dataclass(frozen=True)
class _Files:
    """One case's."""

    images: tuple[Path, ...]
    mask: Path | None


def measure_scans(settings: RunSettings, folders: Folders) -> Scans:
    """The size of a run's data set, as its source has it.

    Raises:
        MscsError: the source has no known layout or no cases, or no header can be read.
    """
    source = look_at_source(settings, folders)
    labelled, test = _raw_cases(source.raw) if source.is_raw else _source_cases(settings)
    if not labelled:
        raise MscsError(f"{settings.source} holds no labelled case.", "Give the folder that holds scans and masks.")
    sizes = [_sizes(case) for case in _spread(labelled)]
    held_out = round(len(labelled) * settings.test_fraction) if settings.test_fraction else 0
    return Scans(
        labelled=len(labelled) - held_out,
        test=test + held_out,
        values_per_scan=fmean(values for values, _ in sizes),
        voxels_per_scan=fmean(voxels for _, voxels in sizes),
    )


def _spread(cases: Sequence[_Files]) -> list[_Files]:
    step = max(len(cases) // SAMPLE, 1)
    return list(cases[::step][:SAMPLE])


def _raw_cases(raw: Path) -> tuple[list[_Files], int]:
    """Cases of a data set in nnU-Net's raw format, and the number of test cases."""
    content = json.loads((raw / DATASET_JSON).read_text())
    channels, ending = len(content["channel_names"]), content["file_ending"]
    masks = sorted((raw / LABELS_TR).glob(f"*{ending}"))
    names = [mask.name.removesuffix(ending) for mask in masks]
    test = len({file.name.rsplit("_", 1)[0] for file in (raw / IMAGES_TS).glob(f"*{ending}")})
    images = raw / IMAGES_TR
    return [
        _Files(tuple(images / f"{name}_{channel:04d}{ending}" for channel in range(channels)), mask)
        for name, mask in zip(names, masks, strict=True)
    ], test


def _source_cases(settings: RunSettings) -> tuple[list[_Files], int]:
    """Labelled cases of a folder of scans that are no test cases, and the number of the others."""
    from nnunetv2_mscs.dataset_conversion.checking import settle_channels
    from nnunetv2_mscs.dataset_conversion.folders import Folder
    from nnunetv2_mscs.dataset_conversion.layouts import LAYOUTS, detect
    from nnunetv2_mscs.dataset_conversion.unlabelled import find_unlabelled
    from nnunetv2_mscs.scans.findings import Findings

    new = Path(settings.unlabelled) if settings.unlabelled else None
    given = Folder(Path(settings.source), left_out=new)
    layout, folder = (LAYOUTS[settings.layout], given) if settings.layout else detect(given)
    found = settle_channels(layout.find_cases(folder, settings.channels).cases, settings.channels, Findings())
    labelled = [_Files(tuple(case.images.values()), case.mask) for case in found if case.split != "test"]
    test = len(found) - len(labelled)
    if new is not None:
        channels = settings.channels or tuple(name for case in found[:1] for name in case.images if name != COMBINED)
        test += len(find_unlabelled(new, channels or (ADC, DWI)).cases)
    return labelled, test


def _sizes(case: _Files) -> tuple[float, float]:
    """Values of all channels of a case, and voxels of one."""
    values = [_counted(file) for file in case.images]
    return sum(values), _counted(case.mask) if case.mask else values[0]


def _counted(file: Path) -> int:
    try:
        check_content(file)
        return count_values(file)
    except ScanError as error:
        raise MscsError(f"{file} {error.finding}.", error.remedy) from None
    except (OSError, RuntimeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise MscsError(f"The header of {file} cannot be read: {error}.", "See mscs convert.") from None


def count_values(file: Path) -> int:
    """Numbers that a scan holds, by its header."""
    if is_array_file(file):
        return _count_in_array(file)
    with as_plain_nifti(file) as (readable, _):
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(readable))
        reader.ReadImageInformation()
        return math.prod(reader.GetSize()) * reader.GetNumberOfComponents()


def _count_in_array(file: Path) -> int:
    if file.suffix.lower() == ".npy":
        return int(np.load(file, mmap_mode="r").size)
    with zipfile.ZipFile(file) as archive:
        return max(_count_in_member(archive, name) for name in archive.namelist())


def _count_in_member(archive: zipfile.ZipFile, name: str) -> int:
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return math.prod(read(member)[0])
