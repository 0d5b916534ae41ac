"""Evaluations of random values, to be changed where a test needs it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nnunetv2_mscs.evaluation.catalogue import METRICS, SIZES
from nnunetv2_mscs.evaluation.results import CaseMetrics, Evaluation, case_table

TRUTH = ("volume_reference_ml", "lesion_count_reference")


def random_evaluation(model: str, seed: int, *, cases: int = 12, labels: tuple[str, ...] = ("1",)) -> Evaluation:
    """The truth is the same for every seed."""
    truth, random = np.random.default_rng(0), np.random.default_rng(seed)
    rows = []
    for number in range(cases):
        for label in labels:
            values = {column: float((truth if column in TRUTH else random).uniform(0, 100)) for column in METRICS}
            for size in SIZES:
                lesions = int(truth.integers(0, 4))
                values |= {f"lesions_{size}": lesions, f"lesions_found_{size}": int(random.integers(0, lesions + 1))}
            rows.append(case_row(f"case_{number:02}", values, label=label, label_name=f"lesion {label}"))
    return Evaluation(model, "", "", {label: f"lesion {label}" for label in labels}, case_table(rows))


def case_row(case: str, values: Mapping[str, float], **others: Any) -> CaseMetrics:
    """A row of cases.csv; label 1, of unknown fold and with no mask empty, unless said otherwise."""
    usual = {"label": "1", "label_name": "lesion", "fold": None, "reference_empty": False, "prediction_empty": False}
    return {"case": case, **usual, **values, **others}


def changed(evaluation: Evaluation, change: Callable[[int, CaseMetrics], Mapping[str, Any]]) -> Evaluation:
    """With some values replaced, and without statistics: `change` is given the number of each row and the row."""
    rows = [{**row, **change(i, row)} for i, row in enumerate(evaluation.rows())]
    return replace(evaluation, table=case_table(rows), statistics={})


def shuffled(evaluation: Evaluation) -> Evaluation:
    """The cases in another order."""
    order = np.random.default_rng(5).permutation(len(evaluation.table))
    return replace(evaluation, table=evaluation.table.iloc[order])
