"""From evaluations to a page: every part of its content put together, one file written."""

import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nnunetv2_mscs import __version__
from nnunetv2_mscs.evaluation.agreement import THRESHOLD_ML
from nnunetv2_mscs.evaluation.bootstrap import SAMPLES
from nnunetv2_mscs.evaluation.comparison import Comparison, compare
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.evaluation.statistics import summarise
from nnunetv2_mscs.nnunet_files.environment import VARIABLES
from nnunetv2_mscs.reporting.report.comparing import comparison_section
from nnunetv2_mscs.reporting.report.content import Notice, ReportContent, Section, Subject
from nnunetv2_mscs.reporting.report.drawings import (
    plots_of_lesions,
    plots_of_metrics,
    plots_of_training,
    plots_of_volumes,
)
from nnunetv2_mscs.reporting.report.model_facts import model_folder_of, subjects_of_data, subjects_of_model
from nnunetv2_mscs.reporting.report.notices import in_order, notices_of
from nnunetv2_mscs.reporting.report.numbers import (
    Statistics,
    agreement_table,
    folds_table,
    key_figures,
    metrics_section,
    sizes_table,
)
from nnunetv2_mscs.reporting.report.page import render
from nnunetv2_mscs.reporting.report.rows import draw_pictures, notices_of_pictures, rows_of, with_pictures
from nnunetv2_mscs.workplace.whole_files import write_whole

PAGE_MB = 19.5
# What a row's picture adds to the page beside itself: its element and its description.
BESIDE_PICTURE_MB = 0.001


@dataclass(frozen=True)
class Options:
    """How a page is made of evaluations.

    Args:
        title: of the page; by default the names of the models.
        cases: how many cases, the worst first, get pictures at most; None for no limit.
        megabytes: of the page; cases whose pictures do not fit get none.
        seed: of the bootstrap.
        samples: of the bootstrap.
        threshold_ml: at which volumes are classified.
        processes: how many to use.
        command: as it was typed, for the reader.
    """

    title: str = ""
    cases: int | None = None
    megabytes: float = PAGE_MB
    seed: int = 0
    samples: int = SAMPLES
    threshold_ml: float = THRESHOLD_ML
    processes: int = 1
    command: str = ""


@dataclass(frozen=True)
class Written:
    """What to tell the user about the page."""

    models: str
    cases: int
    pictures: int
    megabytes: float
    warnings: tuple[str, ...]


def write_report(evaluations: Sequence[Evaluation], out: Path, options: Options) -> Written:
    """Write the page as a whole or not at all.

    Args:
        evaluations: one a model, the baseline first, of the same cases.
        out: the file.
        options: see there.
    """
    content = assemble(evaluations, options)
    page = render(content).encode()
    write_whole(out, page)
    return Written(
        models=" and ".join(content.models),
        cases=len(evaluations[0].cases),
        pictures=len({row.result.case for row in content.rows if row.sheet}),
        megabytes=len(page) / 1e6,
        warnings=tuple(notice.finding for notice in content.notices if notice.severity != "note"),
    )


def assemble(evaluations: Sequence[Evaluation], options: Options) -> ReportContent:
    """Put together all that the page says."""
    several = len(evaluations) > 1
    statistics = [
        summarise(one, seed=options.seed, samples=options.samples, threshold_ml=options.threshold_ml)
        for one in evaluations
    ]
    comparison = compare(evaluations, seed=options.seed, samples=options.samples) if several else None
    folders = [model_folder_of(evaluation) for evaluation in evaluations]
    training, notices = _training(evaluations, folders)
    notices += [notice for one in evaluations for notice in notices_of(one, several_models=several)]
    notices += [Notice("warning", f"Comparison: {text}") for text in (comparison.warnings() if comparison else ())]
    models = tuple(one.model for one in evaluations)
    content = ReportContent(
        title=options.title or f"Segmentation report: {' and '.join(models)}",
        summary=(_summary(evaluations),),
        models=models,
        notices=tuple(notices),
        key_figures={one.model: key_figures(one, of) for one, of in zip(evaluations, statistics, strict=True)},
        before=_numbers(evaluations, statistics, comparison, folders),
        rows=tuple(rows_of(evaluations)),
        after=training,
        made=_made(evaluations, options),
    )
    return _with_pictures(content, evaluations, options)


def _with_pictures(content: ReportContent, evaluations: Sequence[Evaluation], options: Options) -> ReportContent:
    """The content with as many pictures as the page has room for, and what is missing of them."""
    bare = len(render(content).encode()) / 1e6 + BESIDE_PICTURE_MB * len(content.rows)
    pictures, cases = draw_pictures(
        evaluations, cases=options.cases, megabytes=options.megabytes - bare, processes=options.processes
    )
    notices = [*content.notices, *notices_of_pictures(evaluations, pictures, cases=cases)]
    return replace(content, notices=in_order(notices), rows=with_pictures(content.rows, pictures))


def _numbers(
    evaluations: Sequence[Evaluation],
    statistics: Sequence[Statistics],
    comparison: Comparison | None,
    folders: Sequence[Path | None],
) -> tuple[Section, ...]:
    """The sections above the cases."""
    metrics = metrics_section(evaluations, statistics)
    return (
        _about(evaluations, folders),
        replace(metrics, plots=plots_of_metrics(evaluations)),
        *([comparison_section(comparison)] if comparison else []),
        Section(
            "lesions",
            "Lesions by size",
            tables=(sizes_table(evaluations, statistics),),
            plots=plots_of_lesions(evaluations, statistics),
        ),
        Section(
            "volumes",
            "Volumes",
            tables=(agreement_table(evaluations, statistics),),
            plots=plots_of_volumes(evaluations),
        ),
    )


def _summary(evaluations: Sequence[Evaluation]) -> str:
    first = evaluations[0]
    folds = sorted({result.fold for result in first.results if result.fold is not None})
    how = f"Cross-validation, folds {', '.join(map(str, folds))}," if len(folds) > 1 else "Evaluation"
    cases = f"{len(first.cases)} case{'s' * (len(first.cases) != 1)}"
    names = ", ".join(first.labels.values())
    who = f"{' against '.join(one.model for one in evaluations)}" if len(evaluations) > 1 else first.model
    return f"{how} of {who} on {cases}: how well predicted masks ({names}) agree with the reference."


def _about(evaluations: Sequence[Evaluation], folders: Sequence[Path | None]) -> Section:
    """Data in words, then the models; what holds for several of them stands there once."""
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
    """Curves and folds, if anything is known of them, and what is missing."""
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


def _made(evaluations: Sequence[Evaluation], options: Options) -> tuple[tuple[str, str], ...]:
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
        *((("Command", options.command),) if options.command else ()),
        *places,
        ("Versions", ", ".join(_versions())),
        (
            "Statistics",
            f"{options.samples} bootstrap samples, seed {options.seed}; "
            f"volumes classified at {options.threshold_ml:g} mL",
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
