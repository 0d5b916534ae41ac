"""From evaluations to a page: all parts of its content put together."""

import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nnunetv2_mscs import __version__
from nnunetv2_mscs.evaluation.comparison import Comparison
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.evaluation.statistics import settings_of
from nnunetv2_mscs.nnunet_files.environment import VARIABLES
from nnunetv2_mscs.reporting.report.case_pictures import PAGE_MB, draw_pictures, notices_of_pictures, with_pictures
from nnunetv2_mscs.reporting.report.content import CaseRow, Notice, ReportContent, Section, Subject
from nnunetv2_mscs.reporting.report.drawings import (
    plots_of_lesions,
    plots_of_metrics,
    plots_of_training,
    plots_of_volumes,
)
from nnunetv2_mscs.reporting.report.methods import methods_of
from nnunetv2_mscs.reporting.report.model_facts import model_folder_of, subjects_of_data, subjects_of_model
from nnunetv2_mscs.reporting.report.notices import in_order, notices_of
from nnunetv2_mscs.reporting.report.numbers import (
    agreement_table,
    comparison_section,
    folds_table,
    key_figures,
    metrics_section,
    sizes_table,
)
from nnunetv2_mscs.reporting.report.page import render

# What a picture adds to the page besides its own bytes: its element and its description.
BESIDE_PICTURE_MB = 0.001


@dataclass(frozen=True)
class ReportRequest:
    """What `mscs report` is asked for.

    Args:
        models: model folders, evaluations, comparisons or predictions; the first is the baseline.
        names: of the models; by default their own.
        references: the truth of models that are not evaluated yet; None to find that of nnU-Net's data set.
        images: the folder with the scans; None for where they were found before.
        title: of the page; by default the names of the models.
        cases: how many cases, the worst first, get pictures at most; None for no limit.
        megabytes: size of the page; cases whose pictures do not fit get none.
        case_pages: also write one page per case.
        processes: how many to use.
        command: as it was typed, for the reader.
    """

    models: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()
    references: Path | None = None
    images: Path | None = None
    title: str = ""
    cases: int | None = None
    megabytes: float = PAGE_MB
    case_pages: bool = False
    processes: int = 1
    command: str = ""


def assemble(evaluations: Sequence[Evaluation], comparison: Comparison | None, request: ReportRequest) -> ReportContent:
    """Put together the whole content of the page; for the arguments see `write_report`."""
    several = len(evaluations) > 1
    folders = [model_folder_of(evaluation) for evaluation in evaluations]
    training, notices = _training(evaluations, folders)
    notices += [notice for one in evaluations for notice in notices_of(one, several_models=several)]
    notices += [Notice("warning", f"Comparison: {text}") for text in (comparison.warnings() if comparison else ())]
    models = tuple(one.model for one in evaluations)
    content = ReportContent(
        title=request.title or f"Segmentation report: {' and '.join(models)}",
        summary=(_summary(evaluations),),
        models=models,
        notices=tuple(notices),
        key_figures={one.model: key_figures(one) for one in evaluations},
        before=_numbers(evaluations, comparison, folders),
        rows=_rows(evaluations),
        after=training,
        methods=methods_of(evaluations, folders, _versions()),
        made=_made(evaluations, request),
    )
    return _with_pictures(content, evaluations, request)


def _rows(evaluations: Sequence[Evaluation]) -> tuple[CaseRow, ...]:
    """Every case and label of each model, without pictures; within a model the worst first."""
    return tuple(
        row
        for one in evaluations
        for row in sorted((CaseRow(one.model, measured) for measured in one.rows()), key=lambda row: row.badness)
    )


def _with_pictures(content: ReportContent, evaluations: Sequence[Evaluation], request: ReportRequest) -> ReportContent:
    """The content with as many pictures as the page has room for, and notices about missing ones."""
    bare = len(render(content).encode()) / 1e6 + BESIDE_PICTURE_MB * len(content.rows)
    examples = [content.rows[place].measured["case"] for _, place in content.examples[::-1]]
    worst = list(dict.fromkeys(row.measured["case"] for row in content.rows if row.model == content.models[0]))
    pictures, cases = draw_pictures(
        evaluations,
        list(dict.fromkeys([*examples, *worst[: request.cases]])),
        twice=examples,
        megabytes=request.megabytes - bare,
        processes=request.processes,
    )
    notices = [
        *content.notices,
        *notices_of_pictures(content.rows, pictures, cases=cases, case_pages=request.case_pages),
    ]
    return replace(content, notices=in_order(notices), rows=with_pictures(content.rows, pictures))


def _numbers(
    evaluations: Sequence[Evaluation],
    comparison: Comparison | None,
    folders: Sequence[Path | None],
) -> tuple[Section, ...]:
    """The sections above the cases."""
    metrics = metrics_section(evaluations)
    return (
        _about(evaluations, folders),
        replace(metrics, plots=plots_of_metrics(evaluations)),
        *([comparison_section(comparison)] if comparison else []),
        Section(
            "lesions",
            "Lesions by size",
            tables=(sizes_table(evaluations),),
            plots=plots_of_lesions(evaluations),
        ),
        Section(
            "volumes",
            "Volumes",
            tables=(agreement_table(evaluations),),
            plots=plots_of_volumes(evaluations),
        ),
    )


def _summary(evaluations: Sequence[Evaluation]) -> str:
    first = evaluations[0]
    folds = sorted(first.table["fold"].dropna().unique())
    how = f"Cross-validation, folds {', '.join(map(str, folds))}," if len(folds) > 1 else "Evaluation"
    cases = f"{len(first.cases)} case{'s' * (len(first.cases) != 1)}"
    names = ", ".join(first.labels.values())
    who = f"{' against '.join(one.model for one in evaluations)}" if len(evaluations) > 1 else first.model
    return f"{how} of {who} on {cases}: how well predicted masks ({names}) agree with the reference."


def _about(evaluations: Sequence[Evaluation], folders: Sequence[Path | None]) -> Section:
    """The data set, then the models; a fact that several models share is written once."""
    holds_for: dict[Subject, list[str]] = {}
    for evaluation, folder in zip(evaluations, folders, strict=True):
        for subject in subjects_of_model(folder) if folder else ():
            holds_for.setdefault(subject, []).append(evaluation.model)
    order = list(dict.fromkeys(subject.title for subject in holds_for))
    models = sorted(holds_for.items(), key=lambda item: order.index(item[0].title))
    several = len(evaluations) > 1
    subjects = subjects_of_data(evaluations[0], folders[0])
    subjects += [replace(subject, of=", ".join(names)) if several else subject for subject, names in models]
    return Section("about", "Data and model" if any(folders) else "Data", subjects=tuple(subjects))


def _training(
    evaluations: Sequence[Evaluation], folders: Sequence[Path | None]
) -> tuple[tuple[Section, ...], list[Notice]]:
    """Curves and folds as far as they are recorded, and notices about missing records."""
    table = folds_table(evaluations)
    plots, notices = plots_of_training(evaluations, folders)
    section = Section("training", "Training and folds", tables=(table,) if table else (), plots=plots)
    return ((section,) if table or plots else ()), notices


def _place(path: str) -> str:
    """A path as nnU-Net's users name it: below one of its three folders, if it lies there."""
    for variable in reversed(VARIABLES):
        folder = os.environ.get(variable)
        if folder and Path(path).is_relative_to(folder):
            return f"${variable}/{Path(path).relative_to(folder).as_posix()}"
    return path


def _made(evaluations: Sequence[Evaluation], request: ReportRequest) -> tuple[tuple[str, str], ...]:
    settings = settings_of(evaluations[0])
    assert settings is not None  # the page shows their statistics
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    several = len(evaluations) > 1
    places: list[tuple[str, str]] = []
    for one in evaluations:
        suffix = f" of {one.model}" if several else ""
        places += [
            (f"Predictions{suffix}", _place(one.predictions)),
            (f"References{suffix}", _place(one.references)),
        ]
    return (
        ("Made", f"{now} by nnunetv2-mscs {__version__}"),
        *((("Command", request.command),) if request.command else ()),
        *places,
        ("Versions", ", ".join(_versions())),
        (
            "Statistics",
            f"{settings.samples} bootstrap samples, seed {settings.seed}; "
            f"volumes classified at {settings.threshold_ml:g} mL",
        ),
        (
            "Empty masks",
            "Both empty: overlap and lesion scores 1, distances 0. Exactly one empty: scores 0, distances not defined, "
            "left out of means and counted as undefined.",
        ),
        ("Use", "For research. Not a medical device."),
    )


def _versions() -> list[str]:
    names = ["nnunetv2", "torch", "numpy", "SimpleITK"]
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return [*found, f"Python {platform.python_version()}", platform.system()]
