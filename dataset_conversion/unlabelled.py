"""New scans without masks: a flat folder, one folder per case, or one case's own folder."""

from collections.abc import Sequence
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.cases import Case, Discovery
from nnunetv2_mscs.dataset_conversion.file_names import parse_image_name, scan_files, stem_of
from nnunetv2_mscs.dataset_conversion.folders import Folder
from nnunetv2_mscs.dataset_conversion.images_masks import group_channels
from nnunetv2_mscs.dataset_conversion.sample_folders import case_files
from nnunetv2_mscs.scans.channels import COMBINED
from nnunetv2_mscs.scans.findings import Findings
from nnunetv2_mscs.scans.formats import unread_files


def find_unlabelled(folder: Path, channels: Sequence[str]) -> Discovery:
    """All cases of a folder of new scans.

    Args:
        folder: with `<case>_<channel>` files, or one folder per case, or itself the folder of one case.
        channels: the channels of the dataset; other files are noted as ignored.
    """
    discovery = Discovery()
    flat = scan_files(folder, discovery.findings)
    if any(stem_of(path).lower() in {channel.lower() for channel in channels} for path in flat):
        _add_case_folder(folder, flat, channels, discovery)
    else:
        _add_flat(flat, channels, discovery)
        for sub in Folder(folder).subfolders():
            _add_case_folder(sub.path, scan_files(sub.path, Findings()), channels, discovery)
    if not discovery.cases:
        discovery.findings.error(
            f"--unlabelled holds no scan with the channels {', '.join(channels)}",
            unread_files(folder) or "Name the files <case>_<channel>, or put them into one folder per case.",
            file=folder,
        )
    return discovery


def _add_flat(files: Sequence[Path], channels: Sequence[str], discovery: Discovery) -> None:
    stems = {stem_of(path) for path in files}
    named = [(path, parse_image_name(stem_of(path), siblings=stems, channel_names=channels)) for path in files]
    numbered = {name.case for _, name in named if name.numbered}
    for name, found in group_channels(named, discovery.findings).items():
        images = {channel: path for channel, path in found.items() if channel in (*channels, COMBINED)}
        for channel, path in found.items():
            if channel not in images:
                discovery.findings.note(f"ignored: {channel} is no channel of this dataset", case=name, file=path)
        if images:
            _add(Case(name, images, split="unlabelled", numbered=name in numbered), channels, discovery)


def _add_case_folder(folder: Path, files: Sequence[Path], channels: Sequence[str], discovery: Discovery) -> None:
    images, mask = case_files(folder, discovery.findings, channels)
    if mask is not None:
        discovery.findings.note("ignored: a mask among scans without masks", case=folder.name, file=mask)
    images = {channel: path for channel, path in images.items() if channel in channels}
    if not images and len(files) == 1 and mask is None:
        images = {COMBINED: files[0]}
    if images:
        _add(Case(folder.name, images, split="unlabelled"), channels, discovery)
    else:
        discovery.findings.note("ignored: a folder without scans of this dataset's channels", file=folder)


def _add(case: Case, channels: Sequence[str], discovery: Discovery) -> None:
    if COMBINED not in case.images:
        for channel in channels:
            if channel not in case.images:
                discovery.findings.error(f"has no {channel} file", "Add it or take the case away.", case=case.name)
    discovery.cases.append(case)
