"""Intervals of a statistic over cases: seeded, bias-corrected and accelerated (BCa) bootstrap."""

import warnings
from collections.abc import Callable

import numpy as np
from scipy.stats import DegenerateDataWarning, bootstrap

CONFIDENCE, SAMPLES = 0.95, 5000
UNDEFINED = float("nan")
NO_INTERVAL = (UNDEFINED, UNDEFINED)
VALUES_AT_ONCE = 2_000_000
SAME = 1e-12


def mean_interval(values: np.ndarray, *, seed: int = 0, samples: int = SAMPLES) -> tuple[float, float]:
    """The BCa interval of a mean over cases.

    Args:
        values: (n,), all defined.
        seed: of the draws.
        samples: number of bootstrap samples.

    Returns:
        Its ends. Both are the value itself where all values are equal; both NaN for fewer than two values.
    """
    if len(values) > 1 and _all_same(values):
        # Without spread BCa is not defined, and every sample gives the value itself.
        value = float(np.sort(values).mean())
        return value, value
    return bca_interval((values,), _mean, seed=seed, samples=samples)


def ratio_interval(
    parts: np.ndarray, totals: np.ndarray, *, seed: int = 0, samples: int = SAMPLES
) -> tuple[float, float]:
    """The BCa interval of sum(parts) / sum(totals) over drawn cases, such as of lesions found among all lesions.

    Args:
        parts: (n,).
        totals: (n,), all above 0: a case without anything to count does not inform the ratio.
        seed: of the draws.
        samples: number of bootstrap samples.

    Returns:
        As `mean_interval`; both ends are equal where all cases have the same ratio.
    """
    if len(parts) > 1 and _all_same(parts / totals):
        value = float(parts.sum() / totals.sum())
        return value, value
    return bca_interval((parts, totals), _ratio, seed=seed, samples=samples)


def bca_interval(
    data: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray], *, seed: int, samples: int
) -> tuple[float, float]:
    """The interval of any statistic (Efron, J Am Stat Assoc 1987), the same for any order of the cases.

    Args:
        data: one or several values per case, (n,) each.
        statistic: of such arrays along a keyword `axis`.
        seed: of the draws; every call starts from it, so no interval depends on those computed before.
        samples: number of bootstrap samples.

    Returns:
        Its ends; NaN for fewer than two cases, and where the samples do not spread around the statistic.
    """
    n = len(data[0])
    if n < 2:
        return NO_INTERVAL
    order = np.lexsort(data)
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", DegenerateDataWarning)
        low, high = bootstrap(
            tuple(values[order] for values in data),
            statistic,
            n_resamples=samples,
            batch=max(1, VALUES_AT_ONCE // n),
            vectorized=True,
            paired=len(data) > 1,
            axis=0,
            confidence_level=CONFIDENCE,
            method="BCa",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return (float(low), float(high)) if low <= high else NO_INTERVAL


def _all_same(values: np.ndarray) -> bool:
    return bool(np.ptp(values) <= SAME * max(1.0, float(np.abs(values).max())))


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(values.mean(axis=axis))


def _ratio(parts: np.ndarray, totals: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(parts.sum(axis=axis) / totals.sum(axis=axis))
