"""The statistics of models as tables and key figures."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nnunetv2_mscs.evaluation.catalogue import MAIN_METRICS, METRICS
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.reporting.report.content import UNDEFINED, KeyFigure, Section, Table, shown

Statistics = Mapping[str, Any]
CASE_SETS = {"all_cases": "All cases", "lesion_cases": "Cases with a lesion"}
FULL_HEADER = ("mean [95 % interval]", "SD", "median [quartiles]", "n (undefined)")
MEAN_OF_LABELS = "mean of the labels"
KEY_METRICS = ("dice", "hd95_mm", "f1_isles22")
HOW_TO_READ = (
    "Intervals are of the mean, by a seeded BCa bootstrap over cases. Undefined values (distances where exactly one "
    "mask is empty) are counted and left out of the mean, never dropped in silence."
)


def of_set(statistics: Statistics, label: str | None, case_set: str) -> Mapping[str, Any]:
    """The described metrics of a label, or of the mean of the labels (None)."""
    part = statistics["foreground_mean"] if label is None else statistics["labels"][label]
    return part[case_set]


def with_interval(described: Mapping[str, Any], column: str) -> str:
    """Such as `0.812 [0.780; 0.841]`."""
    return spread(described["mean"], described["ci_low"], described["ci_high"], column)


def spread(middle: float | None, low: float | None, high: float | None, column: str) -> str:
    """A value with the two that enclose it; alone where those are undefined."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return shown(middle, column)
    return f"{shown(middle, column)} [{shown(low, column)}; {shown(high, column)}]"


def key_figures(evaluation: Evaluation, statistics: Statistics) -> tuple[KeyFigure, ...]:
    """The few numbers at the top: of the one label, or of the mean of several."""
    label = None if statistics["foreground_mean"] else next(iter(evaluation.labels))
    everything = of_set(statistics, label, "all_cases")
    figures = [KeyFigure("Cases", str(len(evaluation.cases)), _cases_in_words(evaluation))]
    for column in KEY_METRICS:
        figures.append(KeyFigure(f"{METRICS[column].title}, mean", *_value_and_detail(everything[column], column)))
        if column == "dice":
            with_lesion = of_set(statistics, label, "lesion_cases")[column]
            figures.append(KeyFigure("Dice, cases with a lesion", *_value_and_detail(with_lesion, column)))
    if label is not None:
        agreement = statistics["labels"][label]["volume_agreement"]
        interval = _interval(agreement["ccc_ci"], 3)
        figures.append(KeyFigure("Volumes, Lin's concordance", _fixed(agreement["ccc"], 3), interval))
    return tuple(figures)


def _cases_in_words(evaluation: Evaluation) -> str:
    rows_by_case: dict[str, list[bool]] = {}
    for result in evaluation.results:
        rows_by_case.setdefault(result.case, []).append(result.reference_empty)
    lesion = sum(not all(empty) for empty in rows_by_case.values())
    folds = {result.fold for result in evaluation.results} - {None}
    return f"{lesion} with a lesion" + (f", {len(folds)} folds" if len(folds) > 1 else "")


def _value_and_detail(described: Mapping[str, Any], column: str) -> tuple[str, str]:
    detail = _interval((described["ci_low"], described["ci_high"]), METRICS[column].decimals)
    undefined = f", undefined in {described['undefined']}" if described["undefined"] else ""
    return shown(described["mean"], column), f"{detail}, n = {described['n']}{undefined}".removeprefix(", ")


def _interval(ends: Sequence[float | None], decimals: int) -> str:
    low, high = ends
    return "" if low is None or high is None else f"95 % interval {_fixed(low, decimals)} to {_fixed(high, decimals)}"


def _fixed(value: float | None, decimals: int) -> str:
    return UNDEFINED if value is None else f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def metrics_section(evaluations: Sequence[Evaluation], statistics: Sequence[Statistics]) -> Section:
    """Main metrics of all models beside each other, then everything of each model, folded."""
    labels = evaluations[0].labels
    keys: list[str | None] = [*labels, *([None] if statistics[0]["foreground_mean"] else [])]
    tables = []
    for key in keys:
        name = MEAN_OF_LABELS if key is None else labels[key]
        columns = [column for column in MAIN_METRICS if column in of_set(statistics[0], key, "all_cases")]
        if len(evaluations) == 1:
            tables.append(_full_table(statistics[0], key, columns, f"Main metrics, {name}", folded=False))
        else:
            tables.append(_table_of_models(evaluations, statistics, key, columns, f"Main metrics, {name}"))
    for evaluation, one in zip(evaluations, statistics, strict=True):
        of_model = f" of {evaluation.model}" if len(evaluations) > 1 else ""
        for key in keys:
            name = MEAN_OF_LABELS if key is None else labels[key]
            every = list(of_set(one, key, "all_cases"))
            tables.append(_full_table(one, key, every, f"Every metric{of_model}, {name}", folded=True))
    title = "Cross-validation" if _is_cross_validation(evaluations) else "Metrics"
    return Section("metrics", title, sentences=(HOW_TO_READ,), tables=tuple(tables))


def _is_cross_validation(evaluations: Sequence[Evaluation]) -> bool:
    return all(len({result.fold for result in one.results} - {None}) > 1 for one in evaluations)


def _full_table(statistics: Statistics, label: str | None, columns: Sequence[str], caption: str, folded: bool) -> Table:
    rows = []
    for column in columns:
        cells = [METRICS[column].title + _arrow(column)]
        for case_set in CASE_SETS:
            described = of_set(statistics, label, case_set)[column]
            cells += [
                with_interval(described, column),
                shown(described["sd"], column),
                spread(described["median"], described["q1"], described["q3"], column),
                str(described["n"]) + (f" ({described['undefined']})" if described["undefined"] else ""),
            ]
        rows.append(tuple(cells))
    groups = (("", 1), *((title, len(FULL_HEADER)) for title in CASE_SETS.values()))
    return Table(caption, ("Metric", *FULL_HEADER, *FULL_HEADER), tuple(rows), ARROWS, folded, groups)


ARROWS = "↑ higher is better, ↓ lower is better."


def _arrow(column: str) -> str:
    return {"higher": " ↑", "lower": " ↓", "neither": ""}[METRICS[column].better]


def _table_of_models(
    evaluations: Sequence[Evaluation],
    statistics: Sequence[Statistics],
    label: str | None,
    columns: Sequence[str],
    caption: str,
) -> Table:
    models = tuple(evaluation.model for evaluation in evaluations)
    rows = []
    for column in columns:
        cells = [METRICS[column].title + _arrow(column)]
        for case_set in CASE_SETS:
            for one in statistics:
                described = of_set(one, label, case_set)[column]
                undefined = f" ({described['undefined']} undefined)" if described["undefined"] else ""
                cells.append(with_interval(described, column) + undefined)
        rows.append(tuple(cells))
    groups = (("", 1), *((f"{title}: mean [95 % interval]", len(models)) for title in CASE_SETS.values()))
    return Table(caption, ("Metric", *models, *models), tuple(rows), ARROWS, groups=groups)


def folds_table(evaluations: Sequence[Evaluation]) -> Table | None:
    """Mean Dice of each fold; None where folds are not known."""
    folds = sorted({result.fold for one in evaluations for result in one.results if result.fold is not None})
    if not folds:
        return None
    titles = ("cases", "mean Dice", "lowest Dice")
    rows = [[str(fold)] for fold in folds]
    for evaluation in evaluations:
        for label in evaluation.labels:
            for row, fold in zip(rows, folds, strict=True):
                dice = [r.values["dice"] for r in evaluation.of_label(label) if r.fold == fold]
                values = (float(np.mean(dice)), min(dice)) if dice else (None, None)
                row += [str(len(dice)), *(shown(value, "dice") for value in values)]
    return _grouped("Validation by fold", "Fold", titles, rows, evaluations)


def sizes_table(evaluations: Sequence[Evaluation], statistics: Sequence[Statistics]) -> Table:
    """Lesions found by size, pooled over cases."""
    cells: dict[str, list[str]] = {}
    for evaluation, one in zip(evaluations, statistics, strict=True):
        for label in evaluation.labels:
            for size, found in one["labels"][label]["lesions_by_size"].items():
                row = cells.setdefault(size, [found["title"]])
                row.append(f"{found['found']} / {found['lesions']}")
                row.append(spread(found["recall"], found["ci_low"], found["ci_high"], "recall_isles22"))
    note = "A reference lesion (26-connected piece) counts as found if any predicted voxel touches it (ISLES'22)."
    titles = ("found / lesions", "recall [95 % interval]")
    return _grouped("Lesions found, by size", "Size of the lesion", titles, list(cells.values()), evaluations, note)


def _grouped(
    caption: str,
    first: str,
    titles: tuple[str, ...],
    rows: Sequence[Sequence[str]],
    evaluations: Sequence[Evaluation],
    note: str = "",
) -> Table:
    """A table with the same columns for each model and label, whose names stand above them where there are several."""
    names = _names(evaluations)
    groups = (("", 1), *((name, len(titles)) for name in names)) if len(names) > 1 else ()
    header = (first, *(titles * len(names)))
    return Table(caption, header, tuple(tuple(row) for row in rows), note, groups=groups)


def _names(evaluations: Sequence[Evaluation]) -> list[str]:
    """Of each model and label, as far as there are several."""
    pairs = [(one.model, name) for one in evaluations for name in one.labels.values()]
    several = [len(set(column)) > 1 for column in zip(*pairs, strict=True)]
    return [", ".join(part for part, told in zip(pair, several, strict=True) if told) or pair[1] for pair in pairs]


def agreement_table(evaluations: Sequence[Evaluation], statistics: Sequence[Statistics]) -> Table:
    """Volumes: bias, limits of agreement, concordance, and the classification at the threshold."""
    columns = [
        _agreement(one["labels"][label]["volume_agreement"])
        for evaluation, one in zip(evaluations, statistics, strict=True)
        for label in evaluation.labels
    ]
    rows = tuple((term, *(column[term] for column in columns)) for term in columns[0])
    header = ("Predicted against reference volume", *_names(evaluations))
    return Table("Agreement of lesion volumes", header, rows)


def _agreement(agreement: Mapping[str, Any]) -> dict[str, str]:
    bland, classes = agreement["bland_altman"], agreement["classification"]

    def volume(middle: float | None, interval: Sequence[float | None]) -> str:
        low, high = interval
        return spread(middle, low, high, "volume_difference_ml")

    threshold = f"at {classes['threshold_ml']:g} mL"
    sensitivity, specificity = (_fixed(classes[rate], 3) for rate in ("sensitivity", "specificity"))
    counts = [classes[f"{kind}_{side}"] for kind in ("true", "false") for side in ("positive", "negative")]
    return {
        "cases": str(agreement["n"]),
        "bias, prediction minus reference (mL) [95 % interval]": volume(bland["bias_ml"], bland["bias_ci_ml"]),
        "lower limit of agreement (mL)": volume(bland["lower_ml"], bland["lower_ci_ml"]),
        "upper limit of agreement (mL)": volume(bland["upper_ml"], bland["upper_ci_ml"]),
        "Lin's concordance [95 % interval]": spread(
            agreement["ccc"], agreement["ccc_ci"][0], agreement["ccc_ci"][1], "dice"
        ),
        "Pearson's r": _fixed(agreement["pearson_r"], 3),
        f"{threshold}: true positive, true negative, false positive, false negative": ", ".join(map(str, counts)),
        f"{threshold}: sensitivity, specificity": f"{sensitivity}, {specificity}",
        f"{threshold}: Cohen's kappa": _fixed(classes["kappa"], 3),
    }
