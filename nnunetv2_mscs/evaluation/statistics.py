"""Statistics over the cases of an evaluation: means with intervals, empty masks, lesions found by size, volumes."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from nnunetv2_mscs.evaluation.agreement import THRESHOLD_ML, volume_agreement
from nnunetv2_mscs.evaluation.bootstrap import CONFIDENCE, SAMPLES, UNDEFINED, mean_interval, ratio_interval
from nnunetv2_mscs.evaluation.catalogue import METRICS, SIZE_TITLES, SIZES_ML
from nnunetv2_mscs.evaluation.results import Evaluation

ALL_SIZES = "all"
INTERVAL = "of the mean, by BCa bootstrap over cases"
QUARTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class StatisticsSettings:
    """How statistics are computed.

    Args:
        seed: of the bootstrap.
        samples: bootstrap samples.
        threshold_ml: volume at which cases are classified, in mL.
    """

    seed: int = 0
    samples: int = SAMPLES
    threshold_ml: float = THRESHOLD_ML


def settings_of(evaluation: Evaluation) -> StatisticsSettings | None:
    """The settings that the statistics of an evaluation were computed with; None if it has no statistics."""
    if not evaluation.statistics:
        return None
    settings, label = evaluation.statistics["settings"], next(iter(evaluation.statistics["labels"].values()))
    threshold_ml = label["volume_agreement"]["classification"]["threshold_ml"]
    return StatisticsSettings(settings["seed"], settings["samples"], threshold_ml)


def with_statistics(evaluation: Evaluation, settings: StatisticsSettings) -> Evaluation:
    """The evaluation with its statistics: those it was read with, if they have these settings, else new ones."""
    if settings_of(evaluation) == settings:
        return evaluation
    return replace(evaluation, statistics=summarise(evaluation, settings))


def summarise(evaluation: Evaluation, settings: StatisticsSettings) -> dict[str, Any]:
    """Compute the statistics of one model as JSON holds them, None for what is undefined; see docs/statistics.md."""
    seed, samples = settings.seed, settings.samples
    labels = {
        label: {"name": name, **_of_label(evaluation.of_label(label), seed, samples, settings.threshold_ml)}
        for label, name in evaluation.labels.items()
    }
    summary = {
        "settings": {"interval": INTERVAL, "confidence": CONFIDENCE, "samples": samples, "seed": seed},
        "labels": labels,
        "foreground_mean": _foreground_mean(evaluation, seed, samples) if len(labels) > 1 else None,
    }
    return as_json(summary)


def as_json(value: Any) -> Any:
    """The same with None for NaN and lists for tuples, all the way down."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def _of_label(results: pd.DataFrame, seed: int, samples: int, threshold_ml: float) -> dict[str, Any]:
    with_lesion = results[~results["reference_empty"]]
    agreement = volume_agreement(
        _column(results, "volume_reference_ml"),
        _column(results, "volume_prediction_ml"),
        threshold_ml=threshold_ml,
        seed=seed,
        samples=samples,
    )
    return {
        "cases": _counts(results),
        "all_cases": {column: describe(_column(results, column), seed=seed, samples=samples) for column in METRICS},
        "lesion_cases": {
            column: describe(_column(with_lesion, column), seed=seed, samples=samples) for column in METRICS
        },
        "lesions_by_size": _by_size(results, seed, samples),
        "volume_agreement": agreement,
    }


def _column(results: pd.DataFrame, column: str) -> np.ndarray:
    return results[column].to_numpy(float)


def _counts(results: pd.DataFrame) -> dict[str, int]:
    reference, prediction = results["reference_empty"], results["prediction_empty"]
    return {
        "n": len(results),
        "with_lesion": int((~reference).sum()),
        "both_empty": int((reference & prediction).sum()),
        "only_reference_empty": int((reference & ~prediction).sum()),
        "only_prediction_empty": int((~reference & prediction).sum()),
    }


def describe(values: np.ndarray, *, seed: int = 0, samples: int = SAMPLES) -> dict[str, float | int]:
    """One metric over cases; NaN values are counted in `undefined` and left out of everything else.

    The mean's interval is by a seeded bootstrap. `values`: (n,).
    """
    # Sorted, so that no digit depends on the order of the cases.
    defined = np.sort(values[~np.isnan(values)])
    n = len(defined)
    low, high = mean_interval(defined, seed=seed, samples=samples)
    least, q1, median, q3, most = np.quantile(defined, QUARTILES).tolist() if n else [UNDEFINED] * len(QUARTILES)
    return {
        "n": n,
        "undefined": len(values) - n,
        "mean": float(defined.mean()) if n else UNDEFINED,
        "sd": float(defined.std(ddof=1)) if n > 1 else UNDEFINED,
        "median": median,
        "q1": q1,
        "q3": q3,
        "min": least,
        "max": most,
        "ci_low": low,
        "ci_high": high,
    }


def _by_size(results: pd.DataFrame, seed: int, samples: int) -> dict[str, dict[str, Any]]:
    columns = {
        size: np.array([_column(results, f"lesions_{size}"), _column(results, f"lesions_found_{size}")])
        for size in SIZE_TITLES
    }
    # The sizes in mL share out all lesions; the tiny pieces are among them.
    columns[ALL_SIZES] = np.sum([columns[size] for size in SIZES_ML], axis=0)
    titles = {**SIZE_TITLES, ALL_SIZES: "all lesions"}
    return {
        size: {"title": titles[size], **_recall(lesions, found, seed, samples)}
        for size, (lesions, found) in columns.items()
    }


def _recall(lesions: np.ndarray, found: np.ndarray, seed: int, samples: int) -> dict[str, float | int]:
    """The share of all lesions of all cases that was found; the bootstrap draws the cases that hold lesions."""
    holding = lesions > 0
    low, high = ratio_interval(found[holding], lesions[holding], seed=seed, samples=samples)
    return {
        "cases": int(holding.sum()),
        "lesions": int(lesions.sum()),
        "found": int(found.sum()),
        "recall": float(found.sum() / lesions.sum()) if holding.any() else UNDEFINED,
        "ci_low": low,
        "ci_high": high,
    }


def _foreground_mean(evaluation: Evaluation, seed: int, samples: int) -> dict[str, Any]:
    """Scores and distances averaged over the labels of each case; undefined where one of the labels is undefined.

    Over cases with lesion, only labels that the reference holds are averaged: a label absent from both masks counts 1.
    """
    columns = [column for column, metric in METRICS.items() if metric.kind in ("score", "distance")]
    by_label = [evaluation.of_label(label) for label in evaluation.labels]
    present = ~np.array([results["reference_empty"].to_numpy(bool) for results in by_label])
    with_lesion = present.any(axis=0)
    means: dict[str, dict[str, np.ndarray]] = {"all_cases": {}, "lesion_cases": {}}
    for column in columns:
        values = np.array([_column(results, column) for results in by_label])
        means["all_cases"][column] = values.mean(axis=0)
        means["lesion_cases"][column] = values[:, with_lesion].mean(axis=0, where=present[:, with_lesion])
    return {
        part: {column: describe(one, seed=seed, samples=samples) for column, one in columns_of.items()}
        for part, columns_of in means.items()
    }
