"""What `mscs show` does from start to end: find the cases, choose among them, draw a sheet of each."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.results import CaseFiles
from nnunetv2_mscs.reporting.evaluated_case import read_evaluated
from nnunetv2_mscs.reporting.panels import SheetCase
from nnunetv2_mscs.reporting.pictures import png
from nnunetv2_mscs.reporting.preprocessed import read_preprocessed_case
from nnunetv2_mscs.reporting.sheet import PANEL_HEIGHT, SLICES, draw_sheet
from nnunetv2_mscs.reporting.sheet_case import read_sheet_case
from nnunetv2_mscs.reporting.show_sources import CaseToShow, cases_of_files, cases_of_folder, data_set, with_masks
from nnunetv2_mscs.scans.channels import ReadingRules
from nnunetv2_mscs.scans.findings import Finding, ScanError
from nnunetv2_mscs.workplace.parallel import run_parallel
from nnunetv2_mscs.workplace.whole_files import DISK_FULL, write_whole


@dataclass(frozen=True)
class ShowRequest:
    """What to show, and how.

    Args:
        words: files and folders; or case identifiers if `source` is given, none for all.
        source: a data set's number, or a folder of cases.
        truth: a mask or a folder of masks.
        prediction: likewise.
        labels: values to show as the mask; none for all above 0.
        random: how many cases to choose; None for all.
        seed: of the choice.
        slices: on a sheet at most.
        panel_height: of a slice in pixels.
        smooth: interpolate the images.
        spacing: voxel size x, y, z in mm of array files.
        processes: how many to use.
    """

    words: tuple[str, ...] = ()
    source: str | None = None
    truth: Path | None = None
    prediction: Path | None = None
    labels: tuple[int, ...] = ()
    random: int | None = None
    seed: int = 0
    slices: int = SLICES
    panel_height: int = PANEL_HEIGHT
    smooth: bool = True
    spacing: tuple[float, ...] | None = None
    processes: int = 1


@dataclass(frozen=True)
class Shown:
    """The result of `show`.

    Args:
        files: the sheets, in the cases' order.
        findings: an error for each case that could not be drawn.
        left_out: cases without a mask where masks were given.
    """

    files: tuple[Path, ...]
    findings: tuple[Finding, ...]
    left_out: tuple[str, ...]


def show(request: ShowRequest, out: Path, *, overwrite: bool = False) -> Shown:
    """Draw a sheet `out`/<case>.png of each case asked for.

    Raises:
        MscsError: cases or masks are not found, or a sheet is there already.
    """
    cases, left_out = find_cases(request)
    targets = [out / f"{case.name}.png" for case in cases]
    there = [str(target) for target in targets if target.exists()]
    if there and not overwrite:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise MscsError(f"{there[0]}{more} is there already.", "Choose another folder, or replace with --overwrite.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MscsError(f"{out} cannot be made: {error.strerror}.", DISK_FULL) from error
    work = partial(_draw, request, out)
    found = run_parallel(work, cases, processes=request.processes, description="sheets")
    files = tuple(target for target, finding in zip(targets, found, strict=True) if finding is None)
    return Shown(files, tuple(finding for finding in found if finding is not None), tuple(left_out))


def find_cases(request: ShowRequest) -> tuple[list[CaseToShow], list[str]]:
    """The cases asked for with their masks, and the names of those left out because masks are missing.

    Raises:
        MscsError: something named is not there, two cases have one name, or there are fewer than --random asks for.
    """
    cases = _of_source(request) if request.source is not None else _of_paths(request.words)
    names = [case.name for case in cases]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise MscsError(f"{twice[0]} is the name of several cases.", "Show them one after the other.")
    left_out: list[str] = []
    named = bool(request.words) and (request.source is not None or not all(Path(w).is_dir() for w in request.words))
    for role, place in (("truth", request.truth), ("prediction", request.prediction)):
        if place is not None:
            cases, without = with_masks(cases, place, role, named=named)
            left_out += without
    if request.random is None:
        return cases, left_out
    if request.random > len(cases):
        raise MscsError(f"There are {len(cases)} cases, not {request.random}.", "Ask for fewer with --random.")
    by_name = sorted(cases, key=lambda case: case.name)
    chosen = random.Random(request.seed).sample(range(len(by_name)), request.random)
    return [by_name[i] for i in sorted(chosen)], left_out


def _of_source(request: ShowRequest) -> list[CaseToShow]:
    cases = cases_of_folder(data_set(str(request.source)))
    if not request.words:
        return cases
    by_name = {case.name: case for case in cases}
    if unknown := [word for word in request.words if word not in by_name]:
        some = ", ".join(sorted(by_name)[:3])
        raise MscsError(
            f"{request.source} has no case {', '.join(unknown)}.", f"It has {len(by_name)}, such as {some}."
        )
    return [by_name[word] for word in dict.fromkeys(request.words)]


def _of_paths(words: Sequence[str]) -> list[CaseToShow]:
    if missing := [word for word in words if not Path(word).exists()]:
        remedy = "If it is a case identifier, say of which data with --in."
        if missing[0].isdecimal():
            remedy = f"To show a data set by its number: mscs show --in {missing[0]}"
        raise MscsError(f"{missing[0]} is neither a file nor a folder.", remedy)
    places = [Path(word) for word in words]
    cases = [case for place in places if place.is_dir() for case in cases_of_folder(place)]
    return cases + cases_of_files([place for place in places if not place.is_dir()])


def _draw(request: ShowRequest, out: Path, case: CaseToShow) -> Finding | None:
    """Write the sheet of one case; a finding if that fails."""
    try:
        read = _read(case, request)
    except MscsError as error:
        file = error.file if isinstance(error, ScanError) else ""
        return Finding("error", error.finding, error.remedy, file, case.name)
    sheet = draw_sheet(read, slices=request.slices, panel_height=request.panel_height, smooth=request.smooth)
    write_whole(out / f"{case.name}.png", png(sheet.image))
    return None


def _read(case: CaseToShow, request: ShowRequest) -> SheetCase:
    if case.preprocessed is not None:
        return read_preprocessed_case(case.preprocessed, case.name)
    if case.measured and case.truth and case.prediction and not request.labels:
        return read_evaluated(
            CaseFiles(case.prediction, case.truth, dict(case.images)),
            case.measured,
            case.model,
            ignored=case.ignored,
            # Sheets of one of several labels are named after case and label.
            name_label=case.name != case.measured["case"],
            check=True,
        )[0]
    read = read_sheet_case(
        case.name,
        case.images,
        truth=case.truth,
        prediction=case.prediction,
        values=request.labels or None,
        ignored=case.ignored,
        rules=ReadingRules(spacing=request.spacing),
    )
    label = f"label {'+'.join(map(str, request.labels))}" if request.labels else ""
    return replace(read, name=", ".join(part for part in (case.name, case.model, label) if part))
