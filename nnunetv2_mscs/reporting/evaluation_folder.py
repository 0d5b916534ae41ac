"""What `mscs evaluate` does from one end to the other: masks measured, statistics, tables, one folder in its place."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.agreement import THRESHOLD_ML
from nnunetv2_mscs.evaluation.bootstrap import SAMPLES
from nnunetv2_mscs.evaluation.comparison import MAIN, Comparison, compare
from nnunetv2_mscs.evaluation.evaluating import evaluate
from nnunetv2_mscs.evaluation.results import (
    COMPARISON,
    EVALUATION,
    PLOTS,
    RESERVED_NAMES,
    TABLES,
    Evaluation,
    compared_folders,
    is_comparison,
    is_evaluation,
    read_evaluation,
)
from nnunetv2_mscs.evaluation.statistics import summarise
from nnunetv2_mscs.evaluation.writing import write_csv, write_evaluation, write_json, write_models
from nnunetv2_mscs.reporting.statistics_text import statistics_text
from nnunetv2_mscs.reporting.tables import Template, check_template, fill_table, find_templates, write_table

NOT_IN_A_FOLDER_NAME = re.compile(r"[^\w .+-]")


@dataclass(frozen=True)
class Request:
    """What to evaluate.

    Args:
        models: of each its masks, its model folder, or a former evaluation; the first is the baseline.
        references: the truth of those that are no former evaluations; None to find those of nnU-Net's data set.
        names: of the models; by default the trainer's or the folder's.
        labels: see `evaluate`.
        images: see `evaluate`.
        partial: see `evaluate`.
        folds: see `evaluate`; of every model folder.
        tables: names of table templates.
        templates: a folder with more of them.
        plots: whether to write the plots as files.
        threshold_ml: at which volumes are classified.
        samples: of the bootstrap.
        seed: of the bootstrap.
        processes: how many to use.
    """

    models: tuple[Path, ...]
    references: Path | None = None
    names: tuple[str, ...] = ()
    labels: tuple[int, ...] = ()
    images: Path | None = None
    partial: bool = False
    folds: tuple[int, ...] = ()
    tables: tuple[str, ...] = ()
    templates: Path | None = None
    plots: bool = False
    threshold_ml: float = THRESHOLD_ML
    samples: int = SAMPLES
    seed: int = 0
    processes: int = 1


@dataclass(frozen=True)
class Written:
    """What to tell the user: warnings, and the statistics in words and numbers."""

    warnings: tuple[str, ...]
    text: str


def write_evaluation_folder(out: Path, request: Request, *, overwrite: bool) -> Written:
    """Evaluate one model, or several and compare them, and write the folder `out` as a whole or not at all.

    Raises:
        MscsError: the place is taken, masks cannot be evaluated or models not compared, or a table is not known.
    """
    EVALUATION.check(out, overwrite=overwrite)
    _refuse_inputs_inside(out, request)
    templates = _templates(request)
    evaluations = read_models(request)
    statistics = [
        summarise(one, seed=request.seed, samples=request.samples, threshold_ml=request.threshold_ml)
        for one in evaluations
    ]
    comparison = None
    if len(evaluations) > 1:
        comparison = compare(evaluations, seed=request.seed, samples=request.samples)
    with EVALUATION.staged(out, overwrite=overwrite) as folder:
        if comparison is None:
            write_evaluation(folder, evaluations[0], statistics[0])
        else:
            write_models(folder, evaluations, statistics)
            _write_comparison(folder, comparison)
        for template in templates:
            (folder / TABLES).mkdir(exist_ok=True)
            write_table(fill_table(template, evaluations, statistics, comparison), folder / TABLES)
        if request.plots:
            from nnunetv2_mscs.reporting.plot_files import write_plots  # matplotlib, which nothing else here needs

            (folder / PLOTS).mkdir()
            write_plots(folder / PLOTS, evaluations, statistics)
    return Written(_warnings(evaluations, comparison), _text(out, evaluations, statistics, comparison))


def _templates(request: Request) -> list[Template]:
    known = find_templates([request.templates] if request.templates else [])
    unknown = [name for name in request.tables if name not in known]
    if unknown:
        raise MscsError(f"There is no table template {unknown[0]}.", f"There are: {', '.join(sorted(known))}.")
    chosen = [known[name] for name in dict.fromkeys(request.tables)]
    for template in chosen:
        check_template(template)
    return chosen


def _refuse_inputs_inside(out: Path, request: Request) -> None:
    """Raise MscsError if what is to be read lies where --overwrite would delete it."""
    doomed = out.resolve()
    for place in (*request.models, request.references, request.images, request.templates):
        if place is not None and doomed.exists() and place.resolve().is_relative_to(doomed):
            raise MscsError(f"{place} lies in {out}, which would be replaced.", "Choose another folder for -o.")


def read_models(request: Request) -> list[Evaluation]:
    """Evaluate each model, or read what was evaluated before."""
    if all(is_comparison(place) or is_evaluation(place) for place in request.models):
        _refuse_without_effect(request)
    for place in (request.references, request.images):
        if place is not None and not place.exists():
            raise MscsError(f"{place} does not exist.", "Check the spelling.")
    evaluations: list[Evaluation] = []
    for place in request.models:
        if is_comparison(place):
            evaluations += [read_evaluation(folder) for folder in compared_folders(place)]
        elif is_evaluation(place):
            evaluations.append(read_evaluation(place))
        else:
            evaluations.append(
                evaluate(
                    place,
                    request.references,
                    labels=request.labels,
                    images=request.images,
                    partial=request.partial,
                    folds=request.folds,
                    processes=request.processes,
                )
            )
    return _named(evaluations, request)


def _refuse_without_effect(request: Request) -> None:
    """Raise MscsError for options that former evaluations, which are only read, can no longer follow."""
    given = {
        "REFERENCES": request.references,
        "--labels": request.labels,
        "--partial": request.partial,
        "--folds": request.folds,
    }
    for option, value in given.items():
        if value:
            raise MscsError(
                f"{option} changes nothing where every model was evaluated before.",
                "Leave it out, or give the masks instead of their evaluation.",
            )


def _named(evaluations: Sequence[Evaluation], request: Request) -> list[Evaluation]:
    """The evaluations under the names asked for; else under their own, with their folders' where two have the same."""
    names = list(request.names) if request.names else [one.model for one in evaluations]
    if len(names) != len(evaluations):
        raise MscsError(f"{len(names)} names were given to {len(evaluations)} models.", "Give one name a model.")
    if not request.names and len(set(names)) < len(names):
        names = _distinct([Path(one.predictions) for one in evaluations])
    clean = [NOT_IN_A_FOLDER_NAME.sub("_", name).lstrip(". ") or "model" for name in names]
    taken = [name for name in clean if name.lower() in RESERVED_NAMES]
    if taken:
        raise MscsError(f"{taken[0]} is the name of a file or folder of results.", "Choose another with --names.")
    if len({name.lower() for name in clean}) < len(clean):
        raise MscsError(f"Two models are called alike: {', '.join(names)}.", "Name them with --names A B ...")
    return [replace(one, model=name) for one, name in zip(evaluations, clean, strict=True)]


def _distinct(places: Sequence[Path]) -> list[str]:
    """What distinguishes paths: each without the leading and the trailing folders that all of them share."""
    common = Path(os.path.commonpath(places))
    parts = [place.relative_to(common).parts for place in places]
    while all(parts) and len({part[-1] for part in parts}) == 1:
        parts = [part[:-1] for part in parts]
    return ["_".join(part) or common.name for part in parts]


def _write_comparison(folder: Path, comparison: Comparison) -> None:
    write_json(folder / COMPARISON, comparison.as_json())
    write_csv(folder / "comparison.csv", comparison.rows())
    lines = [f"# {' against '.join(reversed(comparison.models))}", ""]
    for title, family in (("Main metrics", MAIN), ("Other metrics", "other")):
        lines += [f"## {title}", "", *(f"- {sentence}" for sentence in comparison.sentences(family=family)), ""]
    warnings = [f"- {warning}" for warning in comparison.warnings()]
    lines += ["## Before you believe them", "", *warnings, ""] if warnings else []
    (folder / "comparison.md").write_text("\n".join(lines), encoding="utf-8")


def _warnings(evaluations: Sequence[Evaluation], comparison: Comparison | None) -> tuple[str, ...]:
    several = len(evaluations) > 1
    sentences = [f"{one.model}: {text}" if several else text for one in evaluations for text in one.warnings]
    return (*sentences, *(comparison.warnings() if comparison else ()))


def _text(
    out: Path, evaluations: Sequence[Evaluation], statistics: Sequence[dict[str, Any]], comparison: Comparison | None
) -> str:
    parts = [statistics_text(evaluation, one) for evaluation, one in zip(evaluations, statistics, strict=True)]
    if comparison:
        parts.append("\n".join(comparison.sentences(family=MAIN)))
    return "\n\n".join([*parts, f"written: {out}"])
