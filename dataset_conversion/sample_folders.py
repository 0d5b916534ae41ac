"""Layout 2: one folder per case (`sample_*/`), with one file each for ADC, DWI and mask, found by their names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.array_splits import SPLIT_FOLDERS
from nnunetv2_mscs.dataset_conversion.case_folders import (
    DATA_TYPES,
    CaseFolder,
    case_folders,
    has_subject,
    is_tree,
    scans_below,
    used_folders,
)
from nnunetv2_mscs.dataset_conversion.cases import Case, Discovery
from nnunetv2_mscs.dataset_conversion.derivatives import DERIVATIVE, Derived, find_derived
from nnunetv2_mscs.dataset_conversion.dicom_studies import holds_dicom
from nnunetv2_mscs.dataset_conversion.file_names import composed, folder_channel, scan_files, stem_of
from nnunetv2_mscs.dataset_conversion.folders import Folder, note_without_scans
from nnunetv2_mscs.dataset_conversion.images_masks import IMAGE_FOLDERS, MASK_FOLDERS, PREDICT_ON, is_copy
from nnunetv2_mscs.scans.channels import ADC, COMBINED, DWI
from nnunetv2_mscs.scans.findings import Findings, shown
from nnunetv2_mscs.scans.formats import ending_of, unread_files
from nnunetv2_mscs.scans.words import (
    KNOWN_MASK_WORDS,
    MASK_WORDS,
    NO_LESION_WORDS,
    SEPARATORS,
    channel_of_words,
    has_copy_mark,
    is_like_dwi,
    words_of,
)

NAME = "sample-folders"
DESCRIPTION = "one folder per case (sample_*/) with files named *adc*, *DWI2* (or *dwi*) and *mask*"
NO_LESION = re.compile(rf"{NO_LESION_WORDS}|(?:^|[{SEPARATORS}])bet(?:$|[{SEPARATORS}])")
OTHER_LAYOUTS = {*IMAGE_FOLDERS, *MASK_FOLDERS, *(name for names in SPLIT_FOLDERS.values() for name in names)}


@dataclass(frozen=True)
class FolderFiles:
    """The files of one case.

    Args:
        images: by channel.
        mask: the lesion mask, if there is one.
        unknown: files whose names say neither a channel nor a mask.
    """

    images: dict[str, Path]
    mask: Path | None
    unknown: tuple[Path, ...] = ()


def recognise(source: Folder) -> bool:
    ours = [folder for folder in source.subfolders() if folder.name.lower() not in OTHER_LAYOUTS]
    if any(_is_case(folder) for folder in ours):
        return True
    if any(_is_study_with_mask(folder) for folder in ours):
        return True
    if len(ours) < len(source.subfolders()):
        return False
    cases = case_folders(source)
    return is_tree(source, cases) and any(
        _tells_scan(_parts(case, _files_of(case, Findings()), (ADC, DWI))) for case in cases
    )


def has_test_cases(source: Folder) -> bool:
    return False


def _study_files(folder: CaseFolder, findings: Findings) -> FolderFiles | None:
    """The DICOM study of a case folder without other images, and the mask beside it; None if there is none."""
    scans = list(folder.files or scans_below(Folder(folder.path)))
    if not all(map(is_called_a_mask, scans)) or not holds_dicom(folder.path):
        return None
    mask = _only(scans, "mask", folder.path, findings) if scans else None
    return FolderFiles({COMBINED: folder.path}, mask)


def _files_of(folder: CaseFolder, findings: Findings) -> list[Path]:
    return list(folder.files) if folder.is_deep else scan_files(folder.path, findings)


def find_cases(source: Folder, channel_names: Sequence[str] = (), *, derivative: Sequence[str] = ()) -> Discovery:
    """All cases of a folder of case folders, each with its mask beside its images or among the derivatives of BIDS.

    Args:
        source: the folder.
        channel_names: the user's own names of channels.
        derivative: names of derivatives of which the masks are to be taken, in the order of preference.
    """
    discovery = Discovery()
    findings = discovery.findings
    folders = case_folders(source)
    derived = find_derived(source, folders, derivative, findings)
    left_out: dict[str, str] = {}
    for folder in folders:
        found = _study_files(folder, findings) or case_files(folder, findings, channel_names)
        files, mask = _with_derived(found, derived, folder, channel_names, findings, prefers_derived=bool(derivative))
        if not files and mask is None:
            note_without_scans(folder.path, "a folder without scans", findings)
            continue
        if not files:
            findings.error(
                "mask without an image",
                unread_files(folder.path) or f"Add {DESCRIPTION}.",
                case=folder.name,
                file=mask or "",
            )
            continue
        if mask is None and derived.masks:
            left_out[folder.name] = derived.missing.get(folder.name, "no mask of a lesion")
            continue
        if mask is None:
            _refuse_without_mask(found, folder, derived, findings)
        elif not channel_names and COMBINED not in files:
            _refuse_missing(replace(found, images=files), folder, findings)
        discovery.cases.append(Case(folder.name, files, mask, patient=folder.patient))
    _warn_of_left_out(left_out, len(folders), findings)
    source.note_others(used_folders(source), findings)
    return discovery


def _refuse_without_mask(found: FolderFiles, folder: CaseFolder, derived: Derived, findings: Findings) -> None:
    unknown = ", ".join(path.name for path in found.unknown)
    reason = derived.missing.get(folder.name, "")
    told = f": {reason}" if reason else ""
    told += f"; is it {unknown}? Known words are {KNOWN_MASK_WORDS}" if unknown else ""
    unread = "" if COMBINED in found.images else unread_files(folder.path)
    choose = f"Name the derivatives to take with {DERIVATIVE}" if reason else "Add a file named *mask*"
    findings.error(
        f"image without a mask{told}",
        unread or f"{choose}, or {PREDICT_ON}.",
        case=folder.name,
        file=folder.path,
    )


def _warn_of_left_out(left_out: Mapping[str, str], count: int, findings: Findings) -> None:
    """Warn, once for each reason, of cases that have no mask where others have one: that is not free of lesions."""
    for reason in dict.fromkeys(left_out.values()):
        names = [name for name, own in left_out.items() if own == reason]
        findings.warning(
            f"left out: {len(names)} of {count} cases, which have {reason} among the derivatives: {shown(names)}",
            f"A patient without a lesion needs an empty mask; predict on the others. {DERIVATIVE} takes other masks.",
        )


def _with_derived(
    found: FolderFiles,
    derived: Derived,
    folder: CaseFolder,
    channel_names: Sequence[str],
    findings: Findings,
    *,
    prefers_derived: bool,
) -> tuple[dict[str, Path], Path | None]:
    """The images and the mask of a case; those that are missing beside the scans may lie among the derivatives."""
    files, mask = dict(found.images), found.mask
    for channel, paths in derived.channels.get(folder.name, {}).items():
        if channel in (ADC, DWI, *channel_names) and channel not in files and COMBINED not in files:
            files[channel] = _only(paths, channel, folder.path, findings)
            findings.note(f"taken as the {channel}, from the derivatives", case=folder.name, file=files[channel])
        else:
            _note_not_needed(paths, folder, findings)
    masks = [one.path for one in derived.masks.get(folder.name, [])]
    if masks and mask is not None and prefers_derived:
        findings.note(f"ignored: {DERIVATIVE} names another mask", case=folder.name, file=mask)
        mask = None
    if masks and mask is None:
        derived.refuse_several(folder, findings)
        return files, masks[0]
    _note_not_needed(masks, folder, findings)
    return files, mask


def _note_not_needed(paths: Sequence[Path], folder: CaseFolder, findings: Findings) -> None:
    for path in paths:
        findings.note("ignored: the derivatives are not needed for it", case=folder.name, file=path)


def _refuse_missing(found: FolderFiles, folder: CaseFolder, findings: Findings) -> None:
    """Refuse a case that lacks ADC or DWI beside files whose names say nothing: one of these may be the missing one."""
    missing = [channel for channel in (ADC, DWI) if channel not in found.images]
    if missing and found.unknown:
        there = " ".join(found.images)
        names = ", ".join(path.name for path in found.unknown)
        findings.error(
            f"no file is its {missing[0]} by its name; the names of others say nothing: {names}",
            f"Call it *{missing[0].lower()}*, or use {there} alone with --channels {there}.",
            case=folder.name,
            file=found.unknown[0],
        )


def case_files(folder: CaseFolder, findings: Findings, channel_names: Sequence[str] = ()) -> FolderFiles:
    """The images by channel and the mask of one case folder; what is left over is noted as ignored."""
    channels = dict.fromkeys((ADC, DWI, *channel_names))
    files = _files_of(folder, findings)
    left = _parts(folder, _without_copies(files, folder, findings), list(channels))
    masks, of_the_head = _masks(left)
    for path in of_the_head:
        findings.note("ignored: by its name a mask of the brain, not of the lesion", case=folder.name, file=path)
    left = {path: part for path, part in left.items() if path not in (*masks, *of_the_head)}
    images: dict[str, Path] = {}
    for channel in channels:
        matches = _matches(channel, left) or _by_words(channel, left, channel_names)
        if matches and not _matches(channel, left):
            _note_taken(matches, channel, folder, findings)
        left = {path: part for path, part in left.items() if path not in matches}
        if matches:
            images[channel] = _only(matches, channel, folder.path, findings)
    if not masks:
        masks = [path for path, part in left.items() if _is_mask_by_words(part, channel_names)]
        _note_taken(masks, "mask", folder, findings)
        left = {path: part for path, part in left.items() if path not in masks}
    for path in left:
        findings.note("ignored: its name says no channel of this layout", case=folder.name, file=path)
    unknown = tuple(path for path, part in left.items() if not _channel_of(part, channel_names))
    return FolderFiles(images, _only(masks, "mask", folder.path, findings) if masks else None, unknown)


def _note_taken(files: Sequence[Path], what: str, folder: CaseFolder, findings: Findings) -> None:
    if len(files) == 1:
        findings.note(f"taken as the {what}, by a word of its name", case=folder.name, file=files[0])


def _without_copies(files: Sequence[Path], folder: CaseFolder, findings: Findings) -> list[Path]:
    """The files without those that are a copy of another by name and bytes."""
    kept: list[Path] = []
    for path in sorted(files, key=lambda path: (has_copy_mark(stem_of(path)), path)):
        original = next((one for one in kept if is_copy(path, one)), None)
        if original is None:
            kept.append(path)
        else:
            findings.note(f"ignored: a copy of {original.name}", case=folder.name, file=path)
    return [path for path in files if path in kept]


def _parts(folder: CaseFolder, files: Sequence[Path], channels: Sequence[str]) -> dict[Path, str]:
    """What each name says of its file, in lower case; a file in a subfolder may be named by that folder."""
    parts = _telling_parts(folder.path, files, channels)
    if not folder.is_deep:
        return parts
    for path, part in parts.items():
        inner = path.parent.name
        if path.parent != folder.path and not any(word.kind in ("channel", "mask") for word in words_of(part)):
            tells = folder_channel(inner) or any(word.kind == "mask" for word in words_of(inner))
            is_data_type = has_subject(folder) and inner.lower() in DATA_TYPES
            parts[path] = f"{inner.lower()}_{part}" if tells and not is_data_type else part
    return parts


def _is_case(folder: Folder) -> bool:
    files = [path for path in folder.files() if ending_of(path)]
    return _tells_scan(_telling_parts(folder.path, files, (ADC, DWI)))


def _is_study_with_mask(folder: Folder) -> bool:
    scans = list(scans_below(folder))
    return bool(scans) and all(map(is_called_a_mask, scans)) and holds_dicom(folder.path)


def is_called_a_mask(path: Path) -> bool:
    """Whether a file's name says a mask and no channel."""
    return _is_mask_by_words(stem_of(path), ()) and not _channel_of(stem_of(path), ())


def _tells_scan(parts: Mapping[Path, str]) -> bool:
    return any(_matches(channel, parts) or _by_words(channel, parts) for channel in (ADC, DWI))


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
    """Files whose name holds the channel's name; for DWI those with DWI2, if any, alone.

    A name whose words say another channel, as eADC or DWI_b0 do, does not count. If the words of exactly one name say
    this channel, that file is the only match.
    """
    found = _first_matches(("dwi2", "dwi") if channel == DWI else (channel.lower(),), files)
    fitting = [path for path in found if _channel_of(files[path], (channel,)) in ("", channel)]
    sure = [path for path in fitting if _channel_of(files[path], (channel,)) == channel]
    return sure if len(sure) == 1 else fitting


def _by_words(channel: str, files: Mapping[Path, str], channel_names: Sequence[str] = ()) -> list[Path]:
    """Files whose words say the channel without its name; trace images and b-values are words for DWI."""
    told = {path: _channel_of(part, channel_names) for path, part in files.items()}
    found = [path for path, name in told.items() if name == channel]
    if channel == DWI and not found:
        own = {name.lower() for name in channel_names}
        found = [path for path, name in told.items() if is_like_dwi(name) and name.lower() not in own]
    return found


def _channel_of(part: str, channel_names: Sequence[str]) -> str:
    return channel_of_words(words_of(part, tuple(channel_names)))


def _is_mask_by_words(part: str, channel_names: Sequence[str]) -> bool:
    words = words_of(part, tuple(channel_names))
    return any(word.kind == "mask" for word in words) and not NO_LESION.search(part)


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
