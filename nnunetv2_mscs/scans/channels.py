"""Which channels a scan has, in which files, and how each is read as a volume of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nnunetv2_mscs.scans.findings import Findings, ScanError
from nnunetv2_mscs.scans.reading import Volume, read_volume

COMBINED = "*"
ADC, DWI = "ADC", "DWI"
WRONG_CHANNELS = "Save one volume a channel, or name the channels with --channels."


@dataclass(frozen=True)
class ScanFiles:
    """The files of one scan.

    Args:
        images: the file of each channel by its name; the name `COMBINED` stands for a file of all channels.
        mask: the lesion mask, if there is one.
        numbered: the channels' names come from numbers, which do not say what the files hold.
    """

    images: Mapping[str, Path]
    mask: Path | None = None
    numbered: bool = False


@dataclass(frozen=True)
class ReadingRules:
    """How the files of a dataset are to be read.

    Args:
        spacing: voxel size x, y, z in mm of files that carry none.
        resample: interpolate volumes onto the reference grid if they lie elsewhere.
        channel_names: names of the channels of combined files, in the order of the files.
    """

    spacing: tuple[float, ...] | None = None
    resample: bool = False
    channel_names: tuple[str, ...] = ()


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


def read_channels(files: ScanFiles, rules: ReadingRules, findings: Findings, check: bool) -> dict[str, Channel]:
    """Each channel by its name; empty if any file fails."""
    channels: dict[str, Channel] = {}
    for name, path in files.images.items():
        try:
            volume = read_volume(path, spacing=rules.spacing, check=check)
            if name == COMBINED:
                channels.update(_split(volume, path, rules, findings))
            else:
                channels[name] = Channel(path, _single(volume, name, path), files.numbered and not rules.channel_names)
        except ScanError as error:
            findings.items.append(error.as_finding())
            continue
        for warning in volume.warnings:
            findings.warning(warning, "Check the overlay of image and mask.", file=path)
    return {} if findings.errors else channels


def _single(volume: Volume, name: str, path: Path) -> Volume:
    if len(volume.array) != 1:
        raise ScanError(f"holds {len(volume.array)} volumes where one {name} volume is expected", WRONG_CHANNELS, path)
    return volume


def _split(volume: Volume, path: Path, rules: ReadingRules, findings: Findings) -> dict[str, Channel]:
    """The channels of a file of all of them, named by the file, by the user, or in the usual order."""
    if volume.names:
        return _chosen(volume, path, rules.channel_names or (ADC, DWI), findings)
    count = len(volume.array)
    assumed = not rules.channel_names
    names = rules.channel_names or _default_names(count)
    if len(names) != count:
        raise ScanError(f"holds {count} channel(s), not {len(names)} ({', '.join(names)})", WRONG_CHANNELS, path)
    if assumed:
        tell = findings.note if count == 2 else findings.warning
        tell(f"unnamed channels are taken as {', '.join(names)}", "If they are others, name them with --channels.")
    return {name: Channel(path, _one_of(volume, i), assumed) for i, name in enumerate(names)}


def _chosen(volume: Volume, path: Path, wanted: Sequence[str], findings: Findings) -> dict[str, Channel]:
    """The wanted ones of the channels that the file names itself."""
    index = {name.lower(): i for i, name in enumerate(volume.names)}
    if missing := [name for name in wanted if name.lower() not in index]:
        raise ScanError(f"holds {', '.join(volume.names)}, but no {', '.join(missing)}", WRONG_CHANNELS, path)
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
    """The names with ADC and DWI changed about."""
    return tuple({ADC: DWI, DWI: ADC}.get(name, name) for name in names)
