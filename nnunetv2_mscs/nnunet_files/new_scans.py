"""New scans as nnU-Net's prediction takes them: it passes over, without a word, files that end otherwise."""

import gzip
import re
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.scans.formats import IMAGE_ENDINGS, unread_files

NIFTI, ZIPPED = ".nii", ".nii.gz"
CONVERT = "Make a folder as nnU-Net reads it: mscs convert SOURCE ID NAME --unlabelled {}"
NUMBERED = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


def fitting_scans(images: Path, dataset_json: Mapping[str, Any], place: Path) -> Path:
    """A folder with all scans of a folder in the file format that a model was trained on.

    Args:
        images: files `<case>_0000`, `<case>_0001`, ...
        dataset_json: of the model: how many channels it has, and how its files end.
        place: where the folder is made if it is needed: with links, and scans of another format written anew.

    Returns:
        `images` itself if all its files fit.

    Raises:
        MscsError: a file is named otherwise, is there twice, or a case has not all channels.
    """
    ending = str(dataset_json["file_ending"])
    files = scans_by_case(images, dataset_json)
    if all(file.name.endswith(ending) for found in files.values() for file in found.values()):
        return images
    place.mkdir()
    for case, found in files.items():
        for number, file in found.items():
            _write_as(file, place / f"{case}_{number}{ending}")
    return place


def scans_by_case(images: Path, dataset_json: Mapping[str, Any]) -> dict[str, dict[str, Path]]:
    """The files of each case by the number of their channel, such as 0001.

    Raises:
        MscsError: as of `fitting_scans`.
    """
    ending = str(dataset_json["file_ending"])
    channels = len(dataset_json.get("channel_names") or dataset_json["modality"])
    files = _files_by_case(images, ending)
    for case, found in files.items():
        wanted = [f"{number:04d}" for number in range(channels)]
        if sorted(found) != wanted:
            has = ", ".join(f"_{number}" for number in sorted(found))
            needs = ", ".join(f"_{number}" for number in wanted)
            raise MscsError(f"{case} in {images} has {has}, where the model needs {needs}.", "Complete the files.")
    return files


def _files_by_case(images: Path, ending: str) -> dict[str, dict[str, Path]]:
    """The files of each case by the number of their channel."""
    files: dict[str, dict[str, Path]] = defaultdict(dict)
    odd: list[str] = []
    for path in sorted(images.iterdir()):
        found = next((one for one in (ending, *IMAGE_ENDINGS) if path.name.lower().endswith(one.lower())), "")
        if not found or path.name.startswith("."):
            continue
        named = NUMBERED.fullmatch(path.name[: -len(found)])
        if named is None:
            odd.append(path.name)
        elif named["channel"] in files[named["case"]]:
            first = files[named["case"]][named["channel"]]
            raise MscsError(f"{first.name} and {path.name} in {images} are one scan.", "Take one of them away.")
        else:
            files[named["case"]][named["channel"]] = path
    if odd:
        shown = ", ".join(odd[:3]) + (f" and {len(odd) - 3} more" if len(odd) > 3 else "")
        finding = f"{images} holds scans that nnU-Net would pass over, as their names end in no _0000, _0001: {shown}."
        raise MscsError(finding, CONVERT.format(images))
    if not files:
        raise MscsError(f"{images} holds no scans.", unread_files(images) or CONVERT.format(images))
    return files


def _write_as(file: Path, target: Path) -> None:
    """The same scan in the format of the target's ending; a link where it has that already."""
    source = next(one for one in IMAGE_ENDINGS if file.name.lower().endswith(one))
    if target.name.lower().endswith(source) and source != NIFTI:
        target.symlink_to(file.resolve())
    elif (source, target.name.endswith(ZIPPED)) == (NIFTI, True):
        with file.open("rb") as plain, gzip.open(target, "wb") as zipped:
            shutil.copyfileobj(plain, zipped)
    elif (source, target.suffix) == (ZIPPED, NIFTI):
        with gzip.open(file, "rb") as zipped, target.open("wb") as plain:
            shutil.copyfileobj(zipped, plain)
    elif source == NIFTI == target.suffix:
        target.symlink_to(file.resolve())
    else:
        try:
            sitk.WriteImage(sitk.ReadImage(str(file)), str(target))
        except RuntimeError as error:
            reason = str(error).rsplit("ERROR:", 1)[-1].strip()
            raise MscsError(f"{file} cannot be written as {target.suffix}: {reason}", "Export it again.") from error
