"""The whole way from a source folder to nnU-Net's raw dataset: find, read and check, split, put together."""

import errno
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.cases import Case, with_clean_names, with_patients
from nnunetv2_mscs.dataset_conversion.checking import (
    CaseReport,
    check_cases,
    check_spacing,
    settle_channels,
)
from nnunetv2_mscs.dataset_conversion.comparing import check_together
from nnunetv2_mscs.dataset_conversion.destination import (
    Destination,
    check_apart,
    find_destination,
    raw_folder,
)
from nnunetv2_mscs.dataset_conversion.folders import Folder
from nnunetv2_mscs.dataset_conversion.former_data import warn_of_former_data
from nnunetv2_mscs.dataset_conversion.kept_scans import KeptScans
from nnunetv2_mscs.dataset_conversion.layouts import (
    check_source,
    check_unlabelled,
    find_labelled_cases,
    layout_of,
)
from nnunetv2_mscs.dataset_conversion.options import ConversionOptions
from nnunetv2_mscs.dataset_conversion.roles import settle_folds, settle_roles, warn_of_leaks
from nnunetv2_mscs.dataset_conversion.staging import PREFIX, staged
from nnunetv2_mscs.dataset_conversion.storage import settle_axes
from nnunetv2_mscs.dataset_conversion.unlabelled import find_unlabelled
from nnunetv2_mscs.dataset_conversion.writer import DatasetFacts, write_dataset
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import Folds
from nnunetv2_mscs.scans.channels import ADC, COMBINED, DWI, ReadingRules, channel_order
from nnunetv2_mscs.scans.dicom_headers import check_can_read
from nnunetv2_mscs.scans.findings import Finding, Findings
from nnunetv2_mscs.scans.formats import unread_files
from nnunetv2_mscs.workplace.hidden_places import clear_leftovers
from nnunetv2_mscs.workplace.whole_files import DISK_FULL

# Errors without a file's name that come of writing; reading has its own way to say what failed.
OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True, kw_only=True)
class ConversionRequest(ConversionOptions):
    """What the user asks for; see `mscs convert --help`."""

    source: Path
    dataset_id: int
    name: str
    overwrite: bool = False
    processes: int = 1

    @property
    def rules(self) -> ReadingRules:
        return ReadingRules(self.spacing, self.resample, self.channels, self.allow_large_masks)

    @property
    def roots(self) -> list[Path]:
        return [self.source, *([self.unlabelled] if self.unlabelled else [])]


@dataclass(frozen=True)
class Conversion:
    """A dataset that was written.

    Args:
        destination: where it stands.
        layout: the layout it was read from.
        reports: of all cases, in order.
        role_of: "train", "test" or "unlabelled" for each case name.
        folds: nnU-Net's splits.
        findings: warnings and notes.
        needs_clean: nnU-Net holds data of a former dataset of this name, which it would take for this one's.
    """

    destination: Destination
    layout: str
    reports: Sequence[CaseReport]
    role_of: dict[str, str]
    folds: Folds
    findings: Sequence[Finding]
    needs_clean: bool


class SourceRefused(MscsError):
    """The source has errors, all of them in `findings`; nothing was written."""

    def __init__(self, findings: Sequence[Finding]):
        errors = [item for item in findings if item.severity == "error"]
        cases = {item.case for item in errors if item.case}
        what = f"{len(errors)} error{'s' * (len(errors) > 1)}"
        where = f" in {len(cases)} case{'s' * (len(cases) > 1)}" if cases else ""
        super().__init__(f"{what}{where}; nothing was written.", "Mend what the table lists and run the command again.")
        self.findings = findings


def convert(request: ConversionRequest) -> Conversion:
    """Convert a source folder into a dataset of nnU-Net's raw format.

    Raises:
        SourceRefused: with all findings.
        MscsError: anything else that the user can mend. In either case nothing is written.
    """
    with _listing():
        check_source(request.source)
    if request.unlabelled:
        check_unlabelled(request.unlabelled)
    raw = raw_folder()
    clear_leftovers(raw, PREFIX)
    destination = find_destination(
        raw, request.dataset_id, request.name, overwrite=request.overwrite, sources=request.roots
    )
    findings = Findings()
    with _listing():
        layout, cases = _find_labelled(request, findings)
    check_apart(destination, _files(cases))
    _check_dicom(cases)
    with _writing(raw), staged(destination, overwrite=request.overwrite) as folder:
        kept = KeptScans.beside(folder)
        if findings.errors:
            kept.give_up()
        reports = _read(request, destination, cases, kept, findings)
        axes, reports = settle_axes(reports, findings)
        role_of = settle_roles(reports, request.test_fraction, request.seed)
        warn_of_leaks(reports, role_of, findings)
        folds = settle_folds(reports, role_of, request.seed, findings)
        needs_clean = warn_of_former_data(destination.name, folds, findings)
        facts = DatasetFacts(
            destination.name, str(request.source), layout, request.rules, axes, str(request.unlabelled or "")
        )
        write_dataset(folder, reports, role_of, folds, facts, request.roots, kept, processes=request.processes)
    return Conversion(destination, layout, reports, role_of, folds, findings.items, needs_clean)


def _read(
    request: ConversionRequest,
    destination: Destination,
    cases: Sequence[Case],
    kept: KeptScans,
    findings: Findings,
) -> list[CaseReport]:
    """Reports of all cases, labelled or not, none with an error.

    Raises:
        SourceRefused: with all findings.
    """
    reports = check_cases(cases, request.rules, kept, processes=request.processes)
    if request.unlabelled:
        new = _find_unlabelled(request.unlabelled, _channels(request, reports), reports, findings)
        check_apart(destination, _files(new))
        _check_dicom(new)
        if findings.errors:
            kept.give_up()
        reports += check_cases(new, request.rules, kept, processes=request.processes)
    check_spacing([report.case for report in reports], request.spacing, findings)
    for report in reports:
        findings.items += report.findings
    check_together(reports, findings)
    if findings.errors:
        raise SourceRefused(findings.items)
    if not_kept := [report.not_kept for report in reports if report.not_kept]:
        raise MscsError(not_kept[0], DISK_FULL)
    return reports


@contextmanager
def _listing() -> Iterator[None]:
    """Turn a folder that cannot be listed into the user's error."""
    try:
        yield
    except OSError as error:
        raise MscsError(f"{error.filename} cannot be listed: {error.strerror}.", "Check its permissions.") from error


@contextmanager
def _writing(raw: Path) -> Iterator[None]:
    """Turn a folder or file in nnUNet_raw that cannot be written into the user's error."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        is_ours = Path(error.filename).is_relative_to(raw) if error.filename else error.errno in OF_WRITING
        if not is_ours:
            raise
        what = Path(error.filename).name if error.filename else "The dataset"
        raise MscsError(f"{what} could not be written: {error.strerror or error}.", DISK_FULL) from error


def _check_dicom(cases: Sequence[Case]) -> None:
    """Raise MscsError if there are DICOM studies and nothing that reads them."""
    if any(case.is_dicom for case in cases):
        check_can_read()


def _files(cases: Sequence[Case]) -> Iterator[Path]:
    for case in cases:
        yield from case.images.values()
        if case.mask is not None:
            yield case.mask


def _find_labelled(request: ConversionRequest, findings: Findings) -> tuple[str, list[Case]]:
    """The layout's name and all cases with masks; complaints go to the findings."""
    given = Folder(request.source, left_out=request.unlabelled)
    layout, source = layout_of(given, request.layout)
    if source != given:
        findings.note(f"the scans lie in its folder {source.name}", file=source.path)
        given.note_others([Folder(path) for path in (source.path, *source.path.parents)], findings)
    discovery = with_clean_names(find_labelled_cases(layout, source, request.channels, request.derivative))
    findings.items += discovery.findings.items
    pattern = re.compile(request.patient_pattern) if request.patient_pattern else None
    cases = with_patients(discovery.cases, pattern, findings)
    cases = settle_channels(cases, request.channels, findings)
    if not cases and not findings.errors:
        none = f"no case found in the layout {layout.name}: {layout.description}"
        findings.error(none, unread_files(source.path), file=source.path)
    if request.test_fraction and any(case.split == "test" for case in cases):
        findings.error("--test-fraction is given, but the source has a test folder", "Drop --test-fraction.")
    if request.test_fraction and len({case.patient for case in cases}) == 1:
        findings.error("--test-fraction needs two patients or more; there is one", "Drop --test-fraction.")
    return layout.name, cases


def _channels(request: ConversionRequest, reports: Sequence[CaseReport]) -> tuple[str, ...]:
    """The dataset's channels: as read, or, if no case could be read, as far as options and file names say."""
    named = [channel for report in reports for channel in report.case.images if channel != COMBINED]
    read = [report.channels for report in reports if report.channels]
    return read[0] if read else request.channels or tuple(channel_order(list(dict.fromkeys(named)))) or (ADC, DWI)


def _find_unlabelled(
    folder: Path, channels: Sequence[str], reports: Sequence[CaseReport], findings: Findings
) -> list[Case]:
    """The scans without masks; complaints go to the findings."""
    with _listing():
        found = with_clean_names(find_unlabelled(folder, channels, dicom=True))
    taken = {report.case.name.lower() for report in reports}
    for case in found.cases:
        if case.name.lower() in taken:
            found.findings.error("a scan with a mask has the same name", "Rename one of them.", case=case.name)
    findings.items += found.findings.items
    return [replace(case, patient=case.name) for case in found.cases]
