"""Compare the cases with each other, for faults that no case shows by itself."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from nnunetv2_mscs.dataset_conversion.checking import CaseReport
from nnunetv2_mscs.scans.channels import COMBINED, swapped
from nnunetv2_mscs.scans.findings import Findings, shown
from nnunetv2_mscs.scans.units import SCALED

SWAPPED_SHARE = 2 / 3
MOST_TIMES_THE_USUAL = 4.0


def check_together(reports: Sequence[CaseReport], findings: Findings) -> None:
    """Find what only all cases together show: other channels or orders, units, labels, and scans that occur twice."""
    readable = [report for report in reports if report.channels]
    _check_channels(readable, findings)
    _check_order(readable, findings)
    _check_units(readable, findings)
    _check_extents(readable, findings)
    _check_labels([report for report in readable if report.volume_ml is not None], findings)
    _check_lesions(reports, findings)
    _check_copies(readable, findings)
    _check_mask_copies(readable, findings)


def _check_channels(reports: Sequence[CaseReport], findings: Findings) -> None:
    """Compare the channels of combined files; `settle_channels` has compared cases with one file per channel."""
    if not any(COMBINED in report.case.images for report in reports):
        return
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for report in reports:
        groups[report.channels].append(report.case.name)
    if len(groups) > 1:
        found = "; ".join(f"{', '.join(channels)} in {shown(names)}" for channels, names in groups.items())
        findings.error(f"cases differ in their channels: {found}", "Every case needs the same channels.")


def _check_order(reports: Sequence[CaseReport], findings: Findings) -> None:
    """Check that lesions look acute; if most look like the opposite, ADC and DWI may be swapped."""
    for assumed in (True, False):
        judged = [report for report in reports if report.contrast and report.order_assumed == assumed]
        odd = [report for report in judged if report.contrast and report.contrast.looks_swapped]
        if not odd or (assumed and len(odd) < SWAPPED_SHARE * len(judged)):  # one order is assumed for all cases
            continue
        finding = (
            f"ADC and DWI look swapped: in {len(odd)} of {len(judged)} cases the lesion is brighter than the rest of "
            f"the head in the ADC and darker in the DWI ({shown([report.case.name for report in odd])})"
        )
        if assumed:
            this, other = " ".join(odd[0].channels), " ".join(swapped(odd[0].channels))
            findings.error(finding, f"Give --channels {other} if the order is so, or --channels {this} to insist.")
        else:
            findings.warning(finding, "Look whether names and content agree; old lesions may look so.")


def _check_units(reports: Sequence[CaseReport], findings: Findings) -> None:
    scaled = [report.case.name for report in reports if report.adc_unit == SCALED]
    physical = [report.case.name for report in reports if report.adc_unit not in (SCALED, None)]
    if scaled and physical:
        findings.error(
            f"ADC is min-max scaled in {shown(scaled)} but in physical units in {shown(physical)}",
            "Use the unscaled maps of all cases, or convert the two kinds into two datasets.",
        )


def _check_extents(reports: Sequence[CaseReport], findings: Findings) -> None:
    """Warn of scans that are many times smaller or larger than most: a header in cm looks like a tiny head in mm."""
    extents = [np.sort(np.multiply(report.grid.size, report.grid.spacing)) for report in reports if report.grid]
    if len(extents) < len(reports) or not extents:
        return
    usual = np.median(extents, axis=0)
    for report, extent in zip(reports, extents, strict=True):
        if not 1 / MOST_TIMES_THE_USUAL < np.median(extent / usual) < MOST_TIMES_THE_USUAL:
            found, expected = (" x ".join(f"{length:.0f}" for length in one) for one in (extent, usual))
            findings.warning(
                f"is {found} mm large, most cases {expected} mm: is its header in mm?",
                "Correct its voxel size, if the heads are of one size.",
                case=report.case.name,
            )


def _check_labels(reports: Sequence[CaseReport], findings: Findings) -> None:
    cases_of: dict[int, list[str]] = defaultdict(list)
    for report in reports:
        for value in report.labels:
            cases_of[value].append(report.case.name)
    values = sorted(cases_of)
    if values and values != list(range(len(values))):
        odd = "; ".join(f"{value} in {shown(cases_of[value])}" for value in values[1:])
        findings.error(
            f"unknown label values: the masks hold {', '.join(map(str, values))}, a gap in 0, 1, 2, ... ({odd})",
            "Use 0 for background and 1 for lesion (or 0 and 255).",
        )
    elif len(values) > 2:
        more = "; ".join(f"{value} in {shown(cases_of[value], 3)}" for value in values[2:])
        findings.warning(
            f"the masks hold labels 0 to {values[-1]}: taken as {values[-1]} kinds of lesion ({more})",
            "If they only number the pieces, set all of them to 1.",
        )


def _check_lesions(reports: Sequence[CaseReport], findings: Findings) -> None:
    """Warn when no training case has a lesion; cases that could not be read may have one."""
    trained = [report for report in reports if report.case.split in ("train", "val")]
    if trained and all(report.volume_ml == 0 for report in trained):
        findings.warning("every training mask is empty", "A network cannot learn from them; check the masks.")


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
                findings.warning(
                    text,
                    "Predicting a training scan does not show how good a model is.",
                    case=report.case.name,
                    file=path,
                )
            else:
                findings.error(text, "Take one of them away.", case=report.case.name, file=path)


def _check_mask_copies(reports: Sequence[CaseReport], findings: Findings) -> None:
    """Warn if scans of two patients have the same mask; two scans of one patient may share one."""
    seen: dict[str, CaseReport] = {}
    for report in reports:
        if not report.mask_digest or report.case.mask is None:
            continue
        first = seen.setdefault(report.mask_digest, report)
        if first.case.patient == report.case.patient:
            continue
        findings.warning(
            f"mask has the same content as that of {first.case.name}",
            "Two patients do not have the same lesion: check that each case has its own mask.",
            case=report.case.name,
            file=report.case.mask,
        )
