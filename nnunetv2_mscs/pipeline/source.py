"""A run's source: scans to convert, or a data set in nnU-Net's raw format; how many cases it has, and how large."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, IMAGES_TR, IMAGES_TS, LABELS_TR, LABELS_TS, file_ending
from nnunetv2_mscs.nnunet_files.environment import Folders
from nnunetv2_mscs.pipeline.settings import RunSettings

if TYPE_CHECKING:
    from nnunetv2_mscs.dataset_conversion.folders import Folder
    from nnunetv2_mscs.dataset_conversion.layouts import Layout

# Cases that are read to learn the size of a scan, evenly spread over all.
SAMPLE = 5


@dataclass(frozen=True)
class Source:
    """What decides which stages a run has.

    Args:
        raw: the data set's folder in nnUNet_raw.
        is_raw: whether the source is that folder itself.
        has_test_cases: whether there will be imagesTs.
        has_test_labels: whether there will be labelsTs.
    """

    raw: Path
    is_raw: bool
    has_test_cases: bool
    has_test_labels: bool


@dataclass(frozen=True)
class Scans:
    """A data set's size.

    Args:
        labelled: number of cases to train on.
        test: number of cases to predict.
        values: voxels of all channels of a case together, on average.
        is_raw: whether it is in nnUNet_raw already.
    """

    labelled: int
    test: int
    values: float
    is_raw: bool = False


def look_at_source(settings: RunSettings, folders: Folders) -> Source:
    """Look at the names in the source, not at the scans.

    Raises:
        MscsError: no folder, no known layout, or a data set in nnU-Net's raw format of another name or place.
    """
    from nnunetv2_mscs.dataset_conversion.layouts import check_source, check_unlabelled

    raw = folders.raw / settings.dataset
    source = Path(settings.source)
    if (source / DATASET_JSON).is_file() and (source / IMAGES_TR).is_dir():
        if source.resolve() != raw.resolve():
            raise MscsError(
                f"SOURCE {source} is in nnU-Net's raw format, but not {raw}.",
                "Give the id and the name that its folder has, and set nnUNet_raw to where it lies.",
            )
        return Source(raw, True, _holds_files(raw / IMAGES_TS), _holds_files(raw / LABELS_TS))
    check_source(source)
    if settings.unlabelled:
        check_unlabelled(settings.unlabelled)
    labelled = settings.test_fraction is not None or _has_test_cases(settings)
    return Source(raw, False, labelled or settings.unlabelled is not None, labelled)


def measure_scans(settings: RunSettings, folders: Folders) -> Scans:
    """The number of cases by the names of all files, and their size by some of the files.

    Raises:
        MscsError: the source has no known layout or no labelled cases, or a scan cannot be read.
    """
    source = look_at_source(settings, folders)
    labelled, test = _raw_cases(source.raw) if source.is_raw else _source_cases(settings)
    if not labelled:
        raise MscsError(f"{settings.source} holds no labelled case.", "Give the folder that holds scans and masks.")
    sample = labelled[:: -(-len(labelled) // SAMPLE)]
    values = fmean(sum(map(_count_values, images)) for images in sample)
    held_out = round(len(labelled) * (settings.test_fraction or 0))
    return Scans(len(labelled) - held_out, test + held_out, values, source.is_raw)


def _count_values(place: Path) -> int:
    """The number of values in a file, or in the channels of a DICOM study."""
    from nnunetv2_mscs.scans.dicom_headers import dicom_files
    from nnunetv2_mscs.scans.dicom_study import read_dicom_study
    from nnunetv2_mscs.scans.reading import read_volume

    if not place.is_dir():
        return int(read_volume(place, check=False).array.size)
    channels = read_dicom_study(dicom_files(place)).new.channels
    return int(sum(channel.volume.array.size for channel in channels.values()))


def _raw_cases(raw: Path) -> tuple[list[Sequence[Path]], int]:
    """The images of each labelled case of a data set in nnU-Net's raw format, and the number of test cases."""
    ending = file_ending(raw)
    names = sorted(mask.name.removesuffix(ending) for mask in (raw / LABELS_TR).glob(f"*{ending}"))
    test = {file.name.rsplit("_", 1)[0] for file in (raw / IMAGES_TS).glob(f"*{ending}")}
    return [sorted((raw / IMAGES_TR).glob(f"{name}_[0-9][0-9][0-9][0-9]{ending}")) for name in names], len(test)


def _source_cases(settings: RunSettings) -> tuple[list[Sequence[Path]], int]:
    """The images of each labelled case of a folder of scans that is no test case, and the number of the others."""
    from nnunetv2_mscs.dataset_conversion.layouts import find_labelled_cases
    from nnunetv2_mscs.dataset_conversion.unlabelled import find_unlabelled
    from nnunetv2_mscs.scans.channels import ADC, COMBINED, DWI

    layout, folder = _layout(settings)
    found = find_labelled_cases(layout, folder, settings.channels, settings.derivative).cases
    labelled: list[Sequence[Path]] = [list(case.images.values()) for case in found if case.split != "test"]
    test = len(found) - len(labelled)
    if settings.unlabelled:
        named = [name for case in found[:1] for name in case.images if name != COMBINED]
        channels = settings.channels or named or (ADC, DWI)
        test += len(find_unlabelled(settings.unlabelled, channels, dicom=True).cases)
    return labelled, test


def _layout(settings: RunSettings) -> tuple["Layout", "Folder"]:
    from nnunetv2_mscs.dataset_conversion.folders import Folder
    from nnunetv2_mscs.dataset_conversion.layouts import layout_of

    return layout_of(Folder(Path(settings.source), settings.unlabelled), settings.layout)


def _has_test_cases(settings: RunSettings) -> bool:
    layout, folder = _layout(settings)
    return layout.has_test_cases(folder)


def _holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
