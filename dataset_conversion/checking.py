"""Check every case, by its files and by its names, and keep what was read of it for the data set."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from nnunetv2_mscs.dataset_conversion.cases import Case
from nnunetv2_mscs.dataset_conversion.dicom_studies import load_case
from nnunetv2_mscs.dataset_conversion.kept_scans import KeptScans
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.scans.channels import ADC, COMBINED, DWI, ReadingRules, channel_order
from nnunetv2_mscs.scans.contrast import Contrast, lesion_contrast
from nnunetv2_mscs.scans.findings import Finding, Findings, shown
from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.lesions import count_pieces, lesion_volume_ml
from nnunetv2_mscs.scans.scan import Scan
from nnunetv2_mscs.workplace.parallel import run_parallel

UPRIGHT = "LPS"


@dataclass(frozen=True)
class CaseReport:
    """The result of reading and checking a case.

    Args:
        case: the case.
        findings: of this case alone.
        channels: the channels' names in nnU-Net's order; empty if the case has errors.
        grid: where its voxels lie in the data set.
        turned_from: where they lie in the source, if the data set stores them along other axes.
        adc_unit: the unit its ADC is stored in, None without ADC.
        labels: the label values of its mask.
        volume_ml: lesion volume, None without a mask.
        pieces: connected pieces of lesion, None without a mask.
        digests: a hash of each channel's voxels, the same however they are stored.
        mask_digest: a hash of its mask's voxels, likewise; empty without a lesion.
        contrast: how its lesion stands out in ADC and DWI, None without both or without a lesion large enough.
        not_kept: why its scan could not be written, if that is so.
        order_assumed: neither the user nor the files say which channel is which.
    """

    case: Case
    findings: tuple[Finding, ...] = ()
    channels: tuple[str, ...] = ()
    grid: Grid | None = None
    turned_from: Grid | None = None
    adc_unit: str | None = None
    labels: tuple[int, ...] = ()
    volume_ml: float | None = None
    pieces: int | None = None
    digests: tuple[str, ...] = ()
    mask_digest: str = ""
    contrast: Contrast | None = None
    not_kept: str = ""
    order_assumed: bool = False

    @property
    def name(self) -> str:
        return self.case.name

    @property
    def warnings(self) -> list[str]:
        return [item.finding for item in self.findings if item.severity == "warning"]


def check_case(case: Case, rules: ReadingRules, kept: KeptScans) -> CaseReport:
    """Read and harmonise one case, report on it, and keep it."""
    scan, items = load_case(case, rules)
    findings = tuple(replace(item, case=case.name) for item in items)
    if scan is None:
        kept.give_up()
        return CaseReport(case, findings)
    not_kept = _keep(case.name, scan, kept)
    upright = scan.turned_to(UPRIGHT)
    report = CaseReport(
        case=case,
        findings=findings,
        channels=tuple(scan.channels),
        grid=scan.grid,
        adc_unit=scan.adc_unit,
        digests=tuple(_digest(channel) for channel in upright.channels.values()),
        not_kept=not_kept,
        order_assumed=scan.order_assumed,
    )
    if scan.labels is None or upright.labels is None:
        return report
    return replace(
        report,
        labels=(0, *np.unique(scan.labels[scan.labels > 0]).tolist()),
        volume_ml=lesion_volume_ml(scan.labels, scan.grid.voxel_volume_ml),
        pieces=count_pieces(scan.labels),
        mask_digest=_digest(upright.labels) if scan.labels.any() else "",
        contrast=_contrast(scan, scan.labels),
    )


def _keep(case: str, scan: Scan, kept: KeptScans) -> str:
    """Keep a scan; why that failed, or "". All cases are still checked: the source's errors count more."""
    try:
        kept.put(case, scan)
    except MscsError as error:
        kept.give_up()
        return error.finding
    return ""


def _contrast(scan: Scan, labels: np.ndarray) -> Contrast | None:
    if not {ADC, DWI} <= scan.channels.keys():
        return None
    return lesion_contrast(scan.channels[ADC], scan.channels[DWI], labels)


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def check_cases(cases: Sequence[Case], rules: ReadingRules, kept: KeptScans, *, processes: int) -> list[CaseReport]:
    """Reports of all cases, in their order; from the first error on no more scans are kept."""
    work = partial(check_case, rules=rules, kept=kept)
    return run_parallel(work, cases, processes=processes, description="reading")


def settle_channels(cases: Sequence[Case], wanted: Sequence[str], findings: Findings) -> list[Case]:
    """Check that cases with one file per channel have the same channels, as far as file names say.

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
                findings.note(f"ignored: --channels does not name {channel}", case=case.name, file=path)
        kept = {channel: path for channel, path in case.images.items() if channel in needed}
        if kept:
            settled.append(replace(case, images=kept))
    return settled


def check_spacing(cases: Sequence[Case], spacing: tuple[float, ...] | None, findings: Findings) -> None:
    """--spacing must be given if, and only if, there are cases whose images carry no voxel size."""
    bare = [case.name for case in cases if not case.has_geometry]
    if bare and spacing is None:
        findings.error(
            f"{len(bare)} case(s) are arrays (.npy, .npz), which carry no voxel size: {shown(bare)}",
            "Give --spacing X Y Z in mm.",
        )
    if cases and not bare and spacing is not None:
        findings.error("--spacing is given, but all files carry their own voxel size", "Drop --spacing.")
