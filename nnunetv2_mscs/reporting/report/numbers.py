"""The statistics of models, and their comparison, as tables and key figures."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, compress
from typing import Any

from nnunetv2_mscs.evaluation.catalogue import MAIN_METRICS, METRICS
from nnunetv2_mscs.evaluation.comparison import Comparison
from nnunetv2_mscs.evaluation.paired_tests import PairedTest
from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.evaluation.wording import number, p_number
from nnunetv2_mscs.reporting.report.content import KeyFigure, PageTable, Section, shown

CASE_SETS = {"all_cases": "All cases", "lesion_cases": "Cases with a lesion"}
FULL_HEADER = ("mean [95 % interval]", "SD", "median [quartiles]", "n (undefined)")
ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}
MEAN_OF_LABELS = "mean of the labels"
KEY_METRICS = ("dice", "hd95_mm", "f1_isles22")
HOW_TO_READ = (
    "Intervals are of the mean, by a seeded BCa bootstrap over cases. Undefined values (distances where exactly one "
    "mask is empty) are counted and left out of the mean, never dropped in silence."
)
TESTS_HEADER = ("Metric", "baseline", "model", "difference [95 % interval]", "median", "p", "p (Holm)", "n", "verdict")
HOW_COMPARED = (
    "Models are compared case by case: the mean paired difference with its bootstrap interval, and Wilcoxon's "
    "signed-rank test, corrected for the number of tests by Holm's method. A model is called better or worse only "
    "where the corrected test and the interval both say so."
)


def of_set(evaluation: Evaluation, label: str | None, case_set: str) -> Mapping[str, Any]:
    """The described metrics of a label, or of the mean of the labels (None)."""
    statistics = evaluation.statistics
    part = statistics["foreground_mean"] if label is None else statistics["labels"][label]
    return part[case_set]


def with_interval(described: Mapping[str, Any], column: str) -> str:
    """Such as `0.812 [0.780; 0.841]`."""
    return spread(described["mean"], described["ci_low"], described["ci_high"], column)


def spread(middle: float | None, low: float | None, high: float | None, column: str) -> str:
    """A value with the ends of its range; alone where these are undefined."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return shown(middle, column)
    return f"{shown(middle, column)} [{shown(low, column)}; {shown(high, column)}]"


def key_figures(evaluation: Evaluation) -> tuple[KeyFigure, ...]:
    """The few numbers at the top: of the one label, or of the mean of several."""
    statistics = evaluation.statistics
    label = None if statistics["foreground_mean"] else next(iter(evaluation.labels))
    everything = of_set(evaluation, label, "all_cases")
    figures = [KeyFigure("Cases", str(len(evaluation.cases)), _cases_in_words(evaluation))]
    for column in KEY_METRICS:
        figures.append(KeyFigure(f"{METRICS[column].title}, mean", *_value_and_detail(everything[column], column)))
        if column == "dice":
            with_lesion = of_set(evaluation, label, "lesion_cases")[column]
            figures.append(KeyFigure("Dice, cases with a lesion", *_value_and_detail(with_lesion, column)))
    if label is not None:
        agreement = statistics["labels"][label]["volume_agreement"]
        interval = _interval(agreement["ccc_ci"], 3)
        figures.append(KeyFigure("Volumes, Lin's concordance", number(agreement["ccc"], 3), interval))
    return tuple(figures)


def _cases_in_words(evaluation: Evaluation) -> str:
    lesion = int((~evaluation.table.groupby("case")["reference_empty"].all()).sum())
    folds = evaluation.table["fold"].nunique()
    return f"{lesion} with a lesion" + (f", {folds} folds" if folds > 1 else "")


def _value_and_detail(described: Mapping[str, Any], column: str) -> tuple[str, str]:
    detail = _interval((described["ci_low"], described["ci_high"]), METRICS[column].decimals)
    undefined = f", undefined in {described['undefined']}" if described["undefined"] else ""
    return shown(described["mean"], column), f"{detail}, n = {described['n']}{undefined}".removeprefix(", ")


def _interval(ends: Sequence[float | None], decimals: int) -> str:
    low, high = ends
    return "" if low is None or high is None else f"95 % interval {number(low, decimals)} to {number(high, decimals)}"


def metrics_section(evaluations: Sequence[Evaluation]) -> Section:
    """Main metrics of all models beside each other, then every metric of each model, folded."""
    first, several = evaluations[0], len(evaluations) > 1
    labels: list[tuple[str | None, str]] = [*first.labels.items()]
    if first.statistics["foreground_mean"]:
        labels.append((None, MEAN_OF_LABELS))
    tables = []
    for label, name in labels:
        columns = [column for column in MAIN_METRICS if column in of_set(first, label, "all_cases")]
        make = _models_beside if several else _described
        tables.append(make(evaluations, label, columns, f"Main metrics, {name}"))
    for one in evaluations:
        for label, name in labels:
            caption = f"Every metric{f' of {one.model}' if several else ''}, {name}"
            every = list(of_set(one, label, "all_cases"))
            tables.append(replace(_described([one], label, every, caption), folded=True))
    cross_validation = all(one.table["fold"].nunique() > 1 for one in evaluations)
    title = "Cross-validation" if cross_validation else "Metrics"
    return Section("metrics", title, sentences=(HOW_TO_READ,), tables=tuple(tables))


def _described(evaluations: Sequence[Evaluation], label: str | None, columns: Sequence[str], caption: str) -> PageTable:
    """The statistics of each metric of the first model."""

    def cells(column: str, case_set: str) -> list[str]:
        one = of_set(evaluations[0], label, case_set)[column]
        undefined = f" ({one['undefined']})" if one["undefined"] else ""
        quartiles = spread(one["median"], one["q1"], one["q3"], column)
        return [with_interval(one, column), shown(one["sd"], column), quartiles, f"{one['n']}{undefined}"]

    return _table_of_metrics(caption, columns, FULL_HEADER, "", cells)


def _models_beside(
    evaluations: Sequence[Evaluation], label: str | None, columns: Sequence[str], caption: str
) -> PageTable:
    """The mean of each metric, one column per model."""

    def cells(column: str, case_set: str) -> list[str]:
        described = [of_set(one, label, case_set)[column] for one in evaluations]
        undefined = (f" ({one['undefined']} undefined)" if one["undefined"] else "" for one in described)
        return [with_interval(one, column) + rest for one, rest in zip(described, undefined, strict=True)]

    return _table_of_metrics(caption, columns, [one.model for one in evaluations], ": mean [95 % interval]", cells)


def _table_of_metrics(
    caption: str,
    columns: Sequence[str],
    header: Sequence[str],
    group: str,
    cells: Callable[[str, str], list[str]],
) -> PageTable:
    """A table with one row per metric, and the same columns for each set of cases."""
    rows = tuple(
        (METRICS[column].title + ARROWS[METRICS[column].better], *chain(*(cells(column, key) for key in CASE_SETS)))
        for column in columns
    )
    groups = (("", 1), *((f"{title}{group}", len(header)) for title in CASE_SETS.values()))
    note = "↑ higher is better, ↓ lower is better."
    return PageTable(caption, ("Metric", *header, *header), rows, note, groups=groups)


def folds_table(evaluations: Sequence[Evaluation]) -> PageTable | None:
    """Mean Dice of each fold; None where folds are not known."""
    folds = sorted({fold for one in evaluations for fold in one.table["fold"].dropna()})
    if not folds:
        return None
    titles = ("cases", "mean Dice", "lowest Dice")
    rows = [[str(fold)] for fold in folds]
    for evaluation in evaluations:
        for label in evaluation.labels:
            for row, fold in zip(rows, folds, strict=True):
                results = evaluation.of_label(label)
                dice = results["dice"][results["fold"] == fold]
                row += [str(len(dice)), shown(dice.mean(), "dice"), shown(dice.min(), "dice")]
    return _grouped("Validation by fold", "Fold", titles, rows, evaluations)


def sizes_table(evaluations: Sequence[Evaluation]) -> PageTable:
    """Lesions found by size, pooled over cases."""
    cells: dict[str, list[str]] = {}
    for evaluation in evaluations:
        for label in evaluation.labels:
            for size, found in evaluation.statistics["labels"][label]["lesions_by_size"].items():
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
) -> PageTable:
    """A table with the same columns for each model and label, under their names if there are several."""
    names = _names(evaluations)
    groups = (("", 1), *((name, len(titles)) for name in names)) if len(names) > 1 else ()
    header = (first, *(titles * len(names)))
    return PageTable(caption, header, tuple(tuple(row) for row in rows), note, groups=groups)


def _names(evaluations: Sequence[Evaluation]) -> list[str]:
    """The name of each model and label, without the part that all of them share."""
    pairs = [(one.model, name) for one in evaluations for name in one.labels.values()]
    differ = [len(set(column)) > 1 for column in zip(*pairs, strict=True)]
    return [", ".join(compress(pair, differ)) or pair[1] for pair in pairs]


def agreement_table(evaluations: Sequence[Evaluation]) -> PageTable:
    """Volumes: bias, limits of agreement, concordance, and the classification at the threshold."""
    columns = [
        _agreement(evaluation.statistics["labels"][label]["volume_agreement"])
        for evaluation in evaluations
        for label in evaluation.labels
    ]
    rows = tuple((term, *(column[term] for column in columns)) for term in columns[0])
    header = ("Predicted against reference volume", *_names(evaluations))
    return PageTable("Agreement of lesion volumes", header, rows)


def _agreement(agreement: Mapping[str, Any]) -> dict[str, str]:
    bland, classes = agreement["bland_altman"], agreement["classification"]

    def volume(middle: float | None, interval: Sequence[float | None]) -> str:
        low, high = interval
        return spread(middle, low, high, "volume_difference_ml")

    threshold = f"at {classes['threshold_ml']:g} mL"
    sensitivity, specificity = (number(classes[rate], 3) for rate in ("sensitivity", "specificity"))
    counts = [classes[f"{kind}_{side}"] for kind in ("true", "false") for side in ("positive", "negative")]
    return {
        "cases": str(agreement["n"]),
        "bias, prediction minus reference (mL) [95 % interval]": volume(bland["bias_ml"], bland["bias_ci_ml"]),
        "lower limit of agreement (mL)": volume(bland["lower_ml"], bland["lower_ci_ml"]),
        "upper limit of agreement (mL)": volume(bland["upper_ml"], bland["upper_ci_ml"]),
        "Lin's concordance [95 % interval]": spread(
            agreement["ccc"], agreement["ccc_ci"][0], agreement["ccc_ci"][1], "dice"
        ),
        "Pearson's r": number(agreement["pearson_r"], 3),
        f"{threshold}: true positive, true negative, false positive, false negative": ", ".join(map(str, counts)),
        f"{threshold}: sensitivity, specificity": f"{sensitivity}, {specificity}",
        f"{threshold}: Cohen's kappa": number(classes["kappa"], 3),
    }


def comparison_section(comparison: Comparison) -> Section:
    """A sentence for each main metric, the warnings, and the tests of each pair of models, folded."""
    pairs = dict.fromkeys((test.baseline, test.model) for test in comparison.tests)
    return Section(
        "comparison",
        "Comparison",
        sentences=(HOW_COMPARED,),
        points=tuple(comparison.sentences(family="main")),
        tables=tuple(_table_of_tests(comparison, baseline, model) for baseline, model in pairs),
    )


def _table_of_tests(comparison: Comparison, baseline: str, model: str) -> PageTable:
    several = len(comparison.labels) > 1
    tests = [test for test in comparison.tests if (test.baseline, test.model) == (baseline, model)]
    rows = tuple(_row_of_test(test, several) for test in tests)
    return PageTable(f"Every test of {model} (model) against {baseline} (baseline)", TESTS_HEADER, rows, folded=True)


def _row_of_test(test: PairedTest, several_labels: bool) -> tuple[str, ...]:
    return (
        METRICS[test.metric].title + (f", {test.label_name}" if several_labels else ""),
        shown(test.mean_baseline, test.metric),
        shown(test.mean_model, test.metric),
        spread(test.difference, test.ci_low, test.ci_high, test.metric),
        shown(test.median_difference, test.metric),
        p_number(test.p),
        p_number(test.p_holm),
        str(test.n),
        test.verdict,
    )
