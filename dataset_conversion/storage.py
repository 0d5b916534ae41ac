"""Store all cases of a data set along the same axes: nnU-Net goes by the order of the voxels, not by their place."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from nnunetv2_mscs.dataset_conversion.checking import CaseReport
from nnunetv2_mscs.scans.alignment import along
from nnunetv2_mscs.scans.findings import Findings


def settle_axes(reports: Sequence[CaseReport], findings: Findings) -> tuple[str, list[CaseReport]]:
    """The axes along which most labelled cases are stored, and all reports with the others turned to them.

    Scans without masks stay as they are stored, so that predicted masks lie on the grid that the user has; the data
    set's reader turns them as nnU-Net reads them.

    Args:
        reports: of all cases, none with an error.
        findings: grows by a note for each case that is turned.
    """
    axes_of = {
        report.case.name: report.grid.axes for report in reports if report.grid and report.case.split != "unlabelled"
    }
    (axes, _), *_ = Counter(axes_of.values()).most_common(1)
    settled = []
    for report in reports:
        if report.grid and axes_of.get(report.case.name, axes) != axes:
            findings.note(
                f"stored along the axes {report.grid.axes}, most cases along {axes}: turned to {axes}",
                case=report.case.name,
            )
            report = replace(report, grid=along(axes, report.grid), turned_from=report.grid)
        settled.append(report)
    return axes, settled
