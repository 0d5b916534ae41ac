"""One scan put together from its files: every channel and the mask on one grid, ADC in 10^-6 mm2/s."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nnunetv2_mscs.scans.alignment import align, along, turn
from nnunetv2_mscs.scans.channels import (
    ADC,
    DWI,
    Channel,
    ReadingRules,
    ScanFiles,
    channel_order,
    read_channels,
    swapped,
)
from nnunetv2_mscs.scans.findings import Finding, Findings, ScanError
from nnunetv2_mscs.scans.forms import Placed, settle_forms
from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.lesions import lesion_volume_ml
from nnunetv2_mscs.scans.masks import to_labels
from nnunetv2_mscs.scans.nifti import ANALYZE
from nnunetv2_mscs.scans.orientation import NO_ORIENTATION
from nnunetv2_mscs.scans.plausible import bright_air, check_adc, check_mask_extent
from nnunetv2_mscs.scans.reading import Volume, read_volume
from nnunetv2_mscs.scans.units import AdcUnit, find_adc_unit

LARGEST_VOLUME_CHANGE = 0.1
# Shares of voxels below 0 that noise alone brings into an ADC map, of the head and of the whole volume.
NOISE_OF_HEAD, NOISE_OF_ALL = 0.001, 0.05
SET_TO_0 = "If this value stands for no data, set it to 0; if the scan is inverted, export it again."
NEEDS_ORIENTATION = "Export the file with its orientation: without one nothing says where its voxels lie."


@dataclass
class Scan:
    """One harmonised scan.

    Args:
        channels: (Z, Y, X) float32 by name; ADC first, then DWI, then the others by alphabet.
        grid: the grid of all of them.
        labels: (Z, Y, X) uint8, or None for a scan without a mask.
        adc_unit: the unit the ADC was stored in, or None without ADC.
        order_assumed: neither the user nor the files say which channel is which.
    """

    channels: dict[str, np.ndarray]
    grid: Grid
    labels: np.ndarray | None
    adc_unit: str | None
    order_assumed: bool = False

    def turned_to(self, axes: str) -> "Scan":
        """The same scan stored along other axes, named as in `Grid.axes`."""
        grid = along(axes, self.grid)
        channels = {name: turn(array[None], self.grid, grid)[0][0] for name, array in self.channels.items()}
        labels = None if self.labels is None else turn(self.labels[None], self.grid, grid)[0][0]
        return replace(self, channels=channels, labels=labels, grid=grid)


def load_scan(files: ScanFiles, rules: ReadingRules) -> tuple[Scan | None, list[Finding]]:
    """Read and harmonise one scan.

    Args:
        files: where it lies.
        rules: how to read it.

    Returns:
        The scan, or None when errors leave none, and all findings.
    """
    findings = Findings()
    found = read_channels(files, rules, findings)
    if not found:
        return None, findings.items
    mask = read_mask(files.mask, rules, findings)
    return put_together(found, rules, findings, mask=mask), findings.items


def put_together(
    found: Mapping[str, Channel],
    rules: ReadingRules,
    findings: Findings,
    *,
    mask: Placed | None = None,
) -> Scan | None:
    """Harmonise the channels of one scan that are read already.

    Args:
        found: one channel or more, by name.
        rules: how they are read.
        findings: takes what is found.
        mask: the scan's labels.

    Returns:
        The scan, or None when errors leave none.
    """
    reference_name, reference = _reference(found)
    if not _settle_forms(found, mask, reference_name, findings):
        return None
    channels: dict[str, np.ndarray] = {}
    for name, (path, volume, _) in found.items():
        aligned = _align(volume, reference, name, reference_name, path, rules, findings)
        if aligned is not None and _check_values(aligned[0], name, path, findings):
            channels[name] = aligned[0].astype(np.float32)
    complete = len(channels) == len(found)
    unit = _harmonise_adc(channels, found, findings) if complete else None
    labels = _align_mask(mask, reference, reference_name, rules, findings) if mask else None
    if labels is not None and mask is not None:
        usable = {name: channel for name, channel in channels.items() if name != ADC or unit}
        volume_ml = reference.grid.voxel_volume_ml
        check_mask_extent(labels, usable, volume_ml, mask.path, findings, allow_large=rules.allow_large_masks)
    if findings.errors:
        return None
    ordered = {name: channels[name] for name in channel_order(list(channels))}
    order_assumed = any(channel.assumed for channel in found.values())
    return Scan(ordered, reference.grid, labels, unit, order_assumed)


def _reference(channels: Mapping[str, Channel]) -> tuple[str, Volume]:
    """The volume that gives the grid: DWI if it knows its geometry, else the first that does, else DWI or the first."""
    by_rank = [name for name in (DWI, *channels) if name in channels]
    name = next((name for name in by_rank if channels[name].volume.has_geometry), by_rank[0])
    return name, channels[name].volume


def _align(
    volume: Volume,
    reference: Volume,
    name: str,
    reference_name: str,
    path: Path,
    rules: ReadingRules,
    findings: Findings,
    is_mask: bool = False,
) -> np.ndarray | None:
    """(1, Z, Y, X) on the reference's grid, or None with the reason among the findings."""
    if volume.grid.size != reference.grid.size and not (volume.has_geometry and reference.has_geometry):
        shapes = f"{name} {volume.grid.size}, {reference_name} {reference.grid.size}"
        findings.error(f"shapes differ (x, y, z): {shapes}", "Save both from the same grid.", file=path)
        return None
    if not (volume.has_geometry and reference.has_geometry):
        if volume.has_geometry or reference.has_geometry:
            findings.note(f"{name} or {reference_name} carries no geometry: matched voxel by voxel", file=path)
        return volume.array
    lost = [warning for warning in (*volume.warnings, *reference.warnings) if warning in (NO_ORIENTATION, ANALYZE)]
    try:
        array, warnings = align(
            volume.array,
            volume.grid,
            reference.grid,
            what=name,
            reference_name=reference_name,
            resample=rules.resample and not lost,
            is_mask=is_mask,
        )
    except ScanError as error:
        remedy = NEEDS_ORIENTATION if lost else error.remedy
        findings.error("; ".join([error.finding, *lost[:1]]), remedy, file=path)
        return None
    for warning in warnings:
        findings.warning(warning, "Check the overlay.", file=path)
    return array


def _check_values(array: np.ndarray, name: str, path: Path, findings: Findings) -> bool:
    if array.dtype.kind == "f" and not (finite := np.isfinite(array)).all():
        findings.error(f"{name} holds {int((~finite).sum())} NaN or infinite values", "Set them to 0.", file=path)
        return False
    extreme = max(float(array.min()), float(array.max()), key=abs)
    if abs(extreme) > float(np.finfo(np.float32).max):
        findings.error(f"{name} holds {extreme:g}, beyond 32-bit numbers", "Export the scan again.", file=path)
        return False
    if array.min() == array.max():
        findings.error(f"{name} is constant ({array.flat[0]:g} everywhere)", "Export the scan again.", file=path)
        return False
    if (air := bright_air(array)) is not None:
        findings.error(f"{name} is brightest in the air around the head ({air:.4g})", SET_TO_0, file=path)
        return False
    return True


def _harmonise_adc(channels: dict[str, np.ndarray], found: Mapping[str, Channel], findings: Findings) -> str | None:
    """Bring the ADC, if there is one, to 10^-6 mm2/s in place; returns the unit that it is stored in."""
    if ADC not in channels:
        return None
    path = found[ADC].path
    try:
        unit: AdcUnit = find_adc_unit(channels[ADC], channels.get(DWI))
    except ScanError as error:
        finding, remedy = error.finding, error.remedy
        if found[ADC].assumed and DWI in channels and _is_adc(channels[DWI], channels[ADC]):
            finding += "; what was taken as DWI fits, so that the order may be DWI, ADC"
            remedy = f"Give --channels {' '.join(swapped(tuple(found)))} if it is."
        findings.error(finding, remedy, file=path)
        return None
    if not check_adc(channels[ADC], unit, path, findings):
        return None
    if unit.negative_share > 0:
        is_noise = unit.negative_share_of_head < NOISE_OF_HEAD and unit.negative_share < NOISE_OF_ALL
        say = findings.note if is_noise else findings.warning
        say(
            f"ADC is negative in {unit.negative_share * 100:.2g} % of all voxels, "
            f"{unit.negative_share_of_head * 100:.2g} % of the head's",
            "Noise is kept as it is; look at the map if the share is large.",
            file=path,
        )
    channels[ADC] = (channels[ADC] * np.float64(unit.factor)).astype(np.float32)
    return unit.name


def _is_adc(array: np.ndarray, dwi: np.ndarray) -> bool:
    try:
        find_adc_unit(array, dwi)
    except ScanError:
        return False
    return True


def _settle_forms(
    channels: Mapping[str, Channel], mask: Placed | None, reference_name: str, findings: Findings
) -> bool:
    """Put all files on the forms of their headers that bring them together; whether that is possible."""
    placed = {name: Placed(channel.path, channel.volume) for name, channel in channels.items()}
    try:
        warnings = settle_forms(placed | ({"mask": mask} if mask else {}), reference=reference_name)
    except ScanError as error:
        findings.items.append(error.as_finding())
        return False
    for path, warning in warnings:
        findings.warning(warning, "Check the overlay of image and mask.", file=path)
    return True


def read_mask(path: Path | None, rules: ReadingRules, findings: Findings) -> Placed | None:
    """The mask as labels, (1, Z, Y, X) uint8, where it lies; None without one, or with a reason in the findings."""
    if path is None:
        return None
    try:
        volume = read_volume(path, spacing=rules.spacing, content="mask")
        volume.array = to_labels(volume.array)
    except ScanError as error:
        findings.error(error.finding, error.remedy, file=path)
        return None
    for warning in volume.warnings:
        findings.warning(warning, "Check the overlay of image and mask.", file=path)
    return Placed(path, volume)


def _align_mask(
    mask: Placed, reference: Volume, reference_name: str, rules: ReadingRules, findings: Findings
) -> np.ndarray | None:
    """(Z, Y, X) uint8 on the reference's grid, or None."""
    path, volume = mask.path, mask.volume
    aligned = _align(volume, reference, "mask", reference_name, path, rules, findings, is_mask=True)
    if aligned is None:
        return None
    if volume.has_geometry and reference.has_geometry and not _check_kept(volume, aligned, reference, path, findings):
        return None
    if not aligned.any():
        findings.warning("mask is empty: no lesion", "Keep it if the patient has none.", file=path)
    return aligned[0]


def _check_kept(volume: Volume, aligned: np.ndarray, reference: Volume, path: Path, findings: Findings) -> bool:
    """Compare the lesion's volume before and after resampling; False if nothing is left of it."""
    before = lesion_volume_ml(volume.array, volume.grid.voxel_volume_ml)
    after = lesion_volume_ml(aligned, reference.grid.voxel_volume_ml)
    if abs(after - before) <= LARGEST_VOLUME_CHANGE * before:
        return True
    finding = f"resampling changes the lesion from {before:.3g} mL to {after:.3g} mL"
    if after > 0:
        findings.warning(finding, "Check the overlay; better draw the mask on the DWI's grid.", file=path)
        return True
    finding = f"resampling loses the lesion: {before:.3g} mL in the mask, 0 mL on the DWI's grid"
    findings.error(finding, "Draw the mask on the DWI's grid, or take the case away.", file=path)
    return False
