"""Agreement of predicted and true lesion volumes: Bland-Altman, Lin's concordance, the threshold of trials."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from nnunetv2_mscs.evaluation.bootstrap import CONFIDENCE, NO_INTERVAL, SAMPLES, UNDEFINED, bca_interval

THRESHOLD_ML = 70.0  # DEFUSE 3 and EXTEND included patients with an ischaemic core below 70 mL
LIMITS_SD = 1.96


@dataclass(frozen=True)
class BlandAltman:
    """Predicted minus reference volume, in mL (Bland and Altman, Lancet 1986; Stat Methods Med Res 1999).

    Args:
        bias_ml: mean of the differences.
        bias_ci_ml: its 95 % interval, by Student's t.
        sd_ml: their standard deviation.
        lower_ml: lower limit of agreement, bias - 1.96 sd.
        lower_ci_ml: its 95 % interval.
        upper_ml: upper limit of agreement, bias + 1.96 sd.
        upper_ci_ml: its 95 % interval.
    """

    bias_ml: float
    bias_ci_ml: tuple[float, float]
    sd_ml: float
    lower_ml: float
    lower_ci_ml: tuple[float, float]
    upper_ml: float
    upper_ci_ml: tuple[float, float]


@dataclass(frozen=True)
class Classification:
    """Whether a volume reaches the threshold, by the prediction against the reference.

    Args:
        threshold_ml: a volume of this or more is positive ("large core"); trials included smaller ones.
        true_positive: cases that reach it in both.
        false_positive: in the prediction only.
        false_negative: in the reference only.
        true_negative: in neither.
        sensitivity: NaN without positive cases.
        specificity: NaN without negative cases.
        accuracy: share of cases on the same side.
        kappa: Cohen's kappa; NaN where both put all cases on the same side.
    """

    threshold_ml: float
    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int
    sensitivity: float
    specificity: float
    accuracy: float
    kappa: float


@dataclass(frozen=True)
class VolumeAgreement:
    """The agreement over `n` cases.

    Args:
        n: number of cases.
        bland_altman: bias and limits of agreement.
        ccc: Lin's concordance correlation coefficient.
        ccc_ci: its 95 % interval.
        pearson_r: Pearson's correlation, which does not notice a bias.
        classification: at the threshold.
    """

    n: int
    bland_altman: BlandAltman
    ccc: float
    ccc_ci: tuple[float, float]
    pearson_r: float
    classification: Classification


def volume_agreement(
    reference_ml: np.ndarray,
    prediction_ml: np.ndarray,
    *,
    threshold_ml: float = THRESHOLD_ML,
    seed: int = 0,
    samples: int = SAMPLES,
) -> VolumeAgreement:
    """Agreement of two volumes per case, (n,) each; NaN where there are too few cases for a number.

    Args:
        reference_ml: true volumes.
        prediction_ml: predicted volumes.
        threshold_ml: at which both are classified.
        seed: of the bootstrap.
        samples: of the bootstrap.
    """
    # Sorted, so that no digit depends on the order of the cases.
    order = np.lexsort((prediction_ml, reference_ml))
    reference, prediction = np.asarray(reference_ml, float)[order], np.asarray(prediction_ml, float)[order]
    ccc, interval = concordance(reference, prediction, seed=seed, samples=samples)
    return VolumeAgreement(
        n=len(reference),
        bland_altman=bland_altman(reference, prediction),
        ccc=ccc,
        ccc_ci=interval,
        pearson_r=_pearson(reference, prediction),
        classification=classify(reference, prediction, threshold_ml=threshold_ml),
    )


def bland_altman(reference_ml: np.ndarray, prediction_ml: np.ndarray) -> BlandAltman:
    """Bias and limits of agreement of prediction minus reference, with their intervals; all (n,), in mL.

    A limit's variance is sd² (1/n + 1.96² / (2 (n - 1))), Bland and Altman 1999.
    """
    differences = prediction_ml - reference_ml
    n = len(differences)
    bias = float(differences.mean()) if n else UNDEFINED
    if n < 2:
        return BlandAltman(bias, NO_INTERVAL, UNDEFINED, UNDEFINED, NO_INTERVAL, UNDEFINED, NO_INTERVAL)
    sd = float(differences.std(ddof=1))
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, n - 1))
    of_bias = quantile * sd / n**0.5
    of_limit = quantile * sd * (1 / n + LIMITS_SD**2 / (2 * (n - 1))) ** 0.5
    lower, upper = bias - LIMITS_SD * sd, bias + LIMITS_SD * sd
    return BlandAltman(
        bias_ml=bias,
        bias_ci_ml=(bias - of_bias, bias + of_bias),
        sd_ml=sd,
        lower_ml=lower,
        lower_ci_ml=(lower - of_limit, lower + of_limit),
        upper_ml=upper,
        upper_ci_ml=(upper - of_limit, upper + of_limit),
    )


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
) -> Classification:
    """Count the cases whose volume reaches the threshold; (n,) each, in mL."""
    truth, found = reference_ml >= threshold_ml, prediction_ml >= threshold_ml
    tp, fp = int(np.sum(truth & found)), int(np.sum(~truth & found))
    fn, tn = int(np.sum(truth & ~found)), int(np.sum(~truth & ~found))
    n = tp + fp + fn + tn
    by_chance = _share((tp + fn) * (tp + fp) + (tn + fp) * (tn + fn), n * n)
    accuracy = _share(tp + tn, n)
    return Classification(
        threshold_ml=threshold_ml,
        true_positive=tp,
        false_positive=fp,
        false_negative=fn,
        true_negative=tn,
        sensitivity=_share(tp, tp + fn),
        specificity=_share(tn, tn + fp),
        accuracy=accuracy,
        kappa=_share(accuracy - by_chance, 1 - by_chance),
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else UNDEFINED
