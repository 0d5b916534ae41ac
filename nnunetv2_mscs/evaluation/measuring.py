"""One pair of masks measured: what a worker process does, without pandas, which it does not need."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnunetv2_mscs.evaluation.case import evaluate_masks
from nnunetv2_mscs.evaluation.labels import Label, Labels, labels_of_values
from nnunetv2_mscs.evaluation.pairing import MaskPair, OpenedPair, open_pair
from nnunetv2_mscs.scans.findings import Finding, Findings


@dataclass(frozen=True)
class MeasuredPair:
    """What was found out about one case.

    Args:
        findings: about its files.
        reference_values: the values in the reference.
        prediction_values: the values in the prediction.
        measured: by a label's key, which masks are empty and every metric.
    """

    findings: tuple[Finding, ...]
    reference_values: tuple[int, ...] = ()
    prediction_values: tuple[int, ...] = ()
    measured: tuple[tuple[str, dict[str, Any]], ...] = ()

    def row(self, label: Label, pair: MaskPair) -> dict[str, Any]:
        """A row of cases.csv; a label that neither mask holds gets the values of empty masks."""
        names = {"case": pair.name, "label": label.key, "label_name": label.name, "fold": pair.fold}
        measured = dict(self.measured)
        return names | (measured[label.key] if label.key in measured else _nothing())


def measure_pair(pair: MaskPair, *, labels: Labels | None, measure: bool) -> MeasuredPair:
    """Open both masks of a case and measure every label.

    Without `labels`, every value that either mask holds is measured; without `measure`, the files are only checked.
    """
    findings = Findings()
    opened = open_pair(pair, findings)
    if opened is None:
        return MeasuredPair(tuple(findings.items))
    of_reference, of_prediction = _values(opened.reference), _values(opened.prediction)
    if findings.errors or not measure:
        return MeasuredPair(tuple(findings.items), of_reference, of_prediction)
    evaluated = labels.evaluated if labels else labels_of_values((*of_reference, *of_prediction)).evaluated
    ignored = labels.ignored if labels else None
    measured = tuple((label.key, _measure(opened, label, ignored)) for label in evaluated)
    return MeasuredPair(tuple(findings.items), of_reference, of_prediction, measured)


def _values(array: np.ndarray) -> tuple[int, ...]:
    """The values that a label map holds."""
    return tuple(int(value) for value in np.flatnonzero(np.bincount(array.ravel())))


def _measure(opened: OpenedPair, label: Label, ignored: int | None) -> dict[str, Any]:
    reference, prediction = label.mask(opened.reference), label.mask(opened.prediction)
    counted = None
    if ignored is not None:
        counted = opened.reference != ignored
        reference, prediction = reference & counted, prediction & counted
    x, y, z = opened.grid.spacing
    empty = {"reference_empty": not reference.any(), "prediction_empty": not prediction.any()}
    return empty | evaluate_masks(reference, prediction, (z, y, x), counted=counted)


def _nothing() -> dict[str, Any]:
    """The values of a label that neither mask holds, which do not depend on the image."""
    nothing = np.zeros((1, 1, 1), dtype=bool)
    empty = {"reference_empty": True, "prediction_empty": True}
    return empty | evaluate_masks(nothing, nothing, (1.0, 1.0, 1.0))
