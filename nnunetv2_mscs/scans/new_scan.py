"""A new scan in any form, with the channels that a model needs: split by b-values, ADC computed if it is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from nnunetv2_mscs.scans.b_values import (
    HIGHEST_OF_B0,
    SAME_SHELL,
    b_value_in_name,
    b_values_beside,
    check_computed,
    compute_adc,
    split_by_b_value,
)
from nnunetv2_mscs.scans.channels import ADC, B0, COMBINED, DWI, Channel, ReadingRules, ScanFiles, read_channels
from nnunetv2_mscs.scans.findings import Finding, Findings, ScanError
from nnunetv2_mscs.scans.formats import without_ending
from nnunetv2_mscs.scans.reading import Volume, read_volume
from nnunetv2_mscs.scans.scan import Scan, put_together

COMPUTED = "computed from b0 and DWI"
NO_ADC = (
    "has no ADC, and no b0 to compute it from",
    "Add the ADC map or the b0, or give the 4D series with its .bval file beside it.",
)
NAME_B_VALUE = "Give it in s/mm2: --b-value 1000, or put the .bval file beside the DWI."


@dataclass
class NewChannels:
    """The channels of a new scan as read.

    Args:
        channels: ADC, DWI, B0 and others, as far as they are there.
        b_value: of the DWI, in s/mm2; None if it is not recorded.
        b_value_of_b0: of the B0.
        findings: what was found on the way.
    """

    channels: dict[str, Channel]
    b_value: float | None = None
    b_value_of_b0: float = 0.0
    findings: Findings = field(default_factory=Findings)


@dataclass(frozen=True)
class NewScan:
    """A new scan, harmonised.

    Args:
        scan: its channels on one grid as stored: that of the DWI, or of the first channel wanted if there is none.
        b_value: of the DWI, in s/mm2; None if it is not known.
        findings: warnings and notes.
        oriented: the file records which side is left.
        measured: the voxel size is known.
    """

    scan: Scan
    b_value: float | None
    findings: tuple[Finding, ...]
    oriented: bool
    measured: bool


def read_new_channels(
    files: ScanFiles, rules: ReadingRules, *, wanted: Sequence[str] = (ADC, DWI), b_value: float | None = None
) -> NewChannels:
    """Read the files of a new scan; 4D files are split by their b-values.

    Args:
        files: of one scan; a file of unnamed channels that has a .bval file beside it is a diffusion series.
        rules: how to read them.
        wanted: the channels that a model needs; a b0 that no ADC has to be computed from is not read.
        b_value: of the DWI, where no file says it.

    Raises:
        ScanError: a file cannot be read.
    """
    images = dict(files.images)
    if COMBINED in images and len(images) == 1 and b_values_beside(images[COMBINED]):
        images = {DWI: images[COMBINED]}
    new = NewChannels({}, b_value)
    path = images.get(DWI)
    b_values = b_values_beside(path) if path else ()
    if path and len(b_values) > 1:
        _add_series(images.pop(DWI), b_values, rules, new)
    elif path:
        recorded = b_values[0] if b_values else b_value_in_name(without_ending(path))
        new.b_value = _settled(recorded, b_value, path, new.findings)
    if B0 in images and ADC in images and B0 not in wanted:
        images.pop(B0)
    if B0 in images:
        new.channels[B0] = _mean_b0(images.pop(B0), rules, new.findings)
    if images:
        new.channels |= read_channels(replace(files, images=images), rules, new.findings)
    raise_first(new.findings)
    return new


def make_new_scan(new: NewChannels, wanted: Sequence[str], rules: ReadingRules) -> NewScan:
    """Harmonise the channels of a new scan, on the grid of the DWI, or of the first channel wanted if there is none.

    Args:
        new: what was read.
        wanted: the channels that a model needs.
        rules: how they are read.

    Raises:
        ScanError: a channel is missing and cannot be computed, or cannot be what it is said to be.
    """
    channels, findings = dict(new.channels), Findings(list(new.findings.items))
    computes = ADC in wanted and ADC not in channels
    if computes and B0 not in channels and DWI in channels:
        raise ScanError(*NO_ADC)
    needed = [*(name for name in wanted if not (computes and name == ADC)), *([B0, DWI] if computes else [])]
    if missing := [name for name in dict.fromkeys(needed) if name not in channels]:
        raise ScanError(f"has no {', '.join(missing)}, which the model needs", "Add the file.")
    if computes and new.b_value is None:
        raise ScanError("the b-value of the DWI is not recorded, so that no ADC can be computed", NAME_B_VALUE)
    # The DWI gives the grid also to a model that does not see it: masks lie on it.
    used = {name: channels[name] for name in dict.fromkeys((*needed, DWI)) if name in channels}
    reference = used.get(DWI) or next(iter(used.values()))
    scan = put_together(used, replace(rules, resample=True), findings)
    raise_first(findings)
    assert scan is not None
    if computes:
        scan = with_computed_adc(scan, used, new, findings)
    scan = replace(scan, channels={name: scan.channels[name] for name in wanted} | _beside(scan, wanted))
    return NewScan(
        scan,
        new.b_value,
        tuple(findings.items),
        oriented=reference.volume.has_geometry
        and not any("no orientation" in one for one in reference.volume.warnings),
        measured=reference.volume.has_geometry or rules.spacing is not None,
    )


def raise_first(findings: Findings) -> None:
    """Raise the errors among findings as one ScanError with the remedy of the first."""
    if errors := findings.errors:
        files = list(dict.fromkeys(Path(error.file).name for error in errors if error.file))
        named = [f"{Path(error.file).name}: {error.finding}" if error.file else error.finding for error in errors]
        raise ScanError("; ".join(named), errors[0].remedy, files[0] if files else "")


def _beside(scan: Scan, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """ADC and DWI that the model does not need but pictures and measurements do."""
    return {name: scan.channels[name] for name in (ADC, DWI) if name in scan.channels and name not in wanted}


def _add_series(path: Path, b_values: tuple[float, ...], rules: ReadingRules, new: NewChannels) -> None:
    volume = read_volume(path, spacing=rules.spacing)
    for warning in volume.warnings:
        new.findings.warning(warning, file=path)
    shells = split_by_b_value(volume.array, b_values, path, new.findings)
    new.channels[DWI] = Channel(path, replace(volume, array=shells.dwi), assumed=False)
    new.b_value = _settled(shells.b_value, new.b_value, path, new.findings)
    if shells.b0 is not None:
        b0 = Volume(shells.b0, volume.grid, volume.has_geometry, forms=volume.forms)
        new.channels[B0], new.b_value_of_b0 = Channel(path, b0, assumed=False), shells.b_value_of_b0


def _mean_b0(path: Path, rules: ReadingRules, findings: Findings) -> Channel:
    volume = read_volume(path, spacing=rules.spacing)
    for warning in volume.warnings:
        findings.warning(warning, file=path)
    b_values = b_values_beside(path)
    if len(volume.array) > 1:
        low = [i for i, value in enumerate(b_values) if value <= HIGHEST_OF_B0]
        if len(b_values) != len(volume.array) or not low:
            finding = f"holds {len(volume.array)} volumes, and no .bval file says which are of b = 0"
            raise ScanError(finding, "Put the .bval file beside it, or save one volume.", path)
        findings.note(f"b0: mean of {len(low)} volumes", file=path)
        volume = replace(volume, array=volume.array[low].mean(axis=0, dtype=np.float64)[None])
    return Channel(path, volume, assumed=False)


def _settled(recorded: float | None, given: float | None, path: Path, findings: Findings) -> float | None:
    """The b-value that the user gives, else the one that is recorded."""
    if given is None or recorded is None:
        return recorded if given is None else given
    if abs(recorded - given) > SAME_SHELL:
        findings.warning(f"records b = {recorded:g} s/mm2; {given:g} was given and is used", file=path)
        return given
    return recorded


def with_computed_adc(scan: Scan, used: Mapping[str, Channel], new: NewChannels, findings: Findings) -> Scan:
    """The scan with the ADC that its DWI and b0 give.

    Args:
        scan: with both on one grid.
        used: the channels that it was made of.
        new: with the b-values.
        findings: grows by a note.

    Raises:
        ScanError: the ADC is one that no brain has.
    """
    assert new.b_value is not None
    difference = new.b_value - new.b_value_of_b0
    adc = compute_adc(scan.channels[DWI], scan.channels[B0], difference)
    check_computed(adc, scan.channels[B0], new.b_value, used[DWI].path)
    findings.note(f"ADC computed from b0 and DWI, with b = {new.b_value:g} s/mm2", file=used[DWI].path)
    return replace(scan, channels={ADC: adc, **scan.channels}, adc_unit=COMPUTED)
