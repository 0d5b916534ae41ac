"""Layout 1: `images/` and `masks/`, the documented one; one file per case or channel, or one folder per channel."""

import filecmp
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nnunetv2_mscs.dataset_conversion.cases import Case, Discovery, Split
from nnunetv2_mscs.dataset_conversion.dicom_studies import is_study
from nnunetv2_mscs.dataset_conversion.file_names import (
    ImageName,
    folder_channel,
    names_channel,
    scan_files,
    stem_of,
)
from nnunetv2_mscs.dataset_conversion.folders import Folder, note_without_scans
from nnunetv2_mscs.dataset_conversion.readings import Image, Reading, read_names
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, IMAGES_TR, IMAGES_TS, LABELS_TR, LABELS_TS
from nnunetv2_mscs.scans.channels import COMBINED, DWI
from nnunetv2_mscs.scans.findings import Findings, ScanError
from nnunetv2_mscs.scans.formats import ending_of, unread_files
from nnunetv2_mscs.scans.reading import read_volume
from nnunetv2_mscs.scans.words import (
    KNOWN_MASK_WORDS,
    channel_of_words,
    has_copy_mark,
    hidden_channel,
    is_like_dwi,
    words_of,
)

NAME = "images-masks"
DESCRIPTION = "images/ and masks/ with the same case names in both"
IMAGE_FOLDERS = ("images", "image", "imgs", IMAGES_TR.lower())
MASK_FOLDERS = (
    *("masks", "mask", "labels", "segmentations", LABELS_TR.lower(), "label", "segmentation", "segs", "seg"),
    *("lesions", "lesion", "rois", "roi", "gt", "ground_truth", "groundtruth", "annotations"),
)
TEST_FOLDERS = (IMAGES_TS.lower(),), (LABELS_TS.lower(),)
PREDICT_ON = "if it is a scan to predict on, move it to a folder of its own and give that with --unlabelled"


def recognise(source: Folder) -> bool:
    return bool(source.subfolder(IMAGE_FOLDERS) and source.subfolder(MASK_FOLDERS))


def has_test_cases(source: Folder) -> bool:
    """Whether nnU-Net's folders of test cases with masks lie beside those of training cases."""
    images = source.subfolder(IMAGE_FOLDERS)
    is_nnunets = images is not None and images.name.lower() == IMAGES_TR.lower()
    return is_nnunets and all(source.subfolder(names) for names in TEST_FOLDERS)


def find_cases(source: Folder, channel_names: Sequence[str] = (), split: Split = "train") -> Discovery:
    """All cases of a folder with images/ and masks/, or with nnU-Net's imagesTr/ and labelsTr/.

    Args:
        source: the folder.
        channel_names: the user's own names of channels; without, those of nnU-Net's dataset.json if it is there.
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
    used = [images, masks]
    told = () if channel_names else _channels_of_dataset(source, images, discovery.findings)
    _add_cases(images, masks, channel_names, told, split, discovery)
    if has_test_cases(source):
        test_images, test_masks = (source.subfolder(names) for names in TEST_FOLDERS)
        assert test_images is not None
        assert test_masks is not None
        used += [test_images, test_masks]
        _add_cases(test_images, test_masks, channel_names, told, "test", discovery)
    elif images.name.lower() == IMAGES_TR.lower() and (new := source.subfolder(TEST_FOLDERS[0])):
        discovery.findings.note(
            "ignored: scans without masks", f"To take them, give --unlabelled {new.path}", file=new.path
        )
        used.append(new)
    source.note_others(used, discovery.findings)
    return discovery


def _channels_of_dataset(source: Folder, images: Folder, findings: Findings) -> tuple[str, ...]:
    """The channels that nnU-Net's dataset.json names, beside imagesTr, in the words of this vocabulary."""
    file = source.path / DATASET_JSON
    if images.name.lower() != IMAGES_TR.lower() or not file.is_file():
        return ()
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        named = content.get("channel_names") or content["modality"]
        names = tuple(str(named[str(number)]) for number in range(len(named)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        findings.error(f"cannot be read: {error}", "Correct it, or name the channels with --channels.", file=file)
        return ()
    names = tuple(channel_of_words(words_of(name)) or name for name in names)
    if len({name.lower() for name in names}) < len(names):
        text = f"names two channels alike: {', '.join(names)}"
        findings.error(text, "Name the channels with --channels.", file=file)
        return ()
    names = tuple(DWI if is_like_dwi(name) and DWI not in names else name for name in names)
    findings.note(f"channels are named as in {DATASET_JSON}: {', '.join(names)}", file=file)
    return names


def _add_cases(
    images: Folder,
    masks: Folder,
    channel_names: Sequence[str],
    told: tuple[str, ...],
    split: Split,
    discovery: Discovery,
) -> None:
    """Add the cases of a folder of images and one of masks; `told` are the channels of dataset.json."""
    findings = discovery.findings
    names = tuple(channel_names) or told
    files, entries = _image_files(images, channel_names, findings)
    mask_files = scan_files(masks.path, findings)
    reading = read_names(entries, [stem_of(path) for path in mask_files], names)
    named = [
        (path, name if ending_of(path) else ImageName(name.case))
        for path, name in zip(files, reading.images, strict=True)
    ]
    _note_wide_reading(reading, images, findings)
    mask_of = _masks_by_case(masks, list(zip(mask_files, reading.masks, strict=True)), names, findings)
    by_case = group_channels(named, findings, names)
    numbered = {name.case for name in reading.images if name.numbered}
    if numbered and not names:
        findings.note(
            "channels 0000 and 0001 are taken as ADC and DWI",
            "If they are others, name them with --channels.",
            file=images.path,
        )
    for name, channels in by_case.items():
        mask = mask_of.pop(name, None)
        if mask is None:
            findings.error(
                "image without a mask",
                unread_files(masks.path, name) or f"Add {masks.name}/{name}; {PREDICT_ON}.",
                case=name,
                file=next(iter(channels.values())),
            )
        case = Case(name, channels, mask, split, numbered=name in numbered and not told)
        discovery.cases.append(with_hidden_channel(case, told))
    for name, mask in mask_of.items():
        findings.error(
            "mask without an image",
            unread_files(images.path, name if files else "")
            or f"Add {images.name}/{name} or take the mask away. A mask is named as its case, with words such as "
            f"{KNOWN_MASK_WORDS}.",
            case=name,
            file=mask,
        )


def with_hidden_channel(case: Case, told: tuple[str, ...] = ()) -> Case:
    """The case, with the channels of its one file as dataset.json or the file's own name says."""
    if COMBINED not in case.images or case.is_dicom:
        return case
    hidden = hidden_channel(stem_of(case.images[COMBINED]))
    return replace(case, channel_names=told or ((hidden,) if hidden else ()))


def _image_files(images: Folder, channel_names: Sequence[str], findings: Findings) -> tuple[list[Path], list[Image]]:
    """Every image file with its name and its folder's name; a subfolder's name is the channel of its files.

    A folder of a DICOM study stands for its files, whatever channel its name says.
    """
    files = scan_files(images.path, findings)
    entries = [Image(stem_of(path)) for path in files]
    named = files_named_by_folder(images.subfolders(), channel_names)
    files += named
    entries += [Image(folder.name) for folder in named.values()]
    for folder in images.subfolders():
        if folder in named.values():
            continue
        if is_study(folder.path):
            files.append(folder.path)
            entries.append(Image(folder.name))
            continue
        channel = folder_channel(folder.name, channel_names)
        if ending_of(folder.path) or not channel or not scan_files(folder.path, Findings()):
            _note_no_channel(folder, channel_names, findings)
            continue
        for path in scan_files(folder.path, findings):
            files.append(path)
            entries.append(Image(stem_of(path), channel, folder.name))
    return files, entries


def files_named_by_folder(folders: Sequence[Folder], channel_names: Sequence[str] = ()) -> dict[Path, Folder]:
    """The one scan of each of these folders, where their names say case and channel, as p1_ADC/ and p1_DWI/ do.

    Empty unless that is so of all that hold scans, and both words come twice: a case has several of the folders, and so
    has a channel, whose single folder would hold all cases.
    """
    held = {folder: scan_files(folder.path, Findings()) for folder in folders}
    held = {folder: files for folder, files in held.items() if files}
    told = [folder_channel(folder.name, channel_names) for folder in held]
    cases = [[word.text.lower() for word in words_of(folder.name) if word.kind == "case"] for folder in held]
    is_doubled = len(set(told)) < len(told) and len(set(map(tuple, cases))) < len(cases)
    if not is_doubled or not all(told) or not all(cases) or any(len(files) != 1 for files in held.values()):
        return {}
    return {files[0]: folder for folder, files in held.items()}


def _note_wide_reading(reading: Reading, images: Folder, findings: Findings) -> None:
    """Note an example of names that only the vocabulary explains, and the words that were ignored."""
    if not reading.wide:
        return
    passed_over = sorted(reading.passed_over)
    shown = ", ".join(passed_over[:8]) + (", ..." if len(passed_over) > 8 else "")
    findings.note(
        f"names are read by their words: {reading.example}" + (f"; passed over: {shown}" if shown else ""),
        "If that is wrong, name the files <case>_adc, <case>_dwi.",
        file=images.path,
    )


def _note_no_channel(folder: Folder, channel_names: Sequence[str], findings: Findings) -> None:
    """Report a folder among the images that is no channel: an error, unless it holds no scans or was not asked for."""
    if ending_of(folder.path) or not scan_files(folder.path, Findings()):
        note_without_scans(folder.path, "a folder without scans of a channel", findings)
    elif channel_names:
        findings.note("ignored: --channels does not name it", file=folder.path)
    else:
        findings.error(
            "a folder among the images whose name says no channel",
            "Name it ADC, DWI, ..., or give --channels: others are then ignored.",
            file=folder.path,
        )


def group_channels(
    named: Sequence[tuple[Path, ImageName]], findings: Findings, channel_names: Sequence[str] = ()
) -> dict[str, dict[str, Path]]:
    """Files of each case by channel. DWI2 is preferred to other DWI files; any other second file is an error.

    Args:
        named: the files, and what their names say.
        findings: where doublings are reported.
        channel_names: the user's own channel names, which are left as they are.
    """
    by_case: dict[str, dict[str, Path]] = defaultdict(dict)
    tokens: dict[tuple[str, str], str] = {}
    for path, name in sorted(named, key=_rank):
        channel = name.channel or COMBINED
        files = by_case[name.case]
        if channel not in files:
            files[channel] = path
            tokens[name.case, channel] = name.token.lower()
        elif is_copy(path, files[channel]):
            findings.note(f"ignored: a copy of {files[channel].name}", case=name.case, file=path)
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
        by_case[case] = with_dwi(files, case, channel_names, findings)
    return dict(by_case)


def _rank(item: tuple[Path, ImageName]) -> tuple[str, bool, bool, Path]:
    path, name = item
    return name.case, name.token.lower() != "dwi2", has_copy_mark(stem_of(path)), path


def is_copy(path: Path, original: Path) -> bool:
    """Whether a file is named as a copy of another, such as x (1).nii.gz, and holds the same bytes."""
    try:
        return has_copy_mark(stem_of(path)) and filecmp.cmp(path, original, shallow=False)
    except OSError:
        return False


def with_dwi(files: dict[str, Path], case: str, channel_names: Sequence[str], findings: Findings) -> dict[str, Path]:
    """The files of a case by channel; without one called DWI, that of a b-value or trace image is taken."""
    own = {name.lower() for name in channel_names} - {DWI.lower()}
    like = [channel for channel in files if is_like_dwi(channel) and channel.lower() not in own]
    if DWI in files or not like:
        return files
    names = ", ".join(files[channel].name for channel in like)
    if len(like) > 1:
        findings.error(
            f"{len(like)} files could be its DWI: {names}",
            "Call one of them dwi, or take one away; or name them all with --channels, as channels of their own.",
            case=case,
            file=files[like[0]],
        )
    else:
        remedy = "If it is none, name the channels with --channels."
        findings.note("taken as the DWI, by a word of its name", remedy, case=case, file=files[like[0]])
    return {DWI if channel == like[0] else channel: path for channel, path in files.items()}


def _masks_by_case(
    masks: Folder, named: Sequence[tuple[Path, str]], channel_names: Sequence[str], findings: Findings
) -> dict[str, Path]:
    by_case: dict[str, Path] = {}
    for path, name in sorted(named, key=lambda item: (has_copy_mark(stem_of(item[0])), item[0])):
        first = by_case.setdefault(name, path)
        if first == path:
            continue
        if is_copy(path, first):
            findings.note(f"ignored: a copy of {first.name}", case=name, file=path)
        elif _is_same_mask(first, path, channel_names):
            findings.note(f"ignored: the same mask as {first.name}", case=name, file=path)
        else:
            text = f"duplicate case: {first.name} and {path.name} are both its mask"
            findings.error(text, "Take one of them away.", case=name, file=path)
    for folder in masks.subfolders():
        findings.note("folder ignored: masks lie directly in the masks folder", file=folder.path)
    return by_case


def _is_same_mask(first: Path, second: Path, channel_names: Sequence[str]) -> bool:
    """Whether two masks of one case are the same mask, saved under the names of two channels."""
    if not all(names_channel(stem_of(path), channel_names) for path in (first, second)):
        return False
    try:
        one, other = (read_volume(path, content="mask") for path in (first, second))
    except ScanError:
        return False
    return one.grid == other.grid and np.array_equal(one.array, other.array)
