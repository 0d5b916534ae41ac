"""Agreement of volumes: published examples, counts by hand, and what few cases cannot give."""

import numpy as np
import pytest

from nnunetv2_mscs.evaluation.agreement import bland_altman, classify, concordance, volume_agreement

# Peak expiratory flow in l/min of 17 people, first readings of two meters: Bland and Altman, Lancet 1986
WRIGHT = np.array([494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427.0])
MINI = np.array([512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451.0])


def test_bland_and_altmans_own_example():
    """They print a bias of -2.1, an sd of 38.8 and an interval of -22.0 to 17.8, and take 2 for 1.96."""
    found = bland_altman(MINI, WRIGHT)
    assert (round(found["bias_ml"], 1), round(found["sd_ml"], 1)) == (-2.1, 38.8)
    assert [round(end, 1) for end in found["bias_ci_ml"]] == [-22.0, 17.8]
    limits = found["lower_ml"], found["upper_ml"]
    assert limits == pytest.approx((-2.118 - 1.96 * 38.765, -2.118 + 1.96 * 38.765), abs=2e-3)


def test_bland_altman_by_hand():
    """Differences 1, 2, 3: bias 2, sd 1; Student's t for 2 degrees of freedom is 4.302653."""
    found = bland_altman(np.array([5.0, 10, 20]), np.array([6.0, 12, 23]))
    assert (found["bias_ml"], found["sd_ml"]) == pytest.approx((2, 1))
    assert (found["lower_ml"], found["upper_ml"]) == pytest.approx((0.04, 3.96))
    assert found["bias_ci_ml"] == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))
    half = 4.302653 * (1 / 3 + 1.96**2 / 4) ** 0.5
    assert found["lower_ci_ml"] == pytest.approx((0.04 - half, 0.04 + half))
    assert found["upper_ci_ml"] == pytest.approx((3.96 - half, 3.96 + half))


def test_limits_hold_most_differences_and_their_interval_the_limit():
    """Of 1000 studies of 30 normal differences, mean 1 and sd 2."""
    rng = np.random.default_rng(0)
    studies = [bland_altman(np.zeros(30), rng.normal(1, 2, 30)) for _ in range(1000)]
    for limit, interval in ((-2.92, "lower_ci_ml"), (4.92, "upper_ci_ml")):
        ends = [one[interval] for one in studies]
        assert 0.92 < np.mean([low <= limit <= high for low, high in ends]) < 0.98


def test_concordance_by_hand():
    """x = 1, 2, 3, y = 2, 3, 4: r = 1, variances 2/3, means 1 apart: 2 (2/3) / (2/3 + 2/3 + 1) = 4/7."""
    x = np.array([1.0, 2, 3])
    assert concordance(x, x + 1)[0] == pytest.approx(4 / 7)
    assert concordance(x, 4 - x)[0] == pytest.approx(-1)
    assert concordance(x, 2 * x)[0] == pytest.approx(2 * (4 / 3) / (2 / 3 + 8 / 3 + 4))


def test_concordance_by_another_formula():
    """1 - mean squared difference / what it would be without any correlation; and Pearson's r times Lin's C_b."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        x = rng.lognormal(3, 1, 25)
        y = x * rng.uniform(0.5, 1.5) + rng.normal(0, 10, 25)
        by_chance = np.mean((x[:, None] - y[None, :]) ** 2)
        ratio, shift = x.std() / y.std(), (x.mean() - y.mean()) / (x.std() * y.std()) ** 0.5
        ccc, (low, high) = concordance(x, y, samples=100)
        assert ccc == pytest.approx(1 - np.mean((x - y) ** 2) / by_chance)
        assert ccc == pytest.approx(np.corrcoef(x, y)[0, 1] * 2 / (ratio + 1 / ratio + shift**2))
        assert -1 <= low < ccc < high <= 1


def test_interval_of_concordance_agrees_with_lins_where_his_holds():
    """On normal values: Fisher's z with the variance of Lin, Biometrics 56 (2000) 324."""
    rng = np.random.default_rng(0)
    x = rng.normal(50, 10, 400)
    y = x + rng.normal(2, 4, 400)
    ccc, interval = concordance(x, y)
    r, u2 = np.corrcoef(x, y)[0, 1], (x.mean() - y.mean()) ** 2 / (x.std() * y.std())
    terms = (1 - r**2) * ccc**2 * (1 - ccc**2) / r**2 + 2 * ccc**3 * (1 - ccc) * u2 / r - ccc**4 * u2**2 / (2 * r**2)
    half = 1.959964 * (terms / (len(x) - 2)) ** 0.5 / (1 - ccc**2)
    assert interval == pytest.approx(np.tanh([np.arctanh(ccc) - half, np.arctanh(ccc) + half]), abs=0.004)


def test_interval_of_concordance_covers_the_truth_of_skewed_volumes():
    """Log-normal volumes with an error of a quarter, true concordance 0.952: not in half of all, as by Fisher's z."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(200):
        truth = np.exp(2 + 1.2 * rng.standard_normal(50))
        low, high = concordance(truth, truth * np.exp(0.05 + 0.25 * rng.standard_normal(50)), samples=300)[1]
        covered.append(low <= 0.952 <= high)
    assert np.mean(covered) > 0.75


def test_exact_volumes_agree():
    volumes = np.random.default_rng(0).lognormal(3, 1, 20)
    found = volume_agreement(volumes, volumes)
    assert (found["ccc"], found["ccc_ci"]) == (pytest.approx(1), pytest.approx((1, 1)))
    assert (found["bland_altman"]["lower_ml"], found["bland_altman"]["upper_ml"]) == (0, 0)


def test_bias_lowers_concordance_but_not_correlation():
    volumes = np.random.default_rng(0).lognormal(3, 1, 20)
    found = volume_agreement(volumes, 2 * volumes)
    assert found["pearson_r"] == pytest.approx(1)
    assert found["ccc"] < 0.8


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_cases(n):
    found = volume_agreement(np.array([10.0, 20.0])[:n], np.array([12.0, 21.0])[:n])
    assert found["n"] == n
    assert np.isnan(found["ccc_ci"]).all()
    assert np.isnan(found["bland_altman"]["bias_ml"]) == (n == 0)
    assert np.isnan(found["bland_altman"]["sd_ml"]) == (n < 2)
    assert np.isnan(found["classification"]["accuracy"]) == (n == 0)


@pytest.mark.parametrize("value", [0.0, 0.1, 25.3])
@pytest.mark.parametrize("n", [3, 7])
def test_equal_volumes_say_nothing_about_concordance(value, n):
    """Not even where their mean is rounded."""
    ccc, interval = concordance(np.full(n, value), np.full(n, value))
    assert np.isnan([ccc, *interval]).all()


def test_a_model_that_always_predicts_the_same():
    found = volume_agreement(np.array([1.0, 5, 9]), np.full(3, 5.0))
    assert found["ccc"] == pytest.approx(0)
    assert np.isnan([found["pearson_r"], *found["ccc_ci"]]).all()


def test_mostly_empty_masks_have_a_concordance():
    reference, prediction = np.zeros(20), np.zeros(20)
    reference[:3], prediction[:3] = (10, 40, 90), (8, 0, 100)
    ccc, (low, high) = concordance(reference, prediction)
    assert -1 <= low < ccc < high <= 1


def test_classification_by_hand():
    """A volume of 70 mL itself is positive: trials took those below."""
    found = classify(np.array([70.0, 100, 80, 69.9, 10]), np.array([70.0, 90, 20, 75, 5]))
    counts = (found["true_positive"], found["false_positive"], found["false_negative"], found["true_negative"])
    assert counts == (2, 1, 1, 1)
    assert (found["sensitivity"], found["specificity"], found["accuracy"]) == pytest.approx((2 / 3, 1 / 2, 3 / 5))
    chance = (3 * 3 + 2 * 2) / 25
    assert found["kappa"] == pytest.approx((0.6 - chance) / (1 - chance))


def test_a_side_without_cases():
    found = classify(np.array([1.0, 2]), np.array([3.0, 4]))
    assert found["accuracy"] == found["specificity"] == 1
    assert np.isnan([found["sensitivity"], found["kappa"]]).all()


def test_the_threshold_is_an_argument():
    volumes = np.array([10.0, 60, 80])
    assert volume_agreement(volumes, volumes, threshold_ml=50)["classification"]["true_positive"] == 2
    assert volume_agreement(volumes, volumes)["classification"]["true_positive"] == 1
