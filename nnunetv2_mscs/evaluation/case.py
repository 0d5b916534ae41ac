"""All metrics of one case and label, from its two masks."""

from collections.abc import Sequence

import numpy as np

from nnunetv2_mscs.evaluation.catalogue import METRICS, SIZE_COLUMNS
from nnunetv2_mscs.evaluation.distances import average_hausdorff_distances, directed_distances, surface_distances
from nnunetv2_mscs.evaluation.lesions import Lesions, count_metrics, isles22_metrics, matching_metrics, size_counts
from nnunetv2_mscs.evaluation.surface_dice import surface_dice
from nnunetv2_mscs.evaluation.voxels import Confusion, background_metrics, overlap_metrics, volume_metrics


def evaluate_masks(
    reference: np.ndarray, prediction: np.ndarray, spacing_mm: Sequence[float], *, counted: np.ndarray | None = None
) -> dict[str, float]:
    """Every metric of the catalogue, and the counts of lesions by size.

    Args:
        reference: the truth, (Z, Y, X) bool.
        prediction: what is to be judged, (Z, Y, X) bool.
        spacing_mm: voxel size z, y, x in mm.
        counted: the voxels that count, (Z, Y, X) bool, without those of nnU-Net's ignore label; default all.

    Returns:
        All of METRICS and SIZE_COLUMNS by column; the values for empty masks if one or both are empty.

    Raises:
        ValueError: the arrays are not two volumes of one shape.
    """
    if reference.shape != prediction.shape or reference.ndim != 3:
        raise ValueError(f"two volumes of one shape are wanted, not {reference.shape} and {prediction.shape}")
    reference, prediction = reference.astype(bool, copy=False), prediction.astype(bool, copy=False)
    voxels = reference.size
    if counted is not None:
        voxels = int(np.count_nonzero(counted))
        reference, prediction = reference & counted, prediction & counted
    voxel_volume_ml = float(np.prod(spacing_mm)) / 1000
    confusion = Confusion.of(reference, prediction, voxels=voxels)
    box = _box_of(reference | prediction)
    reference, prediction = reference[box], prediction[box]
    lesions = Lesions.of(reference, prediction)
    values = {
        **background_metrics(confusion),
        **volume_metrics(confusion, voxel_volume_ml),
        **count_metrics(lesions),
        **size_counts(lesions, voxel_volume_ml),
    }
    if confusion.reference and confusion.prediction:
        to_prediction = directed_distances(reference, prediction, spacing_mm)
        to_reference = directed_distances(prediction, reference, spacing_mm)
        values |= {
            **overlap_metrics(confusion),
            **surface_distances(to_prediction, to_reference),
            **average_hausdorff_distances(to_prediction, to_reference),
            **surface_dice(reference, prediction, spacing_mm),
            **isles22_metrics(lesions),
            **matching_metrics(lesions),
        }
    else:
        values |= _of_empty(both=not (confusion.reference or confusion.prediction))
    return {column: values[column] for column in (*METRICS, *SIZE_COLUMNS)}


def _of_empty(*, both: bool) -> dict[str, float]:
    rules = {column: metric.both_empty if both else metric.one_empty for column, metric in METRICS.items()}
    return {column: value for column, value in rules.items() if value is not None}


def _box_of(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box that holds a mask; an empty box for an empty mask."""
    box = []
    for axis in range(mask.ndim):
        inside = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0))
    return tuple(box)
