"""Layout 2: one folder per case (`sample_*/`), with ADC, DWI and mask in a file each, found by words in their names."""

import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.cases import Case, Discovery, Split
from nnunetv2_mscs.dataset_conversion.file_names import MASK_WORDS, SEPARATORS, composed, scan_files, stem_of
from nnunetv2_mscs.dataset_conversion.folders import Folder
from nnunetv2_mscs.dataset_conversion.images_masks import IMAGE_FOLDERS, MASK_FOLDERS, PREDICT_ON
from nnunetv2_mscs.scans.channels import ADC, DWI
from nnunetv2_mscs.scans.findings import Findings
from nnunetv2_mscs.scans.formats import ending_of, unread_files

NAME = "sample-folders"
DESCRIPTION = "one folder a case (sample_*/) with files named *adc*, *DWI2* (or *dwi*) and *mask*"
NO_LESION = re.compile(rf"brain|skull|head|(?:^|[{SEPARATORS}])bet(?:$|[{SEPARATORS}])")
OTHER_LAYOUTS = {*IMAGE_FOLDERS, *MASK_FOLDERS, "train", "val", "test"}


def recognise(source: Folder) -> bool:
    return any(_is_case(folder.path) for folder in source.subfolders() if folder.name.lower() not in OTHER_LAYOUTS)


def find_cases(source: Folder, channel_names: Sequence[str] = (), split: Split = "train") -> Discovery:
    """All cases of a folder of case folders, each with its mask beside its images."""
    discovery = Discovery()
    folders = source.subfolders()
    for folder in (folder.path for folder in folders):
        files, mask = case_files(folder, discovery.findings, channel_names)
        if not files and mask is None:
            discovery.findings.note("ignored: a folder without scans", file=folder)
            continue
        if not files:
            discovery.findings.error(
                "mask without an image",
                unread_files(folder) or f"Add {DESCRIPTION}.",
                case=folder.name,
                file=mask or "",
            )
            continue
        if mask is None:
            discovery.findings.error(
                "image without a mask",
                unread_files(folder) or f"Add a file named *mask*, or {PREDICT_ON}.",
                case=folder.name,
                file=folder,
            )
        discovery.cases.append(Case(folder.name, files, mask, split))
    source.note_others(folders, discovery.findings)
    return discovery


def case_files(
    folder: Path, findings: Findings, channel_names: Sequence[str] = ()
) -> tuple[dict[str, Path], Path | None]:
    """The images by channel and the mask of one case folder; what is left over is noted as ignored."""
    channels = dict.fromkeys((ADC, DWI, *channel_names))
    left = _telling_parts(folder, scan_files(folder, findings), list(channels))
    masks, of_the_head = _masks(left)
    for path in of_the_head:
        findings.note("ignored: by its name a mask of the brain, not of the lesion", case=folder.name, file=path)
    left = {path: part for path, part in left.items() if path not in (*masks, *of_the_head)}
    images: dict[str, Path] = {}
    for channel in channels:
        matches = _matches(channel, left)
        left = {path: part for path, part in left.items() if path not in matches}
        if matches:
            images[channel] = _only(matches, channel, folder, findings)
    for path in left:
        findings.note("ignored: its name tells no channel of this layout", case=folder.name, file=path)
    return images, _only(masks, "mask", folder, findings) if masks else None


def _is_case(folder: Path) -> bool:
    files = [path for path in folder.iterdir() if path.is_file() and ending_of(path)]
    parts = _telling_parts(folder, files, (ADC, DWI))
    return any(_matches(channel, parts) for channel in (ADC, DWI))


def _telling_parts(folder: Path, files: Sequence[Path], channels: Sequence[str]) -> dict[Path, str]:
    """What each name says of its file, in lower case: without the folder's name and without what all begin with.

    Only whole words are cut away, and none from a channel's name on: `x_dwi_trace` and `x_dwi_mask` are both of a DWI.
    """
    repeated = re.compile(rf"^{re.escape(composed(folder.name).lower())}(?=[{SEPARATORS}]|$)")
    parts = {path: repeated.sub("", stem_of(path).lower()) for path in files}
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*parts.values(), strict=False))
    common = "".join(letters[0] for letters in alike)
    channel = re.search("|".join(re.escape(name.lower()) for name in channels), common)
    shared = re.match(rf"(?:.*[{SEPARATORS}])?", common[: channel.start()] if channel else common)
    return {path: part[shared.end() if shared else 0 :] for path, part in parts.items()}


def _masks(files: Mapping[Path, str]) -> tuple[list[Path], list[Path]]:
    """Files that may be the lesion mask by their names, and masks of the brain or head.

    Where a mask word is part of every name (`seg7_adc`, `seg7_mask`) the first of the words decides.
    """
    found = [path for path, part in files.items() if any(word in part for word in MASK_WORDS)]
    of_the_head = [path for path in found if NO_LESION.search(files[path]) and "lesion" not in files[path]]
    others = {path: part for path, part in files.items() if path not in of_the_head}
    masks = [path for path in found if path in others]
    images = {path: part for path, part in others.items() if path not in masks}
    if not any(_matches(channel, images) for channel in (ADC, DWI)):
        masks = _first_matches(MASK_WORDS, others)
    return masks, of_the_head


def _matches(channel: str, files: Mapping[Path, str]) -> list[Path]:
    """Files whose name holds the channel's name; for DWI those with DWI2, if any, alone."""
    return _first_matches(("dwi2", "dwi") if channel == DWI else (channel.lower(),), files)


def _first_matches(words: Sequence[str], files: Mapping[Path, str]) -> list[Path]:
    """Files with the first of the words that any name holds."""
    for word in words:
        if found := [path for path, part in files.items() if word in part]:
            return found
    return []


def _only(files: Sequence[Path], what: str, folder: Path, findings: Findings) -> Path:
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        findings.error(
            f"{len(files)} files could be its {what}: {names}", "Keep one of them.", case=folder.name, file=folder
        )
    return files[0]
