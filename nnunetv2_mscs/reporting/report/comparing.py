"""The comparison of models as a section of the report: sentences first, then every number."""

from nnunetv2_mscs.evaluation.catalogue import METRICS
from nnunetv2_mscs.evaluation.comparison import Comparison
from nnunetv2_mscs.evaluation.paired_tests import PairedTest
from nnunetv2_mscs.evaluation.wording import p_number
from nnunetv2_mscs.reporting.report.content import PageTable, Section, shown
from nnunetv2_mscs.reporting.report.numbers import spread

HEADER = ("Metric", "baseline", "model", "difference [95 % interval]", "median", "p", "p (Holm)", "n", "verdict")
METHOD = (
    "Models are compared case by case: the mean paired difference with its bootstrap interval, and Wilcoxon's "
    "signed-rank test, corrected for the number of tests by Holm's method. A model is called better or worse only "
    "where the corrected test and the interval both say so."
)


def comparison_section(comparison: Comparison) -> Section:
    """A sentence for each main metric, the warnings, and the tests of each pair of models, folded."""
    pairs = dict.fromkeys((test.baseline, test.model) for test in comparison.tests)
    return Section(
        "comparison",
        "Comparison",
        sentences=(METHOD,),
        points=tuple(comparison.sentences(family="main")),
        tables=tuple(_table(comparison, baseline, model) for baseline, model in pairs),
    )


def _table(comparison: Comparison, baseline: str, model: str) -> PageTable:
    several = len(comparison.labels) > 1
    tests = [test for test in comparison.tests if (test.baseline, test.model) == (baseline, model)]
    rows = tuple(_row(test, several) for test in tests)
    return PageTable(f"Every test of {model} (model) against {baseline} (baseline)", HEADER, rows, folded=True)


def _row(test: PairedTest, several_labels: bool) -> tuple[str, ...]:
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
