"""What `mscs evaluate` does from start to end: evaluate or read the models, compare them, and write the results."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.comparison import Comparison, compare
from nnunetv2_mscs.evaluation.evaluating import evaluate
from nnunetv2_mscs.evaluation.paired_tests import MAIN
from nnunetv2_mscs.evaluation.results import (
    EVALUATION_FOLDER,
    RESERVED_NAMES,
    Evaluation,
    compared_folders,
    is_comparison,
    is_evaluation,
    read_evaluation,
)
from nnunetv2_mscs.evaluation.statistics import StatisticsSettings, with_statistics
from nnunetv2_mscs.evaluation.statistics_text import statistics_text
from nnunetv2_mscs.evaluation.writing import write_evaluation, write_models
from nnunetv2_mscs.nnunet_files.trained import model_meant, models_meant

NOT_IN_A_FOLDER_NAME = re.compile(r"[^\w .+-]")


@dataclass(frozen=True)
class EvaluationRequest:
    """The models to evaluate.

    Args:
        models: for each its masks, its model folder, or a former evaluation; or a data set by its id or name, see
            `model_meant`. The first is the baseline.
        references: the truth, for models that were not evaluated before; None to find that of nnU-Net's data set.
        names: of the models; by default the trainer's or the folder's.
        labels: see `evaluate`.
        images: see `evaluate`.
        partial: see `evaluate`.
        folds: see `evaluate`; of every model folder.
        processes: how many to use.
    """

    models: tuple[Path, ...]
    references: Path | None = None
    names: tuple[str, ...] = ()
    labels: tuple[int, ...] = ()
    images: Path | None = None
    partial: bool = False
    folds: tuple[int, ...] = ()
    processes: int = 1


@dataclass(frozen=True)
class Extra:
    """Further files of an evaluation, such as its tables or its plots.

    Args:
        folder: their folder in the evaluation's.
        write: writes them; its arguments are that folder, the evaluations with their statistics, and the comparison.
        reads: files and folders that this needs, which must not be replaced.
    """

    folder: str
    write: Callable[[Path, Sequence[Evaluation], Comparison | None], object]
    reads: tuple[Path, ...] = ()


@dataclass(frozen=True)
class WrittenEvaluation:
    """What the command prints: warnings, and the statistics in words and numbers."""

    warnings: tuple[str, ...]
    text: str


def write_evaluation_folder(
    out: Path,
    request: EvaluationRequest,
    settings: StatisticsSettings,
    extras: Sequence[Extra] = (),
    *,
    overwrite: bool,
) -> WrittenEvaluation:
    """Evaluate one model, or several and compare them, and write the folder `out` as a whole or not at all.

    Raises:
        MscsError: the place is taken, or masks cannot be evaluated, or models not compared.
    """
    EVALUATION_FOLDER.check(out, overwrite=overwrite)
    request = _with_models_found(request)
    _refuse_inputs_inside(out, request, extras)
    evaluations, comparison = _evaluated(request, settings)
    with EVALUATION_FOLDER.staged(out, overwrite=overwrite) as folder:
        if comparison is None:
            write_evaluation(folder, evaluations[0])
        else:
            write_models(folder, evaluations, comparison)
        for extra in extras:
            (folder / extra.folder).mkdir()
            extra.write(folder / extra.folder, evaluations, comparison)
    return WrittenEvaluation(_warnings(evaluations, comparison), f"{_text(evaluations, comparison)}\n\nwritten: {out}")


def compare_models(request: EvaluationRequest, out: Path | None, *, overwrite: bool) -> WrittenEvaluation:
    """Compare several models, or all models of one data set; writes `out`, if given, as `write_evaluation_folder`.

    Raises:
        MscsError: there is only one model, masks cannot be evaluated, or models not compared.
    """
    settings, models = StatisticsSettings(), request.models
    if len(models) == 1 and not is_comparison(models[0]):
        request = replace(request, models=tuple(models_meant(models[0])))
        if len(request.models) == 1:
            raise MscsError(f"{models[0]} is one model alone.", "Name at least two to compare.")
    if out is not None:
        return write_evaluation_folder(out, request, settings, overwrite=overwrite)
    evaluations, comparison = _evaluated(request, settings)
    return WrittenEvaluation(_warnings(evaluations, comparison), _text(evaluations, comparison))


def _evaluated(request: EvaluationRequest, settings: StatisticsSettings) -> tuple[list[Evaluation], Comparison | None]:
    """The models with their statistics, and the comparison if there are several."""
    evaluations = [with_statistics(one, settings) for one in read_models(request)]
    if len(evaluations) == 1:
        return evaluations, None
    return evaluations, compare(evaluations, seed=settings.seed, samples=settings.samples)


def _refuse_inputs_inside(out: Path, request: EvaluationRequest, extras: Sequence[Extra]) -> None:
    """Raise MscsError if an input lies where --overwrite would delete it."""
    doomed = out.resolve()
    needed = (place for extra in extras for place in extra.reads)
    for place in (*request.models, request.references, request.images, *needed):
        if place is not None and doomed.exists() and place.resolve().is_relative_to(doomed):
            raise MscsError(f"{place} lies in {out}, which would be replaced.", "Choose another folder for -o.")


def read_models(request: EvaluationRequest) -> list[Evaluation]:
    """Evaluate each model, or read what was evaluated before.

    Raises:
        MscsError: a place does not exist, or masks cannot be evaluated.
    """
    request = _with_models_found(request)
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


def _with_models_found(request: EvaluationRequest) -> EvaluationRequest:
    return replace(request, models=tuple(model_meant(place) for place in request.models))


def _refuse_without_effect(request: EvaluationRequest) -> None:
    """Raise MscsError for options without effect on former evaluations, which are only read."""
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


def _named(evaluations: Sequence[Evaluation], request: EvaluationRequest) -> list[Evaluation]:
    """The evaluations under the names asked for, else under their own; two of one name go by their folders."""
    names = list(request.names) if request.names else [one.model for one in evaluations]
    if len(names) != len(evaluations):
        raise MscsError(f"{len(names)} names were given to {len(evaluations)} models.", "Give one name for each model.")
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


def _warnings(evaluations: Sequence[Evaluation], comparison: Comparison | None) -> tuple[str, ...]:
    several = len(evaluations) > 1
    sentences = [f"{one.model}: {text}" if several else text for one in evaluations for text in one.warnings]
    return (*sentences, *(comparison.warnings() if comparison else ()))


def _text(evaluations: Sequence[Evaluation], comparison: Comparison | None) -> str:
    parts = [statistics_text(evaluation) for evaluation in evaluations]
    if comparison:
        parts.append("\n".join(comparison.sentences(family=MAIN)))
    return "\n\n".join(parts)
