"""What a run's source is: scans to be converted, or a data set in nnU-Net's raw format; and what it tests on."""

from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, IMAGES_TR, IMAGES_TS, LABELS_TS
from nnunetv2_mscs.nnunet_files.environment import Folders
from nnunetv2_mscs.pipeline.graph.settings import RunSettings


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
        check_unlabelled(Path(settings.unlabelled))
    labelled = settings.test_fraction is not None or _has_test_split(settings)
    return Source(raw, False, labelled or settings.unlabelled is not None, labelled)


def _has_test_split(settings: RunSettings) -> bool:
    from nnunetv2_mscs.dataset_conversion import array_splits, images_masks
    from nnunetv2_mscs.dataset_conversion.folders import Folder
    from nnunetv2_mscs.dataset_conversion.layouts import LAYOUTS, detect

    source = Path(settings.source)
    folder = Folder(source, Path(settings.unlabelled) if settings.unlabelled else None)
    layout, folder = (LAYOUTS[settings.layout], folder) if settings.layout else detect(folder)
    if layout.name == images_masks.NAME:
        return images_masks.has_test_cases(folder)
    return layout.name == array_splits.NAME and folder.subfolder(array_splits.SPLIT_FOLDERS["test"]) is not None


def _holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
