"""Which channels a scan has, in which files, and how each is read as a volume of its own."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nnunetv2_mscs.scans.findings import Findings, ScanError
from nnunetv2_mscs.scans.formats import NIFTI_ENDINGS
from nnunetv2_mscs.scans.reading import Volume, read_volume
from nnunetv2_mscs.scans.words import ADC as ADC
from nnunetv2_mscs.scans.words import B0 as B0
from nnunetv2_mscs.scans.words import DWI as DWI

COMBINED = "*"
NAME_ALL = "Name all {count} with --channels, in the file's order, or save one 3D file for each channel."
NOT_THERE = "Name channels that it holds with --channels, or add those that are missing."


@dataclass(frozen=True)
class ScanFiles:
    """The files of one scan.

    Args:
        images: the file of each channel by its name; the name `COMBINED` stands for a file of all channels.
        mask: the lesion mask, if there is one.
        numbered: the channels' names come from numbers, which do not say what the files hold.
        names: channels of the combined file in its order, as far as its name or the source says.
    """

    images: Mapping[str, Path]
    mask: Path | None = None
    numbered: bool = False
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadingRules:
    """How the files of a dataset are to be read.

    Args:
        spacing: voxel size x, y, z in mm of files that carry none.
        resample: interpolate volumes onto the reference grid if they lie elsewhere.
        channel_names: names of the channels of combined files, in the order of the files.
        allow_large_masks: take masks, too, that mark more than a lesion can fill.
    """

    spacing: tuple[float, ...] | None = None
    resample: bool = False
    channel_names: tuple[str, ...] = ()
    allow_large_masks: bool = False


class Channel(NamedTuple):
    """One channel as read.

    Args:
        path: its file.
        volume: of one channel.
        assumed: neither the user nor the file says that it is this channel; only the usual order does.
    """

    path: Path
    volume: Volume
    assumed: bool


def channel_order(names: Sequence[str]) -> list[str]:
    """ADC, DWI, then the others by alphabet."""
    return sorted(names, key=lambda name: ({ADC: 0, DWI: 1}.get(name, 2), name))


def read_channels(files: ScanFiles, rules: ReadingRules, findings: Findings, check: bool = True) -> dict[str, Channel]:
    """Each channel by its name; empty if any file fails."""
    channels: dict[str, Channel] = {}
    for name, path in files.images.items():
        try:
            volume = read_volume(path, spacing=rules.spacing, check=check)
            if name == COMBINED:
                channels.update(_split(volume, path, files.names, rules, findings))
            else:
                channels[name] = Channel(
                    path, single_volume(volume, name, path), files.numbered and not rules.channel_names
                )
        except ScanError as error:
            findings.items.append(error.as_finding())
            continue
        for warning in volume.warnings:
            findings.warning(warning, "Check the overlay of image and mask.", file=path)
    return {} if findings.errors else channels


def single_volume(volume: Volume, name: str, path: Path) -> Volume:
    """The volume of a file that has to hold one; raises ScanError if it holds several."""
    if (count := len(volume.array)) != 1:
        raise ScanError(f"holds {count} volumes where one {name} volume is expected", _keep_one(name, path), path)
    return volume


def _keep_one(name: str, path: Path) -> str:
    """How to take one volume out of a file of several: `nib-roi` comes with nibabel, and so with this package."""
    which = "of a series with several b-values the diffusion-weighted one, not the b0" if name == DWI else "the map"
    how = "Save it as a 3D file"
    if path.name.lower().endswith(NIFTI_ENDINGS):
        file = shlex.quote(path.name)
        how = f"Its second one, for instance: nib-roi -t 1:2 {file} one.nii.gz && mv one.nii.gz {file}"
        if not path.name.endswith(".gz"):
            how = how.replace("one.nii.gz", "one.nii")
    return f"Keep one volume ({which}). {how}"


def _split(
    volume: Volume, path: Path, told: Sequence[str], rules: ReadingRules, findings: Findings
) -> dict[str, Channel]:
    """The channels of a file of all of them, named by the file, by the user, by its name, or in the usual order."""
    if volume.names:
        return _chosen(volume, path, rules.channel_names or (ADC, DWI), findings)
    count = len(volume.array)
    given = rules.channel_names or (tuple(told) if len(told) == count else ())
    assumed = not given
    names = given or _default_names(count)
    if len(names) != count:
        remedy = NAME_ALL.format(count=count) if count > 1 else NOT_THERE
        raise ScanError(f"holds {count} channel(s), not {len(names)} ({', '.join(names)})", remedy, path)
    if assumed:
        tell = findings.note if count == 2 else findings.warning
        tell(f"unnamed channels are taken as {', '.join(names)}", "If they are others, name them with --channels.")
    return {name: Channel(path, _one_of(volume, i), assumed) for i, name in enumerate(names)}


def _chosen(volume: Volume, path: Path, wanted: Sequence[str], findings: Findings) -> dict[str, Channel]:
    """The wanted ones of the channels that the file names itself."""
    index = {name.lower(): i for i, name in enumerate(volume.names)}
    if missing := [name for name in wanted if name.lower() not in index]:
        raise ScanError(f"holds {', '.join(volume.names)}, but no {', '.join(missing)}", NOT_THERE, path)
    chosen = {name.lower() for name in wanted}
    if left := [name for name in volume.names if name.lower() not in chosen]:
        findings.note(f"ignored in the file: {', '.join(left)}", "To use it, name it with --channels.", file=path)
    if volume.unused:
        findings.note(f"ignored in the file, as no image like ADC: {', '.join(volume.unused)}", file=path)
    return {name: Channel(path, _one_of(volume, index[name.lower()]), assumed=False) for name in wanted}


def _one_of(volume: Volume, index: int) -> Volume:
    return Volume(volume.array[index : index + 1], volume.grid, volume.has_geometry, forms=volume.forms)


def _default_names(count: int) -> tuple[str, ...]:
    """DWI alone, or ADC, DWI, channel_2, ... as nnU-Net would number them."""
    return (DWI,) if count == 1 else (ADC, DWI, *(f"channel_{i}" for i in range(2, count)))


def swapped(names: Sequence[str]) -> tuple[str, ...]:
    """The names with ADC and DWI exchanged."""
    return tuple({ADC: DWI, DWI: ADC}.get(name, name) for name in names)
