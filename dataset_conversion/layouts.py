"""Which of the known layouts a folder has."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.dataset_conversion import array_splits, images_masks, sample_folders
from nnunetv2_mscs.dataset_conversion.cases import Discovery
from nnunetv2_mscs.dataset_conversion.derivatives import DERIVATIVE
from nnunetv2_mscs.dataset_conversion.dicom_studies import holds_dicom
from nnunetv2_mscs.dataset_conversion.file_names import is_passed_over
from nnunetv2_mscs.dataset_conversion.folders import Folder
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.scans.findings import shown
from nnunetv2_mscs.scans.formats import unread_files

STUDIES_NEED_MASKS = "DICOM studies go into images/<case>/, with masks/<case>.nii.gz."


@dataclass(frozen=True)
class Layout:
    """A known folder layout: how to recognise it, whether it has test cases with masks, and how to find all cases."""

    name: str
    description: str
    recognise: Callable[[Folder], bool]
    has_test_cases: Callable[[Folder], bool]
    find_cases: Callable[[Folder, Sequence[str]], Discovery]


LAYOUTS = {
    module.NAME: Layout(module.NAME, module.DESCRIPTION, module.recognise, module.has_test_cases, module.find_cases)
    for module in (images_masks, sample_folders, array_splits)
}


def layout_of(source: Folder, name: str | None) -> tuple[Layout, Folder]:
    """The layout that the user names, or else the one that `detect` finds, with its folder."""
    return (LAYOUTS[name], source) if name else detect(source)


def find_labelled_cases(
    layout: Layout, source: Folder, channels: Sequence[str], derivative: Sequence[str]
) -> Discovery:
    """The cases of a folder in a layout.

    Args:
        layout: that it has.
        source: the folder.
        channels: the user's own names of channels.
        derivative: which masks to take among the derivatives of a BIDS tree, see `--derivative`.
    """
    if layout.name == sample_folders.NAME:
        return sample_folders.find_cases(source, channels, derivative=derivative)
    discovery = layout.find_cases(source, channels)
    if derivative:
        text = f"{DERIVATIVE} is given, but the layout {layout.name} has no derivatives"
        discovery.findings.error(text, f"Drop {DERIVATIVE}.", file=source.path)
    return discovery


def check_source(source: Path) -> None:
    """Raise MscsError unless `source` is a folder that holds something."""
    if not source.exists():
        raise MscsError(f"SOURCE {source} does not exist.", "Check the path.")
    if not source.is_dir():
        raise MscsError(f"SOURCE {source} is a file, not a folder.", "Give the folder of the whole dataset.")
    if not any(source.iterdir()):
        raise MscsError(f"SOURCE {source} is empty.", "Give the folder that holds the scans.")


def check_unlabelled(folder: Path) -> None:
    """Raise MscsError unless `folder`, of new scans, is one."""
    if not folder.is_dir():
        raise MscsError(f"--unlabelled {folder} is no folder.", "Give a folder of scans, or one folder per case.")


def detect(source: Folder) -> tuple[Layout, Folder]:
    """The layout of a folder, and the folder that has it: `source`, or its only subfolder.

    Raises:
        MscsError: none fits, or several do; the message says what was looked for and what was found.
    """
    fitting = [layout for layout in LAYOUTS.values() if layout.recognise(source)]
    if len(fitting) == 1:
        return fitting[0], source
    if fitting:
        names = ", ".join(layout.name for layout in fitting)
        raise MscsError(
            f"SOURCE {source.path} fits several layouts: {names}.",
            "Choose one of them with --layout.",
        )
    inner = source.subfolders()
    visible = [path for path in source.entries() if not is_passed_over(path)]
    if len(inner) == len(visible) == 1 and _is_no_training(inner[0]):
        raise MscsError(
            f"SOURCE {source.path} holds only {inner[0].name}/: no scans to train on.",
            f"Point SOURCE at the folder of {array_splits.DESCRIPTION}.",
        )
    if len(inner) == len(visible) == 1 and any(layout.recognise(inner[0]) for layout in LAYOUTS.values()):
        return detect(inner[0])
    _refuse_half(source)
    looked_for = "; ".join(f"{layout.name}: {layout.description}" for layout in LAYOUTS.values())
    entries = [path.name + ("/" if path.is_dir() else "") for path in source.entries()]
    read_otherwise = [unread_files(source.path), STUDIES_NEED_MASKS if holds_dicom(source.path) else ""]
    advice = [*read_otherwise, "Arrange the files so, or point SOURCE at the folder that holds them."]
    raise MscsError(
        f"SOURCE {source.path} has no known layout. Looked for {looked_for}. Found: {shown(entries, 8)}.",
        " ".join(filter(None, advice)),
    )


def _refuse_half(source: Folder) -> None:
    """Raise MscsError if there is a folder of scans without one of masks, or the other way round."""
    images, masks = source.subfolder(images_masks.IMAGE_FOLDERS), source.subfolder(images_masks.MASK_FOLDERS)
    if images and not masks:
        raise MscsError(
            f"SOURCE {source.path} has no known layout: it holds {images.name}/, but no folder of masks.",
            "Add masks/<case>.nii.gz to train. To predict: "
            f"mscs predict {shlex.quote(str(images.path))} -m MODEL -o OUT",
        )
    if masks and not images:
        raise MscsError(
            f"SOURCE {source.path} has no known layout: it holds {masks.name}/, but no folder of scans.",
            "Add images/<case>_adc.nii.gz and images/<case>_dwi.nii.gz, or point SOURCE at the folder that holds both.",
        )


def _is_no_training(folder: Folder) -> bool:
    names = (*array_splits.SPLIT_FOLDERS["val"], *array_splits.SPLIT_FOLDERS["test"])
    return folder.name.lower() in names and images_masks.recognise(folder)
