"""New scans without masks: a flat folder, one folder per case or per channel, a BIDS tree, or one case's own folder."""

from collections.abc import Sequence
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.case_folders import CaseFolder, case_folders
from nnunetv2_mscs.dataset_conversion.cases import Case, Discovery
from nnunetv2_mscs.dataset_conversion.dicom_studies import holds_dicom, is_one_study
from nnunetv2_mscs.dataset_conversion.file_names import ImageName, folder_channel, scan_files, stem_of
from nnunetv2_mscs.dataset_conversion.folders import Folder, note_without_scans
from nnunetv2_mscs.dataset_conversion.images_masks import (
    IMAGE_FOLDERS,
    TEST_FOLDERS,
    files_named_by_folder,
    group_channels,
    with_hidden_channel,
)
from nnunetv2_mscs.dataset_conversion.readings import Image, read_names
from nnunetv2_mscs.dataset_conversion.sample_folders import case_files, is_called_a_mask
from nnunetv2_mscs.scans.channels import COMBINED, DWI
from nnunetv2_mscs.scans.findings import Findings
from nnunetv2_mscs.scans.formats import unread_files
from nnunetv2_mscs.scans.words import channel_of_words, hidden_channel, is_like_dwi, words_of


def find_unlabelled(
    folder: Path, channels: Sequence[str], *, optional: Sequence[str] = (), dicom: bool = False
) -> Discovery:
    """All cases of a folder of new scans.

    Args:
        folder: with `<case>_<channel>` files, or one folder per case or per channel, or itself the folder of one case.
        channels: the channels of the dataset; other files are noted as ignored.
        optional: those of the channels that a case may lack.
        dicom: folders of DICOM studies are cases, too.
    """
    discovery = _find(folder, channels, dicom)
    for case in discovery.cases:
        for channel in channels if COMBINED not in case.images else ():
            if channel not in (*case.images, *optional):
                discovery.findings.error(f"has no {channel} file", "Add it or take the case away.", case=case.name)
    return discovery


def _find(folder: Path, channels: Sequence[str], dicom: bool) -> Discovery:
    discovery = Discovery()
    if dicom and is_one_study(folder):
        return Discovery([_study(folder, folder.absolute().name, channels)])
    flat = scan_files(folder, discovery.findings)
    inner = Folder(folder).subfolders()
    if not flat and len(inner) == 1 and _holds_cases(inner[0]):
        return _find(inner[0].path, channels, dicom)
    if not flat and len(inner) == 1 and channel_folders(inner[0].subfolders()):
        folder, inner = inner[0].path, inner[0].subfolders()
    by_channel = channel_folders(inner)
    if any(stem_of(path).lower() in {channel.lower() for channel in channels} for path in flat):
        _add_case_folder(CaseFolder(folder, folder.name), flat, channels, discovery)
    elif by_channel and not flat:
        _add_channel_folders(folder, inner, by_channel, channels, discovery)
    elif named := files_named_by_folder(inner, channels) if not flat else {}:
        _add_flat(list(named), channels, discovery, [one.name for one in named.values()])
    else:
        _add_flat(flat, channels, discovery, [stem_of(path) for path in flat])
        for case in case_folders(Folder(folder)):
            files = list(case.files) if case.is_deep else scan_files(case.path, Findings())
            if dicom and all(map(is_called_a_mask, files)) and holds_dicom(case.path):
                for mask in files:
                    discovery.findings.note("ignored: a mask among scans without masks", case=case.name, file=mask)
                discovery.cases.append(_study(case.path, case.name, channels))
                continue
            _add_case_folder(case, files, channels, discovery)
    if not discovery.cases:
        discovery.findings.error(
            f"--unlabelled holds no scan with the channels {', '.join(channels)}",
            unread_files(folder) or "Name the files <case>_<channel>, or put them into one folder per case.",
            file=folder,
        )
    return discovery


def _holds_cases(folder: Folder) -> bool:
    """Whether a folder holds images of several cases, or files in nnU-Net's format, and is not a case itself."""
    if folder.name.lower() not in (*IMAGE_FOLDERS, *(name for names in TEST_FOLDERS for name in names)):
        return False
    names = read_names([Image(stem_of(path)) for path in scan_files(folder.path, Findings())]).images
    return len({name.case for name in names}) > 1 or any(name.numbered for name in names)


def channel_folders(folders: Sequence[Folder]) -> dict[str, Folder]:
    """The folders that hold one channel each, by its name; empty if any folder with scans is something else.

    A folder holds a channel if its name says the channel, and otherwise only words that all folder names have, and if
    no file in it says another channel. Two folders of one channel are taken as two cases.
    """
    found: dict[str, Folder] = {}
    rests: set[tuple[str, ...]] = set()
    for folder in folders:
        files = scan_files(folder.path, Findings())
        if not files:
            continue
        channel, words = folder_channel(folder.name), words_of(folder.name)
        told = {channel_of_words(words_of(stem_of(path))) for path in files} - {"", channel}
        if not channel or channel in found or any(not (is_like_dwi(channel) and name == DWI) for name in told):
            return {}
        found[channel] = folder
        rests.add(tuple(word.text.lower() for word in words if word.kind == "case"))
    is_pure = rests == {()} or (len(found) > 1 and len(rests) == 1)
    return found if is_pure else {}


def _add_channel_folders(
    folder: Path,
    folders: Sequence[Folder],
    by_channel: dict[str, Folder],
    channels: Sequence[str],
    discovery: Discovery,
) -> None:
    """Add the cases of folders with one channel each; single files in each are one case, whatever their names."""
    findings = discovery.findings
    used = _used_channels(by_channel, channels)
    for one in folders:
        if one not in used.values():
            findings.note("ignored: a folder of no channel of this dataset", file=one.path)
    files = [(name, path) for name, one in used.items() for path in scan_files(one.path, findings)]
    reading = read_names([Image(stem_of(path), name, used[name].name) for name, path in files], None, channels)
    named = list(zip((path for _, path in files), reading.images, strict=True))
    if len(files) == len(used) and len({name.case for _, name in named}) > 1:
        names = ", ".join(path.name for _, path in files)
        findings.note(f"one file in each folder: {names} are taken as one case, {folder.name}", file=folder)
        named = [(path, ImageName(folder.name, name.channel, name.token)) for path, name in named]
    _add_grouped(named, channels, discovery)


def _used_channels(by_channel: dict[str, Folder], channels: Sequence[str]) -> dict[str, Folder]:
    """The folders of the dataset's channels; without one called DWI, that of trace images or b-values is taken."""
    wanted = {channel.lower(): channel for channel in channels}
    used = {wanted[name.lower()]: one for name, one in by_channel.items() if name.lower() in wanted}
    like = [name for name in by_channel if is_like_dwi(name) and name.lower() not in wanted]
    if DWI in channels and DWI not in used:
        used |= {name: by_channel[name] for name in like}
    return used


def _add_flat(files: Sequence[Path], channels: Sequence[str], discovery: Discovery, names: Sequence[str]) -> None:
    """Add the cases of files by their names, which are those of their folders where each has its own."""
    reading = read_names([Image(name) for name in names], None, channels)
    if reading.wide:
        discovery.findings.note(
            f"names are read by their words: {reading.example}",
            "If that is wrong, name the files <case>_adc, <case>_dwi.",
        )
    _add_grouped(list(zip(files, reading.images, strict=True)), channels, discovery)


def _add_grouped(named: Sequence[tuple[Path, ImageName]], channels: Sequence[str], discovery: Discovery) -> None:
    numbered = {name.case for _, name in named if name.numbered}
    for name, found in group_channels(named, discovery.findings, channels).items():
        images = {channel: path for channel, path in found.items() if channel in (*channels, COMBINED)}
        if name in numbered and len(images) < len(found):
            discovery.findings.error(
                f"has {len(found)} channels by number, this dataset {len(channels)}: {', '.join(channels)}",
                "Take the others away, or name the files <case>_<channel>.",
                case=name,
                file=next(iter(found.values())),
            )
        for channel, path in found.items():
            if channel not in images:
                discovery.findings.note(f"ignored: {channel} is no channel of this dataset", case=name, file=path)
        if images:
            _add(Case(name, images, split="unlabelled", numbered=name in numbered), channels, discovery)


def _add_case_folder(folder: CaseFolder, files: Sequence[Path], channels: Sequence[str], discovery: Discovery) -> None:
    found = case_files(folder, discovery.findings, channels)
    images, mask = found.images, found.mask
    if mask is not None:
        discovery.findings.note("ignored: a mask among scans without masks", case=folder.name, file=mask)
    images = {channel: path for channel, path in images.items() if channel in channels}
    if not images and len(files) == 1 and mask is None and not found.images:
        images = {COMBINED: files[0]}
    if images:
        _add(Case(folder.name, images, split="unlabelled"), channels, discovery)
    else:
        note_without_scans(folder.path, "a folder without scans of this dataset's channels", discovery.findings)
        discovery.empty.append(folder.path)


def _study(folder: Path, name: str, channels: Sequence[str]) -> Case:
    return Case(name, {COMBINED: folder}, split="unlabelled", channel_names=tuple(channels))


def _add(case: Case, channels: Sequence[str], discovery: Discovery) -> None:
    """Add a case, unless the name of its file or folder says that it is another channel."""
    if COMBINED in case.images:
        path = case.images[COMBINED]
        told = hidden_channel(stem_of(path)) or hidden_channel(case.name)
        if told and told not in channels:
            discovery.findings.note(f"ignored: {told} is no channel of this dataset", case=case.name, file=path)
            return
        case = with_hidden_channel(case)
    discovery.cases.append(case)
