"""What an evaluation says over its cases: means with intervals, empty masks, lesions found by size, volumes."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from nnunetv2_mscs.evaluation.agreement import THRESHOLD_ML, volume_agreement
from nnunetv2_mscs.evaluation.bootstrap import CONFIDENCE, SAMPLES, mean_interval, ratio_interval
from nnunetv2_mscs.evaluation.catalogue import METRICS, SIZE_TITLES, SIZES_ML
from nnunetv2_mscs.evaluation.results import CaseResult, Evaluation

ALL_SIZES = "all"
INTERVAL = "of the mean, by BCa bootstrap over cases"
UNDEFINED = float("nan")
QUARTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def summarise(
    evaluation: Evaluation, *, seed: int = 0, samples: int = SAMPLES, threshold_ml: float = THRESHOLD_ML
) -> dict[str, Any]:
    """The statistics of one model as JSON holds them, laid out as docs/statistics.md says; None for what is undefined.

    Args:
        evaluation: of one model.
        seed: of the bootstrap.
        samples: bootstrap samples.
        threshold_ml: of the volumes' classification.
    """
    labels = {
        label: {"name": name, **_of_label(evaluation.of_label(label), seed, samples, threshold_ml)}
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


def _of_label(results: Sequence[CaseResult], seed: int, samples: int, threshold_ml: float) -> dict[str, Any]:
    with_lesion = [result for result in results if not result.reference_empty]
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
        "volume_agreement": asdict(agreement),
    }


def _column(results: Sequence[CaseResult], column: str) -> np.ndarray:
    return np.array([result.values[column] for result in results], dtype=float)


def _counts(results: Sequence[CaseResult]) -> dict[str, int]:
    empty = [(result.reference_empty, result.prediction_empty) for result in results]
    return {
        "n": len(empty),
        "with_lesion": sum(not reference for reference, _ in empty),
        "both_empty": empty.count((True, True)),
        "only_reference_empty": empty.count((True, False)),
        "only_prediction_empty": empty.count((False, True)),
    }


def describe(values: np.ndarray, *, seed: int = 0, samples: int = SAMPLES) -> dict[str, float | int]:
    """One metric over cases; NaN values are counted in `undefined` and left out of everything else.

    Args:
        values: (n,).
        seed: of the bootstrap.
        samples: bootstrap samples of the mean's interval.
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


def _by_size(results: Sequence[CaseResult], seed: int, samples: int) -> dict[str, dict[str, Any]]:
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
    """Lesions found of all lesions of the cases together, with the cases that hold any drawn for the interval."""
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
    """Scores and distances averaged over the labels of each case; undefined where they are for any label averaged.

    In cases with lesion only the labels that the reference holds: those absent from both masks would count 1.
    """
    columns = [column for column, metric in METRICS.items() if metric.kind in ("score", "distance")]
    by_label = [evaluation.of_label(label) for label in evaluation.labels]
    present = ~np.array([[result.reference_empty for result in results] for results in by_label])
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
