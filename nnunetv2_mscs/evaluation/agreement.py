"""Agreement of predicted and true lesion volumes: Bland-Altman, Lin's concordance, the threshold of trials."""

from typing import Any

import numpy as np
from scipy.stats import t

from nnunetv2_mscs.evaluation.bootstrap import CONFIDENCE, NO_INTERVAL, SAMPLES, UNDEFINED, bca_interval

THRESHOLD_ML = 70.0  # DEFUSE 3 and EXTEND included patients with an ischaemic core below 70 mL
LIMITS_SD = 1.96


def volume_agreement(
    reference_ml: np.ndarray,
    prediction_ml: np.ndarray,
    *,
    threshold_ml: float = THRESHOLD_ML,
    seed: int = 0,
    samples: int = SAMPLES,
) -> dict[str, Any]:
    """Agreement of two volumes per case, (n,) each; NaN where there are too few cases for a number.

    Volumes are in mL; both are classified at `threshold_ml`.

    Returns:
        The number of cases `n`, `bland_altman` and `classification` as these functions return them, Lin's concordance
        `ccc` and its 95 % interval `ccc_ci`, and Pearson's correlation `pearson_r`, which does not notice a bias.
    """
    # Sorted, so that no digit depends on the order of the cases.
    order = np.lexsort((prediction_ml, reference_ml))
    reference, prediction = np.asarray(reference_ml, float)[order], np.asarray(prediction_ml, float)[order]
    ccc, interval = concordance(reference, prediction, seed=seed, samples=samples)
    return {
        "n": len(reference),
        "bland_altman": bland_altman(reference, prediction),
        "ccc": ccc,
        "ccc_ci": interval,
        "pearson_r": _pearson(reference, prediction),
        "classification": classify(reference, prediction, threshold_ml=threshold_ml),
    }


def bland_altman(reference_ml: np.ndarray, prediction_ml: np.ndarray) -> dict[str, Any]:
    """Bias and limits of agreement of prediction minus reference, (n,) each; all in mL.

    Bland and Altman, Lancet 1986. The intervals are by Student's t; a limit's variance is
    sd² (1/n + 1.96² / (2 (n - 1))), Bland and Altman, Stat Methods Med Res 1999.

    Returns:
        The mean of the differences `bias_ml`, their standard deviation `sd_ml`, the limits of agreement `lower_ml` and
        `upper_ml` (bias ± 1.96 sd), and the 95 % intervals `bias_ci_ml`, `lower_ci_ml` and `upper_ci_ml`.
    """
    differences = prediction_ml - reference_ml
    n = len(differences)
    bias = float(differences.mean()) if n else UNDEFINED
    sd = of_bias = of_limit = UNDEFINED
    if n > 1:
        sd = float(differences.std(ddof=1))
        quantile = float(t.ppf((1 + CONFIDENCE) / 2, n - 1))
        of_bias = quantile * sd / n**0.5
        of_limit = quantile * sd * (1 / n + LIMITS_SD**2 / (2 * (n - 1))) ** 0.5
    lower, upper = bias - LIMITS_SD * sd, bias + LIMITS_SD * sd
    return {
        "bias_ml": bias,
        "bias_ci_ml": (bias - of_bias, bias + of_bias),
        "sd_ml": sd,
        "lower_ml": lower,
        "lower_ci_ml": (lower - of_limit, lower + of_limit),
        "upper_ml": upper,
        "upper_ci_ml": (upper - of_limit, upper + of_limit),
    }


def concordance(
    x: np.ndarray, y: np.ndarray, *, seed: int = 0, samples: int = SAMPLES
) -> tuple[float, tuple[float, float]]:
    """Lin's concordance correlation coefficient and its 95 % interval by BCa bootstrap over cases.

    2 s_xy / (s_x² + s_y² + (mean x - mean y)²), with moments divided by n (Lin, Biometrics 1989). NaN for one case and
    where all values are equal; no interval where x or y is constant, or n < 3. Fisher's z is not used, as it assumes
    normal volumes: for log-normal ones its 95 % interval holds the truth in half of all studies.
    """
    n = len(x)
    if n < 2 or np.ptp(np.concatenate([x, y])) == 0:
        return UNDEFINED, NO_INTERVAL
    ccc = float(_concordance(x, y, axis=0))
    if n < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return ccc, NO_INTERVAL
    if abs(ccc) > 1 - 1e-12:
        return ccc, (ccc, ccc)
    return ccc, bca_interval((x, y), _concordance, seed=seed, samples=samples)


def _concordance(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """1 where all values are equal, as in a bootstrap sample that holds one case only."""
    means = x.mean(axis=axis, keepdims=True), y.mean(axis=axis, keepdims=True)
    shared = 2 * ((x - means[0]) * (y - means[1])).mean(axis=axis)
    spread = x.var(axis=axis) + y.var(axis=axis) + np.squeeze(means[0] - means[1], axis=axis) ** 2
    return np.divide(shared, spread, out=np.ones_like(spread), where=spread > 0)


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return UNDEFINED
    return float(np.corrcoef(x, y)[0, 1])


def classify(
    reference_ml: np.ndarray, prediction_ml: np.ndarray, *, threshold_ml: float = THRESHOLD_ML
) -> dict[str, Any]:
    """Compare on which side of a threshold the two volumes of each case lie, (n,) each, in mL.

    Returns:
        `threshold_ml`: a volume of this or more is positive ("large core"); trials included smaller ones. The numbers
        of cases `true_positive`, `false_positive`, `false_negative` and `true_negative`; `sensitivity` (NaN without
        positive cases), `specificity` (NaN without negative cases), the share of cases on the same side `accuracy`, and
        Cohen's `kappa` (NaN where both put all cases on the same side).
    """
    truth, found = reference_ml >= threshold_ml, prediction_ml >= threshold_ml
    tp, fp = int(np.sum(truth & found)), int(np.sum(~truth & found))
    fn, tn = int(np.sum(truth & ~found)), int(np.sum(~truth & ~found))
    n = tp + fp + fn + tn
    by_chance = _share((tp + fn) * (tp + fp) + (tn + fp) * (tn + fn), n * n)
    accuracy = _share(tp + tn, n)
    return {
        "threshold_ml": threshold_ml,
        "true_positive": tp,
        "false_positive": fp,
        "false_negative": fn,
        "true_negative": tn,
        "sensitivity": _share(tp, tp + fn),
        "specificity": _share(tn, tn + fp),
        "accuracy": accuracy,
        "kappa": _share(accuracy - by_chance, 1 - by_chance),
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else UNDEFINED
