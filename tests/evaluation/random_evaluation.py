"""Evaluations of random values, to be changed where a test needs it."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from nnunetv2_mscs.evaluation.catalogue import METRICS, SIZES
from nnunetv2_mscs.evaluation.results import CaseResult, Evaluation

TRUTH = ("volume_reference_ml", "lesion_count_reference")


def random_evaluation(model: str, seed: int, *, cases: int = 12, labels: tuple[str, ...] = ("1",)) -> Evaluation:
    """The truth is the same for every seed."""
    truth, random = np.random.default_rng(0), np.random.default_rng(seed)
    results = []
    for number in range(cases):
        for label in labels:
            values = {column: float((truth if column in TRUTH else random).uniform(0, 100)) for column in METRICS}
            for size in SIZES:
                lesions = int(truth.integers(0, 4))
                values |= {f"lesions_{size}": lesions, f"lesions_found_{size}": int(random.integers(0, lesions + 1))}
            results.append(CaseResult(f"case_{number:02}", label, f"lesion {label}", None, False, False, values))
    return Evaluation(model, "", "", {label: f"lesion {label}" for label in labels}, tuple(results))


def changed(evaluation: Evaluation, change: Callable[[int, CaseResult], Mapping[str, float]]) -> Evaluation:
    """With some values replaced: `change` is given the number of each row and the row."""
    results = [replace(one, values={**one.values, **change(i, one)}) for i, one in enumerate(evaluation.results)]
    return replace(evaluation, results=tuple(results))


def shuffled(evaluation: Evaluation) -> Evaluation:
    """The cases in another order."""
    order = np.random.default_rng(5).permutation(len(evaluation.results))
    return replace(evaluation, results=tuple(evaluation.results[i] for i in order))
