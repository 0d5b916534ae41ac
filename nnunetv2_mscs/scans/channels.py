"""Which channels a scan has, in which files, and how each is read as a volume of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    """

    images: Mapping[str, Path]
    mask: Path | None = None


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


def channel_order(names: Sequence[str]) -> list[str]:
    """ADC, DWI, then the others by alphabet."""
    return sorted(names, key=lambda name: ({ADC: 0, DWI: 1}.get(name, 2), name))


def read_channels(
    files: ScanFiles, rules: ReadingRules, findings: Findings, check: bool
) -> dict[str, tuple[Path, Volume]]:
    """Each channel as a volume of its own, with its file; empty if any file fails."""
    volumes: dict[str, tuple[Path, Volume]] = {}
    for name, path in files.images.items():
        try:
            volume = read_volume(path, spacing=rules.spacing, check=check)
            for channel, single in _named_channels(name, volume, path, rules, findings):
                volumes[channel] = (path, single)
        except ScanError as error:
            findings.items.append(error.as_finding())
            continue
        for warning in volume.warnings:
            findings.warning(warning, "Check the overlay of image and mask.", file=path)
    return {} if findings.errors else volumes


def _named_channels(
    name: str, volume: Volume, path: Path, rules: ReadingRules, findings: Findings
) -> list[tuple[str, Volume]]:
    count = len(volume.array)
    if name != COMBINED:
        if count != 1:
            raise ScanError(f"holds {count} volumes where one {name} volume is expected", WRONG_CHANNELS, path)
        return [(name, volume)]
    names = rules.channel_names or volume.names or _default_names(count)
    if len(names) != count:
        raise ScanError(f"holds {count} channel(s), not {len(names)} ({', '.join(names)})", WRONG_CHANNELS, path)
    if not rules.channel_names and not volume.names and count != 2:
        findings.warning(f"unnamed channels are taken as {', '.join(names)}", "Name them with --channels.")
    return [
        (channel, Volume(volume.array[i : i + 1], volume.grid, volume.has_geometry)) for i, channel in enumerate(names)
    ]


def _default_names(count: int) -> tuple[str, ...]:
    """DWI alone, or ADC, DWI, channel_2, ... as nnU-Net would number them."""
    return (DWI,) if count == 1 else (ADC, DWI, *(f"channel_{i}" for i in range(2, count)))
