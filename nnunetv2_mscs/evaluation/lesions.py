"""Agreement lesion by lesion, where a lesion is a connected piece of a mask (26-connectivity).

Two rules decide whether a lesion is found: ISLES'22 asks for one common voxel, ISLES'26 pairs one reference lesion
with one predicted lesion of a minimum IoU. docs/metrics.md shows how much they differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from nnunetv2_mscs.evaluation.catalogue import SIZES_ML, TINY, TINY_VOXELS
from nnunetv2_mscs.scans.lesions import TOUCHING_BY_CORNER

IOU_THRESHOLDS = (0.20, 0.25)
# Coarser than the rounding of voxel sizes in headers, which must not decide a lesion's class of size.
VOLUME_DECIMALS = 6


@dataclass(frozen=True)
class Lesions:
    """The lesions of two masks, numbered from 0 in the order of their first voxels, and where they overlap.

    Args:
        reference: voxels by reference lesion, (n,).
        prediction: voxels by predicted lesion, (m,).
        pairs: reference and predicted lesion of each overlap, (k, 2), in order.
        overlaps: common voxels of each pair, (k,).
    """

    reference: np.ndarray
    prediction: np.ndarray
    pairs: np.ndarray
    overlaps: np.ndarray

    @classmethod
    def of(cls, reference: np.ndarray, prediction: np.ndarray) -> "Lesions":
        """Find the lesions of two (Z, Y, X) boolean masks."""
        (pieces, count), (predicted, predicted_count) = (
            ndimage.label(mask, TOUCHING_BY_CORNER) for mask in (reference, prediction)
        )
        both = reference & prediction
        codes = (pieces[both].astype(np.int64) - 1) * predicted_count + predicted[both] - 1
        found, overlaps = np.unique(codes, return_counts=True)
        return cls(
            np.bincount(pieces[reference], minlength=count + 1)[1:],
            np.bincount(predicted[prediction], minlength=predicted_count + 1)[1:],
            np.stack(np.divmod(found, max(predicted_count, 1)), axis=1),
            overlaps,
        )

    @property
    def touched(self) -> np.ndarray:
        """Which reference lesions have a voxel in common with the prediction, (n,) bool."""
        return np.isin(np.arange(self.reference.size), self.pairs[:, 0])

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each pair, (k,)."""
        return self.overlaps / (self.reference[self.pairs[:, 0]] + self.prediction[self.pairs[:, 1]] - self.overlaps)


def matched_iou(lesions: Lesions, threshold: float) -> np.ndarray:
    """IoU of the pairs that one-to-one matching makes, (t,), descending.

    Pairs whose IoU reaches the threshold are taken in descending order of IoU, unless one of their lesions is taken
    already. Between equal pairs the larger overlap decides, then the earlier reference lesion, then the earlier
    predicted one.
    """
    iou = lesions.iou
    candidates = np.flatnonzero(iou >= threshold)
    order = sorted(candidates, key=lambda pair: (-iou[pair], -lesions.overlaps[pair], *lesions.pairs[pair]))
    taken: tuple[set[int], set[int]] = (set(), set())
    matched = []
    for pair in order:
        one, other = (int(lesion) for lesion in lesions.pairs[pair])
        if one not in taken[0] and other not in taken[1]:
            taken[0].add(one)
            taken[1].add(other)
            matched.append(float(iou[pair]))
    return np.array(matched)


def count_metrics(lesions: Lesions) -> dict[str, float]:
    """The numbers of lesions, and their difference."""
    counts = lesions.reference.size, lesions.prediction.size
    return {
        "lesion_count_reference": float(counts[0]),
        "lesion_count_prediction": float(counts[1]),
        "lesion_count_difference": float(abs(counts[0] - counts[1])),
    }


def size_counts(lesions: Lesions, voxel_volume_ml: float) -> dict[str, float]:
    """Reference lesions by size, and how many of them the prediction touches (the ISLES'22 rule)."""
    volumes_ml = np.round(lesions.reference * voxel_volume_ml, VOLUME_DECIMALS)
    classes = {size: (volumes_ml >= low) & (volumes_ml < high) for size, (low, high) in SIZES_ML.items()}
    classes[TINY] = lesions.reference <= TINY_VOXELS
    touched = lesions.touched
    return {
        **{f"lesions_{size}": float(np.count_nonzero(members)) for size, members in classes.items()},
        **{f"lesions_found_{size}": float(np.count_nonzero(members & touched)) for size, members in classes.items()},
    }


def isles22_metrics(lesions: Lesions) -> dict[str, float]:
    """F1, precision and recall by the ISLES'22 rule, for two masks that are not empty.

    A reference lesion is found if any voxel of it is predicted; a predicted lesion is false if no voxel of it is in
    the reference. One predicted lesion may thus find many.
    """
    found = int(np.count_nonzero(lesions.touched))
    missed = lesions.reference.size - found
    false = lesions.prediction.size - np.unique(lesions.pairs[:, 1]).size
    return {
        "f1_isles22": found / (found + (false + missed) / 2),
        "precision_isles22": found / (found + false),
        "recall_isles22": found / (found + missed),
    }


def matching_metrics(lesions: Lesions, thresholds: Sequence[float] = IOU_THRESHOLDS) -> dict[str, float]:
    """F1, recognition, segmentation and panoptic quality of one-to-one matching, for masks that are not empty."""
    metrics: dict[str, float] = {}
    for threshold in thresholds:
        matched = matched_iou(lesions, threshold)
        recognition = 2 * matched.size / (lesions.reference.size + lesions.prediction.size)
        segmentation = float(matched.mean()) if matched.size else 0.0
        name = f"iou{round(100 * threshold)}"
        metrics |= {
            f"f1_{name}": recognition,
            f"rq_{name}": recognition,
            f"sq_{name}": segmentation,
            f"pq_{name}": recognition * segmentation,
        }
    return metrics
