"""The confusion matrix and what follows from it, on numbers that can be counted by hand."""

import numpy as np

from nnunetv2_mscs.evaluation.voxels import Confusion, background_metrics, overlap_metrics, volume_metrics

BY_HAND = Confusion(true_positive=6, false_positive=2, false_negative=4, true_negative=88)


def test_counts():
    reference, prediction = np.zeros((2, 1, 10, 10), dtype=bool)
    reference[0, 0] = True
    prediction[0, 0, 4:], prediction[0, 1, :2] = True, True
    assert Confusion.of(reference, prediction) == BY_HAND
    assert Confusion.of(prediction, reference).false_positive == BY_HAND.false_negative
    assert Confusion.of(reference, prediction, voxels=50).true_negative == 38


def test_definitions():
    assert overlap_metrics(BY_HAND) == {"dice": 12 / 18, "iou": 6 / 12, "precision": 6 / 8, "sensitivity": 6 / 10}
    assert background_metrics(BY_HAND) == {"accuracy": 94 / 100, "specificity": 88 / 90}


def test_nothing_to_count():
    full = Confusion(true_positive=3, false_positive=0, false_negative=5, true_negative=0)
    assert background_metrics(full) == {"accuracy": 3 / 8, "specificity": 1.0}
    assert background_metrics(Confusion(0, 0, 0, 0)) == {"accuracy": 1.0, "specificity": 1.0}


def test_volumes_are_signed_and_in_ml():
    volumes = volume_metrics(BY_HAND, voxel_volume_ml=0.5)
    assert volumes["volume_reference_ml"] == 5.0
    assert volumes["volume_prediction_ml"] == 4.0
    assert volumes["volume_difference_ml"] == -1.0
    assert volumes["absolute_volume_difference_ml"] == 1.0
