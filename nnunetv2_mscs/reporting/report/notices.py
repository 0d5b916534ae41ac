"""What the reader has to know before any number: warnings in sentences, each with what to do."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import mean, median

from nnunetv2_mscs.evaluation.catalogue import METRICS
from nnunetv2_mscs.evaluation.results import CaseResult, Evaluation
from nnunetv2_mscs.reporting.report.content import Notice

FEW_CASES = 10
# A fold is called conspicuous below this part of the folds' median of the mean Dice, from this many folds on.
FAR_BEHIND, FEWEST_FOLDS = 0.5, 3
ORDER = ("error", "warning", "note")


def notices_of(evaluation: Evaluation, *, several_models: bool) -> list[Notice]:
    """The warnings about one model: those of its evaluation, then about empty masks and undefined values."""
    prefix = f"{evaluation.model}: " if several_models else ""
    notices = [Notice("warning", f"{prefix}{warning}") for warning in evaluation.warnings]
    for label, name in evaluation.labels.items():
        about = f"{prefix}{name}: " if len(evaluation.labels) > 1 else prefix
        results = evaluation.of_label(label)
        of_label = [*_of_label(results, about), *_of_folds(results, about)]
        notices += [replace(notice, label=name) for notice in of_label]
    if len(evaluation.cases) < FEW_CASES:
        notices.append(
            Notice(
                "note",
                f"{prefix}{len(evaluation.cases)} cases are few.",
                "Read the intervals rather than the means; they may be too narrow themselves.",
            )
        )
    return [replace(notice, model=evaluation.model) for notice in notices]


def in_order(notices: Sequence[Notice]) -> tuple[Notice, ...]:
    """The gravest first, each only once."""
    return tuple(sorted(dict.fromkeys(notices), key=lambda notice: ORDER.index(notice.severity)))


def _of_label(results: Sequence[CaseResult], about: str) -> list[Notice]:
    missed = [r.case for r in results if r.prediction_empty and not r.reference_empty]
    alarms = [r.case for r in results if r.reference_empty and not r.prediction_empty]
    neither = [r.case for r in results if r.reference_empty and r.prediction_empty]
    with_lesion = sum(not r.reference_empty for r in results)
    notices = []
    if missed:
        notices.append(
            Notice(
                "error",
                f"{about}{_of(len(missed), with_lesion, 'case', 'with a lesion')} {_have(missed)} an empty prediction: "
                "nothing of the lesion was found.",
                "Their scores are 0 and their distances undefined. Look at them first.",
                tuple(missed),
            )
        )
    if alarms:
        notices.append(
            Notice(
                "warning",
                f"{about}{_of(len(alarms), len(results) - with_lesion, 'case', 'without a lesion')} {_have(alarms)} "
                "predicted lesion: false alarms.",
                "Their scores are 0 and their distances undefined.",
                tuple(alarms),
            )
        )
    undefined = [r.case for r in results if any(r.values[c] != r.values[c] for c in METRICS)]
    if undefined:
        notices.append(
            Notice(
                "warning",
                f"{about}Distances (HD95, ASSD, AHD) are undefined in {_of(len(undefined), len(results), 'case')}, "
                "because exactly one of the two masks is empty, and left out of their means.",
                "Quote a mean distance only together with this number.",
            )
        )
    if neither:
        notices.append(
            Notice(
                "note",
                f"{about}{_of(len(neither), len(results), 'case')} {_have(neither)} no lesion, neither in the "
                "reference nor in the prediction.",
                "By rule their scores are 1 and their distances 0, which raises the means over all cases; those over "
                "cases with a lesion leave them out.",
                tuple(neither),
            )
        )
    if not with_lesion:
        notices.append(
            Notice(
                "error", f"{about}No reference holds a lesion.", "Are these the right references, and the right label?"
            )
        )
    return notices


def _of_folds(results: Sequence[CaseResult], about: str) -> list[Notice]:
    """Folds that fell far behind all others, as a training that failed does."""
    dice: dict[int, list[float]] = {}
    for result in results:
        if result.fold is not None:
            dice.setdefault(result.fold, []).append(result.values["dice"])
    means = {fold: mean(values) for fold, values in dice.items()}
    usual = median(means.values()) if len(means) >= FEWEST_FOLDS else 0.0
    return [
        Notice(
            "error",
            f"{about}Fold {fold} has a mean Dice of {value:.3f}, the folds' median is {usual:.3f}.",
            "Has its training failed? Look at its training curves, and train it again before you use the means.",
        )
        for fold, value in sorted(means.items())
        if value < FAR_BEHIND * usual
    ]


def _of(part: int, whole: int, noun: str, rest: str = "") -> str:
    return f"{part} of {whole} {noun}{'' if whole == 1 else 's'} {rest}".strip()


def _have(cases: Sequence[str]) -> str:
    return "has" if len(cases) == 1 else "have"
