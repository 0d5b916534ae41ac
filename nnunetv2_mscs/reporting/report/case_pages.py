"""A page of its own for each case of a report: sheet, volumes, metrics and warnings, in one file to pass on."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

from nnunetv2_mscs.evaluation.catalogue import METRICS
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.reporting.report.case_pictures import CasePictures, PictureJob, SheetSize, draw_case, picture_jobs
from nnunetv2_mscs.reporting.report.content import CaseRow, Notice, PageTable, ReportContent, shown
from nnunetv2_mscs.reporting.report.page import GENERATOR, SEVERITIES, alternative_text, is_report
from nnunetv2_mscs.reporting.templates import fill_template
from nnunetv2_mscs.workplace.parallel import run_parallel
from nnunetv2_mscs.workplace.result_folder import ResultFolder
from nnunetv2_mscs.workplace.whole_files import write_whole

TEMPLATE = "case.html.j2"
NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._+-]")
LONGEST_NAME = 150
FULL_SHEET = SheetSize(panel_height=250, quality=55, slices=6)
KEY_COLUMNS = ("dice", "volume_reference_ml", "volume_prediction_ml", "volume_difference_ml", "hd95_mm", "f1_isles22")


def _refusal(folder: Path) -> str:
    """Why a folder must not be replaced; empty if every file in it is a page that `mscs report` wrote."""
    foreign = [path for path in folder.iterdir() if not (path.is_file() and is_report(path))]
    return f"holds {min(foreign).name}, which mscs report did not write" if foreign else ""


CASE_PAGES = ResultFolder(kind="the case pages of a report", marks=(), prefix=".mscs-report-", refusal=_refusal)


def case_pages_beside(report: Path) -> Path:
    """The folder of the case pages of a report."""
    return report.with_name(f"{report.stem}_files")


@dataclass(frozen=True)
class CasePage:
    """What the page of a case shows.

    Args:
        name: the case.
        file: the name of the page.
        rows: the case's rows of the report, one per model and label.
        jobs: its sheets to draw.
        notices: the warnings that name it.
        report: title and file name of the report.
        before: file name of the page of the case above in the report; empty for the first.
        after: likewise below.
    """

    name: str
    file: str
    rows: tuple[CaseRow, ...]
    jobs: tuple[PictureJob, ...]
    notices: tuple[Notice, ...]
    report: tuple[str, str]
    before: str = ""
    after: str = ""


def with_links(content: ReportContent, folder: str) -> ReportContent:
    """The content with the address of each case's page in a folder beside the report."""
    files = page_files([row.measured["case"] for row in content.rows])
    rows = (replace(row, page=quote(f"{folder}/{files[row.measured['case']]}")) for row in content.rows)
    return replace(content, rows=tuple(rows))


def page_files(cases: Sequence[str]) -> dict[str, str]:
    """A file name for the page of each case: its own where every system and address can hold it."""
    files: dict[str, str] = {}
    taken: set[str] = set()
    for case in dict.fromkeys(cases):
        name = clean = NOT_IN_A_NAME.sub("_", case)[:LONGEST_NAME].lstrip(".") or "case"
        number = 2
        while name.lower() in taken:
            name, number = f"{clean}_{number}", number + 1
        taken.add(name.lower())
        files[case] = f"{name}.html"
    return files


def write_case_pages(
    report: Path, content: ReportContent, evaluations: Sequence[Evaluation], *, overwrite: bool, processes: int
) -> int:
    """Write the page of every case into the folder beside the report, as a whole or not at all.

    Returns:
        The number of pages.

    Raises:
        MscsError: the place is taken by something else, or cannot be written.
    """
    pages = _pages(content, evaluations, report.name)
    with CASE_PAGES.staged(case_pages_beside(report), overwrite=overwrite) as folder:
        run_parallel(partial(_write, folder=folder), pages, processes=processes, description="case pages")
    return len(pages)


def _pages(content: ReportContent, evaluations: Sequence[Evaluation], report: str) -> list[CasePage]:
    rows: dict[str, list[CaseRow]] = {}
    for row in content.rows:
        rows.setdefault(row.measured["case"], []).append(replace(row, sheet="", thumbnail=""))
    jobs: dict[str, list[PictureJob]] = {}
    for job in (job for one in evaluations for job in picture_jobs(one, rows)):
        jobs.setdefault(job.name, []).append(job)
    files = page_files(list(rows))
    order = ["", *files.values(), ""]
    return [
        CasePage(
            case,
            files[case],
            tuple(of_case),
            tuple(jobs.get(case, ())),
            tuple(notice for notice in content.notices if _concerns(notice, case)),
            (content.title, report),
            before=order[place],
            after=order[place + 2],
        )
        for place, (case, of_case) in enumerate(rows.items())
    ]


def _concerns(notice: Notice, case: str) -> bool:
    return case in notice.cases or notice.finding.startswith(f"{case}: ")


def _write(page: CasePage, folder: Path) -> None:
    pictures = {job.key: draw_case(job, FULL_SHEET) for job in page.jobs}
    write_whole(folder / page.file, _render(page, pictures))


def _render(page: CasePage, pictures: Mapping[tuple[str, str, str], CasePictures]) -> str:
    sheets = [(row, pictures.get(row.key, CasePictures(finding="No picture."))) for row in page.rows]
    return fill_template(
        TEMPLATE,
        generator=GENERATOR,
        page=page,
        sheets=sheets,
        several_models=len({row.model for row in page.rows}) > 1,
        several_labels=len({row.measured["label"] for row in page.rows}) > 1,
        key_columns=[METRICS[column] for column in KEY_COLUMNS],
        table=_table(page),
        severities=SEVERITIES,
        shown=shown,
        alt=alternative_text,
    )


def _table(page: CasePage) -> PageTable:
    """Every metric, one column per model and label."""
    columns = tuple(f"{row.model}, {row.measured['label_name']}" for row in page.rows)
    rows = (
        (metric.title, *(shown(row.measured[column], column) for row in page.rows))
        for column, metric in METRICS.items()
    )
    return PageTable("Every metric", ("Metric", *columns), tuple(rows))
