"""Distances between masks are in mm, along each axis by its own spacing, and follow their definitions."""

import numpy as np
import pytest

from nnunetv2_mscs.evaluation.distances import (
    average_hausdorff_distances,
    border_of,
    directed_distances,
    nearest_mm,
    surface_distances,
)

SPACING_MM = (5.0, 1.2, 0.8)


def box(shape=(6, 20, 20), *, z=(1, 3), y=(5, 12), x=(4, 14)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[slice(*z), slice(*y), slice(*x)] = True
    return mask


def both(reference: np.ndarray, prediction: np.ndarray):
    return (
        directed_distances(reference, prediction, SPACING_MM),
        directed_distances(prediction, reference, SPACING_MM),
    )


@pytest.mark.parametrize(("axis", "expected"), [(0, 5.0), (1, 1.2), (2, 0.8)])
def test_one_voxel_apart_along_an_axis(axis, expected):
    reference, prediction = np.zeros((2, 3, 3, 3), dtype=bool)
    reference[1, 1, 1] = True
    prediction[tuple(2 if other == axis else 1 for other in range(3))] = True
    sides = both(reference, prediction)
    for value in {**surface_distances(*sides), **average_hausdorff_distances(*sides)}.values():
        assert value == pytest.approx(expected)


def test_masks_at_the_edge_have_a_border_there():
    assert border_of(np.ones((3, 4, 5), dtype=bool)).sum() == 3 * 4 * 5 - 1 * 2 * 3
    assert border_of(np.ones((1, 4, 5), dtype=bool)).all()


def test_hd95_takes_the_worse_side_and_leaves_out_the_farthest_twentieth():
    """Half the prediction lies far off: 30 voxels of the prediction see it, the reference does not."""
    reference, prediction = box(), box()
    prediction[5, 0, :2] = True
    sides = both(reference, prediction)
    farthest = sides[1].border.max()
    assert farthest > 10
    assert surface_distances(*sides)["hd95_mm"] == 0.0
    prediction[5, :, :] = True
    sides = both(reference, prediction)
    values = surface_distances(*sides)
    assert values["hd95_mm"] == np.percentile(sides[1].border, 95) > np.percentile(sides[0].border, 95)
    assert values == surface_distances(*sides[::-1])


def test_average_hausdorff_distances_of_a_hole():
    """A prediction of two thirds of a box: what is missing lies 1 to 3 steps of 1.2 mm away, nothing is too much."""
    reference, prediction = box(y=(0, 9)), box(y=(0, 6))
    values = average_hausdorff_distances(*both(reference, prediction))
    assert values["ahd_max_mm"] == pytest.approx((1 + 2 + 3) * 1.2 / 9)
    assert values["ahd_mean_mm"] == pytest.approx(values["ahd_max_mm"] / 2)
    assert values["ahd_balanced_mm"] == pytest.approx(values["ahd_mean_mm"])


def test_balanced_distance_does_not_reward_a_larger_prediction():
    """Added voxels in place only thin out the mean of the prediction's side, as Aydin et al. show."""
    reference = box(z=(1, 2), y=(5, 8), x=(4, 7))
    near = reference.copy()
    near[1, 15, 15] = True
    larger = near | box(z=(1, 2), y=(4, 9), x=(3, 8))
    small, large = (average_hausdorff_distances(*both(reference, mask)) for mask in (near, larger))
    assert large["ahd_max_mm"] < small["ahd_max_mm"]
    assert large["ahd_balanced_mm"] > small["ahd_balanced_mm"]


def test_identical_masks_are_at_no_distance():
    sides = both(box(), box())
    assert set({**surface_distances(*sides), **average_hausdorff_distances(*sides)}.values()) == {0.0}


def test_nothing_within_reach_is_infinitely_far():
    distances = nearest_mm(box(z=(0, 1)), box(z=(5, 6)), SPACING_MM, at_most=2.0)
    assert np.isinf(distances).all()
    assert nearest_mm(box(z=(0, 1)), box(z=(5, 6)), SPACING_MM) == pytest.approx(25.0)
