"""One metric of two models on the same cases: the paired difference, its interval, its test, and Holm's correction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.stats import rankdata, wilcoxon

from nnunetv2_mscs.evaluation.bootstrap import UNDEFINED, mean_interval
from nnunetv2_mscs.evaluation.catalogue import ALPHA, MAIN_METRICS, METRICS

Verdict = Literal["better", "worse", "not distinguishable", "not tested"]
# Differences are rounded to this many decimals, so that rounding errors of floats are no differences.
DIFFERENCE_DECIMALS = 9
# Up to here p is exact, for probabilities are multiples of 2^-50, which floats hold without rounding.
EXACT_CASES = 50
MAIN, OTHER = "main", "other"


@dataclass(frozen=True)
class PairedTest:
    """One metric of one label, model against baseline on the cases where it is defined for both.

    Args:
        label: as in cases.csv.
        label_name: such as "lesion".
        metric: column of cases.csv.
        baseline: the model compared with.
        model: the model judged.
        cases: number of cases compared.
        n: number of these cases where the metric is defined for both.
        undefined_baseline: number of cases where it is undefined for the baseline.
        undefined_model: number of cases where it is undefined for the model.
        mean_baseline: over the n cases.
        mean_model: over the n cases.
        difference: mean of model minus baseline.
        ci_low: lower end of its 95 % interval.
        ci_high: upper end.
        median_difference: median of model minus baseline.
        higher: number of the n cases where the model's value is higher.
        lower: number where it is lower.
        p: Wilcoxon's signed-rank test.
        rank_biserial: its effect size, 1 where the model is higher in every case, -1 where it is lower in every case.
        p_holm: corrected for the tests of its family; NaN if not tested.
        family: "main" or "other" metrics.
        verdict: on the model.
    """

    label: str
    label_name: str
    metric: str
    baseline: str
    model: str
    cases: int
    n: int
    undefined_baseline: int
    undefined_model: int
    mean_baseline: float
    mean_model: float
    difference: float
    ci_low: float
    ci_high: float
    median_difference: float
    higher: int
    lower: int
    p: float
    rank_biserial: float
    p_holm: float
    family: str
    verdict: Verdict


def paired_test(
    old: np.ndarray,
    new: np.ndarray,
    *,
    seed: int,
    samples: int,
    metric: str,
    **names: Any,
) -> PairedTest:
    """Test one metric of one label, not yet corrected.

    Args:
        old: the baseline's value of each case, (cases,).
        new: the model's values of the same cases, (cases,).
        seed: of the bootstrap.
        samples: of the bootstrap.
        metric: column of cases.csv.
        names: `label`, `label_name`, `baseline` and `model` of the test.
    """
    both = ~np.isnan(old) & ~np.isnan(new)
    # Sorted, so that no digit depends on the order of the cases.
    differences = np.sort(np.round(new[both] - old[both], DIFFERENCE_DECIMALS))
    n = len(differences)
    low, high = _interval(differences, seed, samples)
    return PairedTest(
        **names,
        metric=metric,
        cases=len(old),
        n=n,
        undefined_baseline=int(np.isnan(old).sum()),
        undefined_model=int(np.isnan(new).sum()),
        mean_baseline=float(old[both].mean()) if n else UNDEFINED,
        mean_model=float(new[both].mean()) if n else UNDEFINED,
        difference=float(differences.mean()) if n else UNDEFINED,
        ci_low=low,
        ci_high=high,
        median_difference=float(np.median(differences)) if n else UNDEFINED,
        higher=int((differences > 0).sum()),
        lower=int((differences < 0).sum()),
        p=_signed_rank(differences),
        rank_biserial=_rank_biserial(differences),
        p_holm=UNDEFINED,
        family=MAIN if metric in MAIN_METRICS else OTHER,
        verdict="not tested",
    )


def _interval(differences: np.ndarray, seed: int, samples: int) -> tuple[float, float]:
    """The interval of their mean; with the models exchanged it is exactly its mirror image."""
    mirrored = np.sort(-differences)
    low, high = mean_interval(max(differences, mirrored, key=tuple), seed=seed, samples=samples)
    if np.array_equal(differences, mirrored):
        half = (high - low) / 2
        return 0.0 - half, half
    return (0.0 - high, 0.0 - low) if tuple(differences) < tuple(mirrored) else (low, high)


def _signed_rank(differences: np.ndarray) -> float:
    """p of Wilcoxon's test. Cases without a difference count against one (Pratt); 1 where no case differs."""
    if len(differences) < 2:
        return UNDEFINED
    differing = differences != 0
    if not differing.any():
        return 1.0
    if differing.sum() > EXACT_CASES:
        return float(wilcoxon(differences, zero_method="pratt").pvalue)
    return _exact_p(rankdata(np.abs(differences))[differing], differences[differing] > 0)


def _exact_p(ranks: np.ndarray, higher: np.ndarray) -> float:
    """Share of all 2^n ways to sign the ranks, (n,), whose sums lie as far apart; ties may halve a rank."""
    doubled = np.rint(2 * ranks).astype(int)
    larger_sum = max(doubled[higher].sum(), doubled[~higher].sum())
    chances = np.zeros(doubled.sum() + 1)
    chances[0] = 1.0
    for rank in doubled:
        chances[rank:] += chances[:-rank].copy()
        chances /= 2
    return min(1.0, 2 * float(chances[larger_sum:].sum()))


def _rank_biserial(differences: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014) of the ranks that the test adds; 0 where no case differs."""
    if len(differences) == 0:
        return UNDEFINED
    ranks = rankdata(np.abs(differences)) * (differences != 0)
    return float((ranks * np.sign(differences)).sum() / max(ranks.sum(), 1.0))


def corrected(tests: Sequence[PairedTest]) -> list[PairedTest]:
    """The same tests in the same order, corrected within each family, with a verdict each."""
    p = np.array([test.p for test in tests])
    families = np.array([test.family for test in tests])
    for family in (MAIN, OTHER):
        p[families == family] = holm(p[families == family])
    return [
        replace(test, p_holm=float(one), verdict=_verdict(test, float(one))) for test, one in zip(tests, p, strict=True)
    ]


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down corrected p-values (Scand J Stat 1979), (n,); NaN stays NaN and does not count."""
    corrected = np.full(len(p), np.nan)
    order = [i for i in np.argsort(p) if not np.isnan(p[i])]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return corrected


def _verdict(test: PairedTest, p_holm: float) -> Verdict:
    """Better or worse only where the corrected test and the interval of the mean agree on it."""
    if np.isnan(p_holm):
        return "not tested"
    opposed = test.difference * test.rank_biserial <= 0
    if p_holm >= ALPHA or test.ci_low <= 0 <= test.ci_high or opposed:
        return "not distinguishable"
    return "better" if (test.difference > 0) == (METRICS[test.metric].better == "higher") else "worse"
