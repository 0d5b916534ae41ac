"""Layout 1: `images/` and `masks/`, the documented one; one file per case or channel, or one folder per channel."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from nnunetv2_mscs.dataset_conversion.cases import Case, Discovery, Split
from nnunetv2_mscs.dataset_conversion.file_names import (
    ImageName,
    KnownCases,
    folder_channel,
    names_channel,
    parse_image_name,
    scan_files,
    stem_of,
)
from nnunetv2_mscs.dataset_conversion.folders import Folder
from nnunetv2_mscs.scans.channels import COMBINED
from nnunetv2_mscs.scans.findings import Findings, ScanError
from nnunetv2_mscs.scans.formats import ending_of, unread_files
from nnunetv2_mscs.scans.reading import read_volume

NAME = "images-masks"
DESCRIPTION = "images/ and masks/ with the same case names in both"
IMAGE_FOLDERS = ("images", "image", "imgs")
MASK_FOLDERS = ("masks", "mask", "labels", "segmentations")
PREDICT_ON = "if it is a scan to predict on, move it to a folder of its own and give that with --unlabelled"


def recognise(source: Folder) -> bool:
    return bool(source.subfolder(IMAGE_FOLDERS) and source.subfolder(MASK_FOLDERS))


def find_cases(source: Folder, channel_names: Sequence[str] = (), split: Split = "train") -> Discovery:
    """All cases of a folder with images/ and masks/.

    Args:
        source: the folder.
        channel_names: the user's own names of channels.
        split: what the cases are for.
    """
    discovery = Discovery()
    images, masks = source.subfolder(IMAGE_FOLDERS), source.subfolder(MASK_FOLDERS)
    if images is None or masks is None:
        missing = "images/" if images is None else "masks/"
        discovery.findings.error(
            f"has no folder {missing}", f"The layout {NAME} needs {DESCRIPTION}.", file=source.path
        )
        return discovery
    source.note_others((images, masks), discovery.findings)
    mask_of = _masks_by_case(
        masks, _named_images(images, (), channel_names, Findings()), channel_names, discovery.findings
    )
    named = _named_images(images, mask_of.keys(), channel_names, discovery.findings)
    by_case = group_channels(named, discovery.findings)
    numbered = {name.case for _, name in named if name.numbered}
    if numbered and not channel_names:
        discovery.findings.note(
            "channels 0000 and 0001 are taken as ADC and DWI",
            "If they are others, name them with --channels.",
            file=images.path,
        )
    for name, files in by_case.items():
        mask = mask_of.pop(name, None)
        if mask is None:
            discovery.findings.error(
                "image without a mask",
                unread_files(masks.path, name) or f"Add {masks.name}/{name}; {PREDICT_ON}.",
                case=name,
                file=next(iter(files.values())),
            )
        discovery.cases.append(Case(name, files, mask, split, numbered=name in numbered))
    for name, mask in mask_of.items():
        discovery.findings.error(
            "mask without an image",
            unread_files(images.path, name) or f"Add {images.name}/{name} or take the mask away.",
            case=name,
            file=mask,
        )
    return discovery


def _named_images(
    images: Folder, mask_names: Collection[str], channel_names: Sequence[str], findings: Findings
) -> list[tuple[Path, ImageName]]:
    """Every image file with its case and channel; a subfolder's name is the channel of its files."""
    flat = scan_files(images.path, findings)
    stems = {stem_of(path) for path in flat}
    named = [
        (path, parse_image_name(stem_of(path), mask_names=mask_names, siblings=stems, channel_names=channel_names))
        for path in flat
    ]
    for folder in images.subfolders():
        channel = folder_channel(folder.name, channel_names)
        if ending_of(folder.path) or not channel:
            _note_no_channel(folder, channel_names, findings)
            continue
        for path in scan_files(folder.path, findings):
            parsed = parse_image_name(stem_of(path), mask_names=mask_names, channel_names=channel_names)
            case = parsed.case if parsed.channel in ("", channel) else stem_of(path)
            named.append((path, ImageName(case, channel, folder.name)))
    return named


def _note_no_channel(folder: Folder, channel_names: Sequence[str], findings: Findings) -> None:
    """Tell of a folder among the images that is no channel: an error, unless it holds no scans or is none of ours."""
    if ending_of(folder.path) or not scan_files(folder.path, Findings()):
        findings.note("ignored: a folder without scans of a channel", file=folder.path)
    elif channel_names:
        findings.note("ignored: its name is none of --channels", file=folder.path)
    else:
        findings.error(
            "a folder among the images whose name tells no channel",
            "Name it ADC, DWI, ..., or give --channels: others are then ignored.",
            file=folder.path,
        )


def group_channels(named: Sequence[tuple[Path, ImageName]], findings: Findings) -> dict[str, dict[str, Path]]:
    """Files of each case by channel. DWI2 goes before other DWI files; any other doubling is an error."""
    by_case: dict[str, dict[str, Path]] = defaultdict(dict)
    tokens: dict[tuple[str, str], str] = {}
    for path, name in sorted(named, key=lambda item: (item[1].case, item[1].token.lower() != "dwi2", item[0])):
        channel = name.channel or COMBINED
        files = by_case[name.case]
        if channel not in files:
            files[channel] = path
            tokens[name.case, channel] = name.token.lower()
        elif tokens[name.case, channel] == "dwi2" != name.token.lower():
            findings.note(f"ignored, because {files[channel].name} is the DWI", case=name.case, file=path)
        else:
            what = "image" if channel == COMBINED else channel
            findings.error(
                f"duplicate case: {files[channel].name} and {path.name} are both its {what}",
                "Take one of them away.",
                case=name.case,
                file=path,
            )
    for case, files in by_case.items():
        if COMBINED in files and len(files) > 1:
            others = ", ".join(path.name for channel, path in files.items() if channel != COMBINED)
            findings.error(
                f"duplicate case: {files[COMBINED].name} and {others} name the same case",
                "Take one of them away.",
                case=case,
                file=files[COMBINED],
            )
    return dict(by_case)


def _masks_by_case(
    masks: Folder, named: Sequence[tuple[Path, ImageName]], channel_names: Sequence[str], findings: Findings
) -> dict[str, Path]:
    cases = KnownCases({name for _, name in named}, {stem_of(path) for path, _ in named}, channel_names)
    by_case: dict[str, Path] = {}
    for path in scan_files(masks.path, findings):
        name = cases.of_mask(stem_of(path))
        if name in by_case and _is_same_mask(by_case[name], path, channel_names):
            findings.note(f"ignored: the same mask as {by_case[name].name}", case=name, file=path)
            continue
        if name in by_case:
            findings.error(
                f"duplicate case: {by_case[name].name} and {path.name} are both its mask",
                "Take one of them away.",
                case=name,
                file=path,
            )
            continue
        by_case[name] = path
    for folder in masks.subfolders():
        findings.note("folder ignored: masks lie directly in the masks folder", file=folder.path)
    return by_case


def _is_same_mask(first: Path, second: Path, channel_names: Sequence[str]) -> bool:
    """Whether two masks of one case are one, saved under the names of two channels."""
    if not all(names_channel(stem_of(path), channel_names) for path in (first, second)):
        return False
    try:
        one, other = (read_volume(path, content="mask") for path in (first, second))
    except ScanError:
        return False
    return one.grid == other.grid and np.array_equal(one.array, other.array)
