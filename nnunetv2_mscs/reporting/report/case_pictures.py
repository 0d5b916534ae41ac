"""The pictures in the table of cases: a sheet and a thumbnail of each, small enough for one page of hundreds."""

import math
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.results import CaseFiles, CaseMetrics, Evaluation
from nnunetv2_mscs.reporting.evaluated_case import MasksChanged, read_evaluated
from nnunetv2_mscs.reporting.ignored import ignored_in
from nnunetv2_mscs.reporting.pictures import data_uri, small
from nnunetv2_mscs.reporting.report.content import CaseRow, Notice
from nnunetv2_mscs.reporting.sheet import draw_sheet, draw_thumbnail
from nnunetv2_mscs.workplace.parallel import run_parallel

THUMBNAIL_HEIGHT, THUMBNAIL_QUALITY = 104, 60
# A page of this size still passes as a mail of 20 MB.
PAGE_MB = 14.5
SMALLEST_SHEET_MB, LARGEST_SHEET_MB = 0.01, 0.15


class SheetSize(NamedTuple):
    """How large a sheet is in a page.

    `panel_height` is that of a slice in pixels; for `quality` see `small`; a sheet has at most `slices`.
    """

    panel_height: int
    quality: int
    slices: int = 5


# The largest first. At the smallest size, single voxels of a usual scan of 192 x 192 can still be distinguished.
SHEET_SIZES = (SheetSize(170, 40), SheetSize(150, 35), SheetSize(125, 32), SheetSize(100, 30))
# The size of all sheets is estimated from so many; they may turn out larger by this factor.
SAMPLED, MARGIN = 8, 1.05
# What a case lacks: nothing, its scan (not found, or not usable), or all pictures.
Lack = Literal["", "no scan", "scan refused", "masks changed", "masks unreadable"]
# The text and the remedy of the notice about each lack.
LACKS: dict[Lack, tuple[str, str]] = {
    "no scan": (
        "The scan is not shown: no image of the case was found.",
        "Name the folder of the scans with --images.",
    ),
    "scan refused": (
        "The scan is not shown: its images cannot be read, or do not fit the masks.",
        "Name the folder of the scans with --images.",
    ),
    "masks changed": ("No picture: the masks have changed since they were evaluated.", "Evaluate them again."),
    "masks unreadable": (
        "No picture: the masks could not be read again.",
        "Have they been moved since they were evaluated? Evaluate them again where they lie now.",
    ),
}


@dataclass(frozen=True)
class CasePictures:
    """The pictures of one case and label, as data URIs; empty if there is none.

    Args:
        sheet: the whole sheet.
        thumbnail: one slice.
        lack: what is missing, if anything.
        finding: why it is missing.
    """

    sheet: str = ""
    thumbnail: str = ""
    lack: Lack = ""
    finding: str = ""


# By model, case and label.
Pictures = Mapping[tuple[str, str, str], CasePictures]


@dataclass(frozen=True)
class PictureJob:
    """A case and label to draw; a message about a crashed worker names it by `name`."""

    name: str
    files: CaseFiles
    row: CaseMetrics
    model: str
    ignored: int | None
    name_label: bool

    @property
    def key(self) -> tuple[str, str, str]:
        return self.model, self.row["case"], self.row["label"]


def draw_pictures(
    evaluations: Sequence[Evaluation], cases: Sequence[str], *, twice: Sequence[str], megabytes: float, processes: int
) -> tuple[Pictures, int]:
    """Draw the sheets of the cases whose files are known; a case without pictures says why it has none.

    A case whose scan is missing or lies on another grid is drawn with its masks alone, and says why.

    Args:
        evaluations: the models.
        cases: the most important first.
        twice: those whose sheets the page shows at two places.
        megabytes: room for the pictures in the page; sheets become smaller to fit in, and if the smallest do not,
            further cases get none. Without a limit they are as small as those of a page of `PAGE_MB`.
        processes: how many to use.

    Returns:
        The pictures, and how many cases they show.
    """
    sheets_per_case = sum(len(one.labels) for one in evaluations)
    fitting = megabytes / (SMALLEST_SHEET_MB * sheets_per_case)
    most = max(int(fitting), 0) if math.isfinite(fitting) else sys.maxsize
    chosen = cases[:most]
    jobs = [job for one in evaluations for job in picture_jobs(one, set(chosen))]
    size = size_that_fits(jobs, min(megabytes, PAGE_MB))
    drawn = run_parallel(partial(draw_case, size=size), jobs, processes=processes, description="sheets")
    return _fitting({job.key: picture for job, picture in zip(jobs, drawn, strict=True)}, chosen, twice, megabytes)


def size_that_fits(jobs: Sequence[PictureJob], megabytes: float) -> SheetSize:
    """The largest size at which all pictures fit, judged by some of them; the smallest if they fit at none."""
    if len(jobs) * LARGEST_SHEET_MB <= megabytes:
        return SHEET_SIZES[0]
    step = max(len(jobs) // SAMPLED, 1)
    sample = jobs[::step][:SAMPLED]
    for size in SHEET_SIZES[:-1]:
        pictures = [draw_case(job, size) for job in sample]
        share = sum(len(one.sheet) + len(one.thumbnail) for one in pictures) / max(len(sample), 1)
        if MARGIN * share * len(jobs) / 1e6 <= megabytes:
            return size
    return SHEET_SIZES[-1]


def picture_jobs(evaluation: Evaluation, cases: Collection[str]) -> list[PictureJob]:
    """What to draw of some cases: of each label, where the files are known."""
    ignored, several = ignored_in(evaluation), len(evaluation.labels) > 1
    return [
        PictureJob(row["case"], evaluation.files[row["case"]], row, evaluation.model, ignored, several)
        for row in evaluation.rows()
        if row["case"] in cases and row["case"] in evaluation.files
    ]


def draw_case(job: PictureJob, size: SheetSize) -> CasePictures:
    """The sheet and the thumbnail of a case, or what it lacks."""
    try:
        case, finding = read_evaluated(job.files, job.row, job.model, ignored=job.ignored, name_label=job.name_label)
    except MscsError as error:
        changed = isinstance(error, MasksChanged)
        return CasePictures(lack="masks changed" if changed else "masks unreadable", finding=error.finding)
    lack: Lack = "" if not finding else "scan refused" if job.files.images else "no scan"
    sheet = draw_sheet(case, slices=size.slices, panel_height=size.panel_height).image
    thumbnail = draw_thumbnail(case, height=THUMBNAIL_HEIGHT)
    uris = (data_uri(*small(sheet, quality=size.quality)), data_uri(*small(thumbnail, quality=THUMBNAIL_QUALITY)))
    return CasePictures(*uris, lack, finding)


def _fitting(pictures: Pictures, cases: Sequence[str], twice: Sequence[str], megabytes: float) -> tuple[Pictures, int]:
    """The pictures of the first cases that fit, and how many cases these are."""
    size = dict.fromkeys(cases, 0.0)
    for (_, case, _), picture in pictures.items():
        size[case] += (len(picture.sheet) * (2 if case in twice else 1) + len(picture.thumbnail)) / 1e6
    room, kept = megabytes, 0
    for case in cases:
        room -= size[case]
        if room < 0:
            break
        kept += 1
    shown = set(cases[:kept])
    return {key: picture for key, picture in pictures.items() if key[1] in shown}, kept


def with_pictures(rows: Sequence[CaseRow], pictures: Pictures) -> tuple[CaseRow, ...]:
    """The rows with their pictures."""
    nothing = CasePictures()
    found = [pictures.get(row.key, nothing) for row in rows]
    return tuple(replace(row, thumbnail=f.thumbnail, sheet=f.sheet) for row, f in zip(rows, found, strict=True))


def notices_of_pictures(rows: Sequence[CaseRow], pictures: Pictures, *, cases: int, case_pages: bool) -> list[Notice]:
    """Notices about cases without picture or scan, with the reason.

    `cases` of them have pictures in the page; with `case_pages` every case has a page of its own.
    """
    notices = []
    for lack, (finding, remedy) in LACKS.items():
        without = [(case, drawn.finding) for (_, case, _), drawn in pictures.items() if drawn.lack == lack]
        if without:
            case, why = without[0]
            example = f" Such as {case}: {why}" if lack in ("scan refused", "masks unreadable") else ""
            notices.append(Notice("warning", finding + example, remedy, _once([case for case, _ in without])))
    every = _once([row.measured["case"] for row in rows])
    if cases < len(every):
        which = "has a picture" if cases == 1 else "have pictures: the worst, the best and the median one"
        finding = f"Of {len(every)} cases, only {cases} {which}."
        remedy = (
            "The pages of the cases, which the table links to, have all of them."
            if case_pages
            else "All of them: in pages of their own (--case-pages), or here whatever the size (--cases all)."
        )
        return [*notices, Notice("note", finding, remedy)]
    missing = _once([row.measured["case"] for row in rows if row.key not in pictures])
    if missing:
        finding = f"Masks of {len(missing)} case{'s' * (len(missing) > 1)} could not be read again for a picture."
        notices.append(Notice("warning", finding, LACKS["masks unreadable"][1], missing))
    return notices


def _once(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
