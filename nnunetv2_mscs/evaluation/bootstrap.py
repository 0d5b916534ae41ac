"""How sure a mean over cases is: seeded bias-corrected and accelerated (BCa) bootstrap intervals."""

from collections.abc import Callable

import numpy as np
from scipy.stats import bootstrap

CONFIDENCE, SAMPLES = 0.95, 5000
NO_INTERVAL = (float("nan"), float("nan"))
VALUES_AT_ONCE = 2_000_000
SAME = 1e-12


def mean_interval(values: np.ndarray, *, seed: int = 0, samples: int = SAMPLES) -> tuple[float, float]:
    """The BCa interval of a mean over cases, the same for any order of the cases.

    Args:
        values: (n,), all defined.
        seed: of the draws; every call draws anew from it, so that no interval depends on those computed before.
        samples: number of bootstrap samples.

    Returns:
        Its ends. Both are the value itself where all values are equal; both NaN for fewer than two values.
    """
    return _interval((np.sort(values),), _mean, seed, samples)


def ratio_interval(
    parts: np.ndarray, totals: np.ndarray, *, seed: int = 0, samples: int = SAMPLES
) -> tuple[float, float]:
    """The BCa interval of sum(parts) / sum(totals), as of lesions found, with the cases drawn.

    Args:
        parts: (n,).
        totals: (n,), all above 0: a case that holds nothing to count says nothing about the ratio.
        seed: as for `mean_interval`.
        samples: number of bootstrap samples.
    """
    order = np.lexsort((totals, parts))
    return _interval((parts[order], totals[order]), _ratio, seed, samples)


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(values.mean(axis=axis))


def _ratio(parts: np.ndarray, totals: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(parts.sum(axis=axis) / totals.sum(axis=axis))


def _interval(
    data: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray], seed: int, samples: int
) -> tuple[float, float]:
    n = len(data[0])
    if n < 2:
        return NO_INTERVAL
    by_case = statistic(*(values[:, None] for values in data), axis=1)
    if np.ptp(by_case) <= SAME * max(1.0, float(np.abs(by_case).max())):
        # Without spread BCa is not defined, and every sample gives the value itself.
        value = float(statistic(*data, axis=0))
        return value, value
    low, high = bootstrap(
        data,
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
    return float(low), float(high)
