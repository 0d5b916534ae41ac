"""Agreement voxel by voxel: the confusion matrix of two masks, what follows from it, and volumes."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Confusion:
    """How many voxels of an image are what; positive is what the mask in question holds."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @classmethod
    def of(cls, reference: np.ndarray, prediction: np.ndarray, *, voxels: int | None = None) -> "Confusion":
        """Count the voxels of two boolean masks of one shape, all of them or as many as are said to count."""
        both = int(np.count_nonzero(reference & prediction))
        in_reference, in_prediction = int(np.count_nonzero(reference)), int(np.count_nonzero(prediction))
        return cls(
            true_positive=both,
            false_positive=in_prediction - both,
            false_negative=in_reference - both,
            true_negative=(reference.size if voxels is None else voxels) - in_reference - in_prediction + both,
        )

    @property
    def reference(self) -> int:
        """Voxels of the reference."""
        return self.true_positive + self.false_negative

    @property
    def prediction(self) -> int:
        """Voxels of the prediction."""
        return self.true_positive + self.false_positive


def background_metrics(confusion: Confusion) -> dict[str, float]:
    """Accuracy and specificity, which count background as success and so are also defined for empty masks.

    Note:
        Both are 1 where they have nothing to count: accuracy without any voxel, specificity without background.
    """
    background = confusion.true_negative + confusion.false_positive
    voxels = confusion.reference + background
    return {
        "accuracy": (confusion.true_positive + confusion.true_negative) / voxels if voxels else 1.0,
        "specificity": confusion.true_negative / background if background else 1.0,
    }


def overlap_metrics(confusion: Confusion) -> dict[str, float]:
    """Dice, IoU, precision and sensitivity of two masks that both hold something."""
    both = confusion.true_positive
    return {
        "dice": 2 * both / (confusion.reference + confusion.prediction),
        "iou": both / (confusion.reference + confusion.prediction - both),
        "precision": both / confusion.prediction,
        "sensitivity": both / confusion.reference,
    }


def volume_metrics(confusion: Confusion, voxel_volume_ml: float) -> dict[str, float]:
    """Volumes and their difference in mL; the difference is positive where the prediction is too large."""
    difference = (confusion.prediction - confusion.reference) * voxel_volume_ml
    return {
        "volume_reference_ml": confusion.reference * voxel_volume_ml,
        "volume_prediction_ml": confusion.prediction * voxel_volume_ml,
        "volume_difference_ml": difference,
        "absolute_volume_difference_ml": abs(difference),
    }
