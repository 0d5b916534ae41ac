"""What `mscs report` does from one end to the other: models read or evaluated, and one page written."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.agreement import THRESHOLD_ML
from nnunetv2_mscs.evaluation.results import SUMMARY, compared_folders, is_comparison, is_evaluation
from nnunetv2_mscs.nnunet_files.json_files import read_json_if_there
from nnunetv2_mscs.reporting.evaluation_folder import Request as EvaluationRequest
from nnunetv2_mscs.reporting.evaluation_folder import read_models
from nnunetv2_mscs.reporting.report.assembling import PAGE_MB, Options, Written, write_report
from nnunetv2_mscs.reporting.report.page import is_report
from nnunetv2_mscs.reporting.report.rows import with_images


@dataclass(frozen=True)
class Request:
    """What `mscs report` is asked for.

    Args:
        models: model folders, evaluations, comparisons or predictions; the first is the baseline.
        names: of the models; by default their own.
        references: the truth of those that are not evaluated yet; None to find those of nnU-Net's data set.
        images: the folder with the scans; None for where they were found before.
        title: see `Options`.
        cases: see `Options`.
        any_size: whatever the size of the page.
        processes: see `Options`.
        command: see `Options`.
    """

    models: tuple[Path, ...]
    names: tuple[str, ...] = ()
    references: Path | None = None
    images: Path | None = None
    title: str = ""
    cases: int | None = None
    any_size: bool = False
    processes: int = 1
    command: str = ""


def make_report(out: Path, request: Request, *, overwrite: bool = False) -> Written:
    """Evaluate what is not evaluated yet, and write the page.

    Raises:
        MscsError: the place is taken, masks cannot be evaluated, or models not compared.
    """
    check_place(out, overwrite=overwrite)
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
        evaluations = [with_images(one, request.images) for one in evaluations]
    options = Options(
        title=request.title,
        cases=request.cases,
        megabytes=math.inf if request.any_size else PAGE_MB,
        processes=request.processes,
        command=request.command,
    )
    return write_report(evaluations, out, _as_evaluated(request.models[0], options))


def _as_evaluated(place: Path, options: Options) -> Options:
    """The options with the settings that a former evaluation's statistics were made with, so that numbers agree."""
    folder = compared_folders(place)[0] if is_comparison(place) else place
    if not is_evaluation(folder):
        return options
    summary = read_json_if_there(folder / SUMMARY)
    settings = summary.get("settings", {})
    label: dict = next(iter(summary.get("labels", {}).values()), {})
    return replace(
        options,
        seed=settings.get("seed", options.seed),
        samples=settings.get("samples", options.samples),
        threshold_ml=label.get("volume_agreement", {}).get("classification", {}).get("threshold_ml", THRESHOLD_ML),
    )


def check_place(out: Path, *, overwrite: bool) -> None:
    """Raise MscsError unless `out` is free, or a former report to replace."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise MscsError(f"{out} does not end in .html.", "Name the page, such as report.html.")
    if not out.parent.is_dir():
        raise MscsError(f"The folder {out.parent} does not exist.", "Make it, or choose another one.")
    if not out.exists():
        return
    if out.is_dir() or not is_report(out):
        raise MscsError(f"{out} is there and is no report of mscs.", "Choose another name.")
    if not overwrite:
        raise MscsError(f"{out} is there already.", "Choose another name, or replace it with --overwrite.")
