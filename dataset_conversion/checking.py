"""Check every case, and then the cases against each other, before anything is written."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from nnunetv2_mscs.dataset_conversion.cases import Case
from nnunetv2_mscs.dataset_conversion.parallel import run_parallel
from nnunetv2_mscs.scans.channels import COMBINED, ReadingRules, channel_order
from nnunetv2_mscs.scans.findings import Finding, Findings
from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.lesions import count_pieces, lesion_volume_ml
from nnunetv2_mscs.scans.scan import load_scan
from nnunetv2_mscs.scans.units import SCALED


@dataclass(frozen=True)
class CaseReport:
    """What is known of a case once it has been read.

    Args:
        case: the case.
        findings: of this case alone.
        channels: the channels' names in nnU-Net's order; empty if the case has errors.
        grid: where its voxels lie.
        adc_unit: the unit its ADC is stored in, None without ADC.
        labels: the label values of its mask.
        volume_ml: lesion volume, None without a mask.
        pieces: connected pieces of lesion, None without a mask.
        digests: a hash of each channel's voxels.
    """

    case: Case
    findings: tuple[Finding, ...] = ()
    channels: tuple[str, ...] = ()
    grid: Grid | None = None
    adc_unit: str | None = None
    labels: tuple[int, ...] = ()
    volume_ml: float | None = None
    pieces: int | None = None
    digests: tuple[str, ...] = ()

    @property
    def warnings(self) -> list[str]:
        return [item.finding for item in self.findings if item.severity == "warning"]


def check_case(case: Case, rules: ReadingRules) -> CaseReport:
    """Read and harmonise one case and report on it."""
    scan, items = load_scan(case.files, rules)
    findings = tuple(replace(item, case=case.name) for item in items)
    if scan is None:
        return CaseReport(case, findings)
    report = CaseReport(
        case=case,
        findings=findings,
        channels=tuple(scan.channels),
        grid=scan.grid,
        adc_unit=scan.adc_unit,
        digests=tuple(_digest(channel) for channel in scan.channels.values()),
    )
    if scan.labels is None:
        return report
    return replace(
        report,
        labels=tuple(sorted({0, *np.unique(scan.labels).tolist()})),
        volume_ml=lesion_volume_ml(scan.labels, scan.grid.voxel_volume_ml),
        pieces=count_pieces(scan.labels),
    )


def _digest(array: np.ndarray) -> str:
    return hashlib.blake2b(array.tobytes(), digest_size=16).hexdigest()


def check_cases(cases: Sequence[Case], rules: ReadingRules, *, processes: int) -> list[CaseReport]:
    """Reports of all cases, in their order."""
    return run_parallel(partial(check_case, rules=rules), cases, processes=processes, description="checking")


def settle_channels(cases: Sequence[Case], wanted: Sequence[str], findings: Findings) -> list[Case]:
    """See that cases of one file a channel have the same channels, as far as file names tell.

    Args:
        cases: as found.
        wanted: the channels to use, if the user names them; others are noted as ignored.
        findings: where missing channels are reported.
    """
    named = [case for case in cases if COMBINED not in case.images]
    needed = channel_order(list(wanted) or sorted({channel for case in named for channel in case.images}))
    settled: list[Case] = []
    for case in cases:
        if COMBINED in case.images:
            settled.append(case)
            continue
        for channel in needed:
            if channel not in case.images:
                findings.error(
                    f"has no {channel} file, which other cases have" if not wanted else f"has no {channel} file",
                    "Add it, or name the channels to use with --channels.",
                    case=case.name,
                    file=next(iter(case.images.values())),
                )
        for channel, path in case.images.items():
            if channel not in needed:
                findings.note(f"ignored: {channel} is none of --channels", case=case.name, file=path)
        kept = {channel: path for channel, path in case.images.items() if channel in needed}
        if kept:
            settled.append(replace(case, images=kept))
    return settled


def check_spacing(cases: Sequence[Case], spacing: tuple[float, ...] | None, findings: Findings) -> None:
    """--spacing must be given if, and only if, there are cases whose images carry no voxel size."""
    bare = [case.name for case in cases if not case.has_geometry]
    if bare and spacing is None:
        findings.error(
            f"{len(bare)} case(s) are arrays (.npy, .npz), which carry no voxel size: {_shown(bare)}",
            "Give --spacing X Y Z in mm.",
        )
    if cases and not bare and spacing is not None:
        findings.error("--spacing is given, but all files carry their own voxel size", "Drop --spacing.")


def check_together(reports: Sequence[CaseReport], findings: Findings) -> None:
    """What only all cases together show: channels, units, labels, and scans that occur twice."""
    readable = [report for report in reports if report.channels]
    _check_channels(readable, findings)
    _check_units(readable, findings)
    _check_labels([report for report in readable if report.volume_ml is not None], findings)
    _check_lesions(reports, findings)
    _check_copies(readable, findings)


def _check_channels(reports: Sequence[CaseReport], findings: Findings) -> None:
    """Compare what combined files turned out to hold; `settle_channels` has compared those of a file a channel."""
    if not any(COMBINED in report.case.images for report in reports):
        return
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for report in reports:
        groups[report.channels].append(report.case.name)
    if len(groups) > 1:
        found = "; ".join(f"{', '.join(channels)} in {_shown(names)}" for channels, names in groups.items())
        findings.error(f"cases differ in their channels: {found}", "Every case needs the same channels.")


def _check_units(reports: Sequence[CaseReport], findings: Findings) -> None:
    scaled = [report.case.name for report in reports if report.adc_unit == SCALED]
    physical = [report.case.name for report in reports if report.adc_unit not in (SCALED, None)]
    if scaled and physical:
        findings.error(
            f"ADC is min-max scaled in {_shown(scaled)} but in physical units in {_shown(physical)}",
            "Use the unscaled maps of all cases, or convert the two kinds into two datasets.",
        )


def _check_labels(reports: Sequence[CaseReport], findings: Findings) -> None:
    cases_of: dict[int, list[str]] = defaultdict(list)
    for report in reports:
        for value in report.labels:
            cases_of[value].append(report.case.name)
    values = sorted(cases_of)
    if values and values != list(range(len(values))):
        odd = "; ".join(f"{value} in {_shown(cases_of[value])}" for value in values[1:])
        findings.error(
            f"unknown label values: the masks hold {', '.join(map(str, values))}, a gap in 0, 1, 2, ... ({odd})",
            "Use 0 for background and 1 for lesion (or 0 and 255).",
        )
    elif len(values) > 2:
        findings.warning(
            f"the masks hold labels 0 to {values[-1]}: taken as {values[-1]} kinds of lesion",
            "If they only number the pieces, set all of them to 1.",
        )


def _check_lesions(reports: Sequence[CaseReport], findings: Findings) -> None:
    """Complain when no training case has a lesion; cases that could not be read may have one."""
    trained = [report for report in reports if report.case.split in ("train", "val")]
    if trained and all(report.volume_ml == 0 for report in trained):
        findings.error("every training mask is empty", "A network cannot learn from them; check the masks.")


def _check_copies(reports: Sequence[CaseReport], findings: Findings) -> None:
    seen: dict[str, tuple[CaseReport, str]] = {}
    for report in reports:
        for channel, digest in zip(report.channels, report.digests, strict=True):
            if digest not in seen:
                seen[digest] = (report, channel)
                continue
            first, first_channel = seen[digest]
            text = f"{channel} has the same content as {first_channel} of {first.case.name}"
            path = report.case.file_of(channel)
            if report.case.split == "unlabelled":
                findings.warning(text, "Predicting on a training scan tells nothing.", case=report.case.name, file=path)
            else:
                findings.error(text, "Take one of them away.", case=report.case.name, file=path)


def _shown(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
