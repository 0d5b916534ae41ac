"""A case's row is complete, keeps the rules for empty masks, and does not depend on where the masks lie."""

import math

import numpy as np
import pytest

from nnunetv2_mscs.evaluation.case import evaluate_masks
from nnunetv2_mscs.evaluation.catalogue import METRICS, SIZE_COLUMNS

SPACING_MM = (5.0, 1.2, 1.2)
SHAPE = (6, 40, 40)


def boxes(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mask = np.zeros(SHAPE, dtype=bool)
    for _ in range(6):
        z, y, x = rng.integers(0, (5, 34, 34))
        mask[z : z + 2, y : y + rng.integers(1, 7), x : x + rng.integers(1, 7)] = True
    return mask


NOTHING, SOMETHING, OTHER = np.zeros(SHAPE, dtype=bool), boxes(0), boxes(1)


@pytest.mark.parametrize(("reference", "prediction"), [(SOMETHING, OTHER), (NOTHING, NOTHING), (NOTHING, OTHER)])
def test_every_column_and_no_other(reference, prediction):
    values = evaluate_masks(reference, prediction, SPACING_MM)
    assert list(values) == [*METRICS, *SIZE_COLUMNS]
    assert {type(value) for value in values.values()} == {float}


def test_scores_lie_between_0_and_1():
    values = evaluate_masks(SOMETHING, OTHER, SPACING_MM)
    scores = {column: values[column] for column, metric in METRICS.items() if metric.kind == "score"}
    assert all(0 <= score <= 1 for score in scores.values())
    assert 0 < scores["dice"] < 1


def test_a_perfect_prediction():
    values = evaluate_masks(SOMETHING, SOMETHING.copy(), SPACING_MM)
    for column, metric in METRICS.items():
        if metric.better != "neither":
            assert values[column] == (1.0 if metric.better == "higher" else 0.0), column
    assert values["volume_difference_ml"] == 0.0
    assert values["lesions_found_lt1ml"] == values["lesions_lt1ml"] > 0


def test_both_empty():
    values = evaluate_masks(NOTHING, NOTHING, SPACING_MM)
    for column, metric in METRICS.items():
        assert values[column] == (1.0 if metric.kind == "score" else 0.0), column


@pytest.mark.parametrize(
    ("reference", "prediction"), [(SOMETHING, NOTHING), (NOTHING, SOMETHING)], ids=["missed", "false"]
)
def test_one_empty(reference, prediction):
    values = evaluate_masks(reference, prediction, SPACING_MM)
    for column, metric in METRICS.items():
        if metric.kind == "distance":
            assert math.isnan(values[column]), column
        elif metric.kind == "score" and column not in ("accuracy", "specificity"):
            assert values[column] == 0.0, column
    filled, voxel_ml = float(SOMETHING.sum()), 5.0 * 1.2 * 1.2 / 1000
    assert values["accuracy"] == pytest.approx(1 - filled / SOMETHING.size)
    assert values["specificity"] == (1.0 if reference.any() else values["accuracy"])
    assert values["absolute_volume_difference_ml"] == pytest.approx(filled * voxel_ml)
    assert values["volume_difference_ml"] == pytest.approx((-1 if reference.any() else 1) * filled * voxel_ml)
    assert values["lesion_count_difference"] == max(values["lesion_count_reference"], values["lesion_count_prediction"])


def test_the_reference_fills_the_image():
    values = evaluate_masks(~NOTHING, OTHER, SPACING_MM)
    assert values["specificity"] == 1.0
    assert values["accuracy"] == values["sensitivity"] == pytest.approx(OTHER.mean())


def test_the_rest_of_the_image_matters_to_accuracy_and_specificity_alone():
    inner = evaluate_masks(SOMETHING, OTHER, SPACING_MM)
    padded = evaluate_masks(*(np.pad(mask, ((3, 1), (9, 2), (0, 30))) for mask in (SOMETHING, OTHER)), SPACING_MM)
    changed = {column for column in inner if not math.isclose(inner[column], padded[column], abs_tol=1e-9)}
    assert changed == {"accuracy", "specificity"}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mirrored_masks_have_the_same_values(axis):
    values, mirrored = (
        evaluate_masks(*masks, SPACING_MM)
        for masks in ((SOMETHING, OTHER), (np.flip(SOMETHING, axis), np.flip(OTHER, axis)))
    )
    assert mirrored == pytest.approx(values)


def test_axes_may_be_exchanged_with_their_spacing():
    values = evaluate_masks(SOMETHING, OTHER, (5.0, 1.2, 0.7))
    assert evaluate_masks(SOMETHING.transpose(2, 0, 1), OTHER.transpose(2, 0, 1), (0.7, 5.0, 1.2)) == pytest.approx(
        values
    )


def test_lengths_scale_with_the_spacing_and_volumes_with_its_cube():
    small, large = (evaluate_masks(SOMETHING, OTHER, [size * mm for mm in SPACING_MM]) for size in (1, 3))
    for column, metric in METRICS.items():
        if metric.kind == "distance":
            assert large[column] == pytest.approx(3 * small[column])
        elif metric.kind == "volume":
            assert large[column] == pytest.approx(27 * small[column])
        elif not column.startswith("nsd"):
            assert large[column] == small[column]


def test_only_what_counts_counts():
    """An ignored part of the image: as if it were cut off."""
    counted = np.ones(SHAPE, dtype=bool)
    counted[:, :, 25:] = False
    cut = evaluate_masks(SOMETHING[:, :, :25], OTHER[:, :, :25], SPACING_MM)
    assert evaluate_masks(SOMETHING, OTHER, SPACING_MM, counted=counted) == pytest.approx(cut)
    assert evaluate_masks(SOMETHING, OTHER, SPACING_MM, counted=NOTHING)["accuracy"] == 1.0


def test_integers_are_taken_as_masks_and_nothing_is_changed():
    before = SOMETHING.copy(), OTHER.copy()
    values = evaluate_masks(SOMETHING.astype(np.uint8), OTHER.astype(np.uint8), SPACING_MM)
    assert values == evaluate_masks(SOMETHING, OTHER, SPACING_MM)
    assert (before[0] == SOMETHING).all()
    assert (before[1] == OTHER).all()


@pytest.mark.parametrize("shape", [(1, 40, 40), (6, 40), (6, 40, 41)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="two volumes of one shape"):
        evaluate_masks(SOMETHING, np.zeros(shape, dtype=bool), SPACING_MM)
