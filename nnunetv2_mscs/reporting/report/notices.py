"""What the reader must know before any number: warnings in sentences, each with a remedy."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.catalogue import METRICS
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.nnunet_files.checkpoints import MOST_TRAINED_FIRST, read_checkpoint
from nnunetv2_mscs.nnunet_files.model_folder import fold_folders
from nnunetv2_mscs.reporting.report.content import Notice
from nnunetv2_mscs.training.starts import START

FEW_CASES = 10
# A fold is reported if its mean Dice is below this part of the folds' median, where there are this many folds.
FAR_BEHIND, FEWEST_FOLDS = 0.5, 3
ORDER = ("error", "warning", "note")
OF_STARTS = (
    "In a failed start the network learned to predict no lesion at all; docs/training.md says why. If that happens in "
    "several folds, look at labels and normalisation, or lower the initial learning rate."
)


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
        notices.append(_about_few(len(evaluation.cases), prefix))
    return [replace(notice, model=evaluation.model) for notice in notices]


def _about_few(cases: int, about: str) -> Notice:
    if cases == 1:
        return Notice("note", f"{about}Only 1 case: no interval and no correlation can be given.")
    remedy = "Read the intervals rather than the means; they may be too narrow themselves."
    return Notice("note", f"{about}Only {cases} cases.", remedy)


def in_order(notices: Sequence[Notice]) -> tuple[Notice, ...]:
    """The most serious first, each only once."""
    return tuple(sorted(dict.fromkeys(notices), key=lambda notice: ORDER.index(notice.severity)))


def _of_label(results: pd.DataFrame, about: str) -> list[Notice]:
    cases, reference, prediction = (results[column] for column in ("case", "reference_empty", "prediction_empty"))
    missed = tuple(cases[prediction & ~reference])
    alarms = tuple(cases[reference & ~prediction])
    neither = tuple(cases[reference & prediction])
    with_lesion = int((~reference).sum())
    notices = []
    if missed:
        notices.append(
            Notice(
                "error",
                f"{about}{_of(len(missed), with_lesion, 'case', 'with a lesion')} {_have(missed)} an empty prediction: "
                "nothing of the lesion was found.",
                "Their scores are 0 and their distances undefined. Look at them first.",
                missed,
            )
        )
    if alarms:
        notices.append(
            Notice(
                "warning",
                f"{about}{_of(len(alarms), len(results) - with_lesion, 'case', 'without a lesion')} {_have(alarms)} "
                "predicted lesion: false alarms.",
                "Their scores are 0 and their distances undefined.",
                alarms,
            )
        )
    undefined = int(results[list(METRICS)].isna().any(axis=1).sum())
    if undefined:
        notices.append(
            Notice(
                "warning",
                f"{about}Distances (HD95, ASSD, AHD) are undefined in {_of(undefined, len(results), 'case')}, "
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
                neither,
            )
        )
    if not with_lesion:
        notices.append(
            Notice(
                "error", f"{about}No reference holds a lesion.", "Are these the right references, and the right label?"
            )
        )
    return notices


def _of_folds(results: pd.DataFrame, about: str) -> list[Notice]:
    """Folds that fell far behind the others, as a failed training does."""
    means = results.groupby("fold")["dice"].mean()
    usual = means.median() if len(means) >= FEWEST_FOLDS else 0.0
    return [
        Notice(
            "error",
            f"{about}Fold {fold} has a mean Dice of {value:.3f}, the folds' median is {usual:.3f}.",
            "Has its training failed? Look at its training curves, and train it again before you use the means.",
        )
        for fold, value in means.items()
        if value < FAR_BEHIND * usual
    ]


def _of(part: int, whole: int, noun: str, rest: str = "") -> str:
    return f"{part} of {whole} {noun}{'' if whole == 1 else 's'} {rest}".strip()


def _have(cases: Sequence[str]) -> str:
    return "has" if len(cases) == 1 else "have"


def notices_of_starts(model: str, folder: Path) -> list[Notice]:
    """A warning for each fold of a model folder whose training had to start again."""
    starts = {fold: starts_of(place) for fold, place in fold_folders(folder).items()}
    return [
        Notice("warning", f"{model}: the training of fold {fold} needed {number} starts.", OF_STARTS)
        for fold, number in starts.items()
        if number > 1
    ]


def starts_of(fold: Path) -> int:
    """The number of starts of a fold's training; 1 where no checkpoint records another."""
    checkpoint = next((file for name in MOST_TRAINED_FIRST if (file := fold / name).is_file()), None)
    if checkpoint is None:
        return 1
    try:
        arguments = read_checkpoint(checkpoint).get("init_args")
    except MscsError:
        return 1
    entry = arguments.get(START) if isinstance(arguments, Mapping) else None
    number = entry.get("number") if isinstance(entry, Mapping) else None
    return number if isinstance(number, int) else 1
