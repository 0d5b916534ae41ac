"""Several models on the same cases: paired differences, tests corrected for their number, and a sentence for each."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.bootstrap import CONFIDENCE, SAMPLES
from nnunetv2_mscs.evaluation.catalogue import MAIN_METRICS, METRICS
from nnunetv2_mscs.evaluation.paired_tests import ALPHA, MAIN, OTHER, PairedTest, corrected, paired_test
from nnunetv2_mscs.evaluation.results import CaseResult, Evaluation
from nnunetv2_mscs.evaluation.statistics import as_json
from nnunetv2_mscs.evaluation.wording import comparison_warnings, sentence

SAME_TRUTH = ("volume_reference_ml", "lesion_count_reference")
CASES_NAMED = 5
# Recognition quality is F1: tested twice, one finding would have two corrected p-values.
SAME_AS_F1 = ("rq_iou20", "rq_iou25")
TESTED = tuple(column for column, metric in METRICS.items() if metric.better != "neither" and column not in SAME_AS_F1)


@dataclass(frozen=True)
class Comparison:
    """All metrics that have a better and a worse, of all labels, for all pairs of models.

    Recognition quality is left out: it is the lesion F1 of the same IoU.

    Args:
        models: their names; the first is the baseline.
        labels: names by label.
        cases: number of cases.
        tests: pairs with the baseline first, then the others; within a pair by label and metric.
        seed: of the bootstrap.
        samples: of the bootstrap.
    """

    models: tuple[str, ...]
    labels: dict[str, str]
    cases: int
    tests: tuple[PairedTest, ...]
    seed: int
    samples: int

    def of(self, model: str, label: str, *, baseline: str | None = None) -> dict[str, PairedTest]:
        """A model's tests against a baseline (the first model if not given), by metric."""
        pair = (baseline or self.models[0], model, label)
        return {test.metric: test for test in self.tests if (test.baseline, test.model, test.label) == pair}

    def rows(self) -> list[dict[str, Any]]:
        """A row a test for a CSV file, numbers unrounded, the sentence last."""
        return [{**asdict(test), "sentence": self._sentence(test)} for test in self.tests]

    def sentences(self, *, family: str | None = None) -> list[str]:
        """A sentence a test; of one family only if given."""
        return [self._sentence(test) for test in self.tests if family in (None, test.family)]

    def _sentence(self, test: PairedTest) -> str:
        return sentence(test, name_label=len(self.labels) > 1)

    def warnings(self) -> list[str]:
        """What a reader must know before believing the tests."""
        return comparison_warnings(self.tests, self.family_sizes())

    def family_sizes(self) -> dict[str, int]:
        """Number of tests corrected for together."""
        return {
            family: sum(test.family == family and not np.isnan(test.p) for test in self.tests)
            for family in (MAIN, OTHER)
        }

    def as_json(self) -> dict[str, Any]:
        """For comparison.json, laid out as docs/statistics.md says."""
        return as_json(
            {
                "models": self.models,
                "baseline": self.models[0],
                "labels": self.labels,
                "cases": self.cases,
                "settings": {
                    "interval": "of the mean difference, by BCa bootstrap over cases, not corrected for many",
                    "confidence": CONFIDENCE,
                    "samples": self.samples,
                    "seed": self.seed,
                    "test": "Wilcoxon signed-rank, two-sided, zeros ranked by Pratt's method",
                    "correction": "Holm, within each family: its metrics, all labels, all pairs of models",
                    "alpha": ALPHA,
                },
                "families": self.family_sizes(),
                "main_metrics": MAIN_METRICS,
                "warnings": self.warnings(),
                "tests": self.rows(),
            }
        )


def compare(evaluations: Sequence[Evaluation], *, seed: int = 0, samples: int = SAMPLES) -> Comparison:
    """Compare two or more models on the same cases; the first is the baseline.

    Args:
        evaluations: one a model, of the same cases and labels, in any order of the cases.
        seed: of the bootstrap.
        samples: bootstrap samples.

    Raises:
        MscsError: fewer than two models, two of one name, no cases, or they differ in cases, labels or the truth.
    """
    _check(evaluations)
    first = evaluations[0]
    by_case = [{(result.case, result.label): result for result in one.results} for one in evaluations]
    models = [one.model for one in evaluations]
    tests = [
        paired_test(metric, models[a], models[b], [(by_case[a][key], by_case[b][key]) for key in keys], seed, samples)
        for a, b in combinations(range(len(models)), 2)
        for keys in [[(case, label) for case in first.cases] for label in first.labels]
        for metric in TESTED
    ]
    return Comparison(tuple(models), first.labels, len(first.cases), tuple(corrected(tests)), seed, samples)


def _check(evaluations: Sequence[Evaluation]) -> None:
    if len(evaluations) < 2:
        raise MscsError("A comparison needs two models or more.", "Give another folder of predictions.")
    models = [one.model for one in evaluations]
    twice = sorted({model for model in models if models.count(model) > 1})
    if twice:
        raise MscsError(f"Several models are called {', '.join(twice)}.", "Give each a name of its own.")
    if not any(one.results for one in evaluations):
        raise MscsError("There is no case to compare the models on.", "Evaluate them on one case or more.")
    for other in evaluations[1:]:
        _check_pair(evaluations[0], other)


def _check_pair(first: Evaluation, other: Evaluation) -> None:
    if set(first.labels) != set(other.labels):
        raise MscsError(
            f"{first.model} has the labels {', '.join(first.labels)}, {other.model} has {', '.join(other.labels)}.",
            "Evaluate both with the same labels.",
        )
    for one, another in ((first, other), (other, first)):
        missing = [case for case in one.cases if case not in set(another.cases)]
        if missing:
            raise MscsError(
                f"{_listed(missing)} of {one.model} {_are(missing)} not in {another.model}.",
                "Compare models on the same cases: predict the missing ones, or evaluate both on the cases they share.",
            )
    theirs = {(result.case, result.label): result for result in other.results}
    differing = list(
        dict.fromkeys(
            result.case for result in first.results if _truth_differs(result, theirs[result.case, result.label])
        )
    )
    if differing:
        raise MscsError(
            f"The reference of {_listed(differing)} is not the same for {first.model} and {other.model} "
            "(volume or number of lesions differ).",
            "Evaluate both against the same masks.",
        )


def _truth_differs(one: CaseResult, other: CaseResult) -> bool:
    return not all(np.isclose(one.values[column], other.values[column], rtol=1e-4) for column in SAME_TRUTH)


def _listed(cases: Sequence[str]) -> str:
    named = ", ".join(cases[:CASES_NAMED])
    more = f" and {len(cases) - CASES_NAMED} more" if len(cases) > CASES_NAMED else ""
    return f"{'Case' if len(cases) == 1 else 'Cases'} {named}{more}"


def _are(cases: Sequence[str]) -> str:
    return "is" if len(cases) == 1 else "are"
