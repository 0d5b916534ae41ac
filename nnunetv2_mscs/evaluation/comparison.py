"""Several models on the same cases: paired differences, tests corrected for their number, and a sentence for each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.bootstrap import CONFIDENCE, SAMPLES
from nnunetv2_mscs.evaluation.catalogue import MAIN_METRICS, METRICS
from nnunetv2_mscs.evaluation.paired_tests import ALPHA, MAIN, OTHER, PairedTest, corrected, paired_test
from nnunetv2_mscs.evaluation.results import COMPARISON, Evaluation
from nnunetv2_mscs.evaluation.statistics import as_json
from nnunetv2_mscs.evaluation.wording import comparison_warnings, sentence

SAME_TRUTH = ["volume_reference_ml", "lesion_count_reference"]
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

    def of(self, model: str, label: str) -> dict[str, PairedTest]:
        """A model's tests against the first model, by metric."""
        pair = (self.models[0], model, label)
        return {test.metric: test for test in self.tests if (test.baseline, test.model, test.label) == pair}

    def rows(self) -> list[dict[str, Any]]:
        """One row per test, numbers unrounded, the sentence last."""
        return [{**asdict(test), "sentence": self._sentence(test)} for test in self.tests]

    def sentences(self, *, family: str | None = None) -> list[str]:
        """One sentence per test; of one family only if given."""
        return [self._sentence(test) for test in self.tests if family in (None, test.family)]

    def renamed(self, names: Sequence[str]) -> "Comparison":
        """The same comparison with other names of the models, in their order."""
        new = dict(zip(self.models, names, strict=True))
        tests = (replace(test, baseline=new[test.baseline], model=new[test.model]) for test in self.tests)
        return replace(self, models=tuple(names), tests=tuple(tests))

    def _sentence(self, test: PairedTest) -> str:
        return sentence(test, name_label=len(self.labels) > 1)

    def warnings(self) -> list[str]:
        """What a reader must know before believing the tests."""
        return comparison_warnings(self.tests, self.family_sizes())

    def family_sizes(self) -> dict[str, int]:
        """The number of tests in each family, which are corrected together."""
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


def read_comparison(folder: Path) -> Comparison:
    """Read the comparison.json that `mscs evaluate --compare` wrote.

    Raises:
        MscsError: it is damaged.
    """
    try:
        content = json.loads((folder / COMPARISON).read_text(encoding="utf-8"))
        return Comparison(
            models=tuple(content["models"]),
            labels=dict(content["labels"]),
            cases=content["cases"],
            tests=tuple(_test_of(row) for row in content["tests"]),
            seed=content["settings"]["seed"],
            samples=content["settings"]["samples"],
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise MscsError(
            f"{folder / COMPARISON} cannot be read ({type(error).__name__}: {error}).",
            "Make it again with mscs evaluate --compare.",
        ) from error


def _test_of(row: Mapping[str, Any]) -> PairedTest:
    """A test as JSON holds it, where None stands for NaN."""
    values: dict[str, Any] = {key: np.nan if value is None else value for key, value in row.items()}
    del values["sentence"]
    return PairedTest(**values)


def compare(evaluations: Sequence[Evaluation], *, seed: int = 0, samples: int = SAMPLES) -> Comparison:
    """Compare two or more models on the same cases; the first is the baseline.

    Cases may be in any order.

    Raises:
        MscsError: fewer than two models, two of one name, no cases, or they differ in cases, labels or the truth.
    """
    _check(evaluations)
    first = evaluations[0]
    tests = []
    for baseline, model in combinations(evaluations, 2):
        for label, name in first.labels.items():
            names = {"label": label, "label_name": name, "baseline": baseline.model, "model": model.model}
            old, new = (one.of_label(label).set_index("case").loc[list(first.cases)] for one in (baseline, model))
            for metric in TESTED:
                one, other = old[metric].to_numpy(), new[metric].to_numpy()
                tests.append(paired_test(one, other, seed=seed, samples=samples, metric=metric, **names))
    models = tuple(one.model for one in evaluations)
    return Comparison(models, first.labels, len(first.cases), tuple(corrected(tests)), seed, samples)


def _check(evaluations: Sequence[Evaluation]) -> None:
    if len(evaluations) < 2:
        raise MscsError("A comparison needs two models or more.", "Give another folder of predictions.")
    models = [one.model for one in evaluations]
    twice = sorted({model for model in models if models.count(model) > 1})
    if twice:
        raise MscsError(f"Several models are called {', '.join(twice)}.", "Give each a name of its own.")
    if all(one.table.empty for one in evaluations):
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
    ours, theirs = (one.table.set_index(["case", "label"])[SAME_TRUTH] for one in (first, other))
    same = np.isclose(ours, theirs.loc[ours.index], rtol=1e-4).all(axis=1)
    differing = list(first.table["case"][~same].unique())
    if differing:
        raise MscsError(
            f"The reference of {_listed(differing)} is not the same for {first.model} and {other.model} "
            "(volume or number of lesions differ).",
            "Evaluate both against the same masks.",
        )


def _listed(cases: Sequence[str]) -> str:
    named = ", ".join(cases[:CASES_NAMED])
    more = f" and {len(cases) - CASES_NAMED} more" if len(cases) > CASES_NAMED else ""
    return f"{'Case' if len(cases) == 1 else 'Cases'} {named}{more}"


def _are(cases: Sequence[str]) -> str:
    return "is" if len(cases) == 1 else "are"
