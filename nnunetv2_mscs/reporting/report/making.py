"""What `mscs report` does from start to end: read or evaluate the models, and write one page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.command import EvaluationRequest, read_models
from nnunetv2_mscs.evaluation.comparison import Comparison, compare, read_comparison
from nnunetv2_mscs.evaluation.results import Evaluation, is_comparison
from nnunetv2_mscs.evaluation.sources import find_images
from nnunetv2_mscs.evaluation.statistics import StatisticsSettings, settings_of, with_statistics
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON
from nnunetv2_mscs.nnunet_files.json_files import read_json_if_there
from nnunetv2_mscs.reporting.report.assembling import ReportRequest, assemble
from nnunetv2_mscs.reporting.report.case_pages import CASE_PAGES, case_pages_beside, with_links, write_case_pages
from nnunetv2_mscs.reporting.report.page import is_report, render
from nnunetv2_mscs.workplace.whole_files import write_whole


@dataclass(frozen=True)
class WrittenReport:
    """What the command prints about the page."""

    models: str
    cases: int
    pictures: int
    megabytes: float
    case_pages: int
    warnings: tuple[str, ...]


def make_report(out: Path, request: ReportRequest, *, overwrite: bool = False) -> WrittenReport:
    """Evaluate the models that are not evaluated yet, and write the page.

    Statistics that `mscs evaluate` has written are read. Those of other models are computed with the settings of the
    first, so that the numbers of one page agree.

    Raises:
        MscsError: the place is taken, masks cannot be evaluated, or models not compared.
    """
    check_place(out, overwrite=overwrite)
    if request.case_pages:
        CASE_PAGES.check(case_pages_beside(out), overwrite=overwrite)
    evaluations = read_models(
        EvaluationRequest(
            models=request.models,
            references=request.references,
            names=request.names,
            images=request.images,
            processes=request.processes,
        )
    )
    if request.images is not None:
        evaluations = [_with_images(one, request.images) for one in evaluations]
    settings = settings_of(evaluations[0]) or StatisticsSettings()
    evaluations = [with_statistics(one, settings) for one in evaluations]
    comparison = _comparison(evaluations, request, settings)
    written = write_report(evaluations, comparison, out, request, overwrite=overwrite)
    former = case_pages_beside(out)
    if request.case_pages or not former.is_dir():
        return written
    stale = f"{former} holds pages of a former report. Remove it, or write it again with --case-pages."
    return replace(written, warnings=(*written.warnings, stale))


def _comparison(
    evaluations: Sequence[Evaluation], request: ReportRequest, settings: StatisticsSettings
) -> Comparison | None:
    """The comparison of several models: the written one, if the models are those of one folder."""
    if len(evaluations) == 1:
        return None
    if len(request.models) == 1 and is_comparison(request.models[0]):
        return read_comparison(request.models[0]).renamed([one.model for one in evaluations])
    return compare(evaluations, seed=settings.seed, samples=settings.samples)


def write_report(
    evaluations: Sequence[Evaluation],
    comparison: Comparison | None,
    out: Path,
    request: ReportRequest,
    *,
    overwrite: bool = False,
) -> WrittenReport:
    """Write the page as a whole or not at all, and before it the pages of its cases if they are asked for.

    The evaluations are of the same cases and have their statistics; the first is the baseline.
    """
    content, pages = assemble(evaluations, comparison, request), 0
    if request.case_pages:
        content = with_links(content, case_pages_beside(out).name)
        pages = write_case_pages(out, content, evaluations, overwrite=overwrite, processes=request.processes)
    page = render(content).encode()
    write_whole(out, page)
    return WrittenReport(
        models=" and ".join(content.models),
        cases=len(evaluations[0].cases),
        pictures=len({row.measured["case"] for row in content.rows if row.sheet}),
        megabytes=len(page) / 1e6,
        case_pages=pages,
        warnings=tuple(notice.finding for notice in content.notices if notice.severity != "note"),
    )


def _with_images(evaluation: Evaluation, folder: Path) -> Evaluation:
    """The evaluation with its scans looked for in another folder."""
    dataset = read_json_if_there(folder / DATASET_JSON) or read_json_if_there(folder.parent / DATASET_JSON)
    channels = dataset.get("channel_names", {})
    files = {case: replace(one, images=find_images(folder, case, channels)) for case, one in evaluation.files.items()}
    return replace(evaluation, files=files)


def check_place(out: Path, *, overwrite: bool) -> None:
    """Raise MscsError unless `out` is free, or a former report to replace."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise MscsError(f"{out} does not end in .html.", "Name the page, such as report.html.")
    if not out.parent.is_dir():
        raise MscsError(f"The folder {out.parent} does not exist.", "Make it, or choose another one.")
    if not out.exists():
        return
    if out.is_dir() or not is_report(out):
        raise MscsError(f"{out} is there and is not a report of mscs.", "Choose another name.")
    if not overwrite:
        raise MscsError(f"{out} is there already.", "Choose another name, or replace it with --overwrite.")
