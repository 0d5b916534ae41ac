"""Bootstrap intervals: against BCa written out over every possible sample, against coverage, and their odd cases."""

import itertools
import warnings

import numpy as np
import pytest
from scipy.stats import norm

from nnunetv2_mscs.evaluation.bootstrap import bca_interval, mean_interval, ratio_interval


def bca_of_every_sample(data, statistic):
    """Efron and Tibshirani 1993, chapter 14, with all n^n samples in place of random ones; (n, values) data."""
    n = len(data)
    samples = np.sort([statistic(data[list(drawn)]) for drawn in itertools.product(range(n), repeat=n)])
    value = statistic(data)
    z0 = norm.ppf((np.mean(samples < value) + np.mean(samples <= value)) / 2)
    without_one = np.array([statistic(np.delete(data, i, axis=0)) for i in range(n)])
    lag = without_one.mean() - without_one
    acceleration = (lag**3).sum() / (6 * (lag**2).sum() ** 1.5)
    z = z0 + norm.ppf([0.025, 0.975])
    return np.quantile(samples, norm.cdf(z0 + z / (1 - acceleration * z)))


@pytest.mark.parametrize("values", [[0.1, 0.5, 0.62, 0.7, 0.81], [1, 2, 4, 8, 16, 32], [0, 0, 0.9, 0.91, 0.95]])
def test_mean_against_every_sample(values):
    values = np.array(values, float)
    expected = bca_of_every_sample(values[:, None], np.mean)
    assert mean_interval(values, samples=100_000) == pytest.approx(expected, abs=0.02 * np.ptp(values))


def test_ratio_against_every_sample():
    parts, totals = np.array([1.0, 0, 2, 5, 1]), np.array([1.0, 3, 2, 9, 4])
    expected = bca_of_every_sample(
        np.stack([parts, totals], axis=1), lambda drawn: drawn[:, 0].sum() / drawn[:, 1].sum()
    )
    assert ratio_interval(parts, totals, samples=100_000) == pytest.approx(expected, abs=0.02)


def test_it_covers_the_truth():
    """In 95 of 100 studies of 40 skewed values; 300 studies leave 3.8 % to chance at three standard errors."""
    rng = np.random.default_rng(0)
    studies = rng.beta(4, 1.2, (300, 40))
    intervals = np.array([mean_interval(study, samples=500) for study in studies])
    covered = np.mean((intervals[:, 0] <= 4 / 5.2) & (intervals[:, 1] >= 4 / 5.2))
    assert 0.90 < covered < 0.985


def test_seed_order_and_scale():
    values = np.random.default_rng(1).lognormal(size=30)
    interval = mean_interval(values, seed=3)
    assert mean_interval(values, seed=3) == interval
    assert mean_interval(np.random.default_rng(2).permutation(values), seed=3) == interval
    assert mean_interval(values, seed=4) != interval
    assert mean_interval(values, seed=4) == pytest.approx(interval, rel=0.05)
    assert mean_interval(1000 * values + 7, seed=3) == pytest.approx([1000 * end + 7 for end in interval])


def test_ratio_keeps_cases_together():
    """Lesions found are drawn with those there were; a ratio never leaves [0, 1]."""
    rng = np.random.default_rng(0)
    totals = rng.integers(1, 9, 25)
    parts = np.minimum(rng.integers(0, 9, 25), totals)
    order = rng.permutation(25)
    low, high = ratio_interval(parts, totals)
    assert 0 <= low < parts.sum() / totals.sum() < high <= 1
    assert ratio_interval(parts[order], totals[order]) == (low, high)
    assert ratio_interval(totals // 2 * 2, totals // 2 * 4 + (totals < 2)) != (low, high)


@pytest.mark.parametrize("values", [[], [0.7]])
def test_fewer_than_two_cases_have_no_interval(values):
    values = np.array(values)
    assert np.isnan(mean_interval(values)).all()
    assert np.isnan(ratio_interval(values, np.ones(len(values)))).all()


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -3.3, 1e6])
@pytest.mark.parametrize("n", [2, 3, 7, 250])
def test_equal_values_have_no_spread(value, n):
    assert mean_interval(np.full(n, value)) == pytest.approx((value, value))


def test_equal_ratios_have_no_spread():
    assert ratio_interval(np.array([1.0, 2, 3]), np.array([2.0, 4, 6])) == (0.5, 0.5)


def test_no_data_set_warns_or_is_turned_round():
    """Scores have piles at 0 and at 1; from two cases on there is an interval, within their range."""
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(150):
            values = np.clip(rng.normal(rng.uniform(-0.5, 1.5), 0.5, rng.integers(2, 15)), 0, 1)
            low, high = mean_interval(values, samples=100)
            assert values.min() <= low <= high <= values.max()


def test_samples_that_do_not_spread_give_no_interval():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        interval = bca_interval((np.arange(9.0),), lambda values, axis: 0 * values.sum(axis=axis), seed=0, samples=100)
    assert np.isnan(interval).all()
