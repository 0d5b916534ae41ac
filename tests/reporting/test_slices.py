"""The slices shown are those that the rule names."""

import numpy as np
import pytest

from nnunetv2_mscs.reporting.slices import LARGEST, MOST_ERROR, choose_slices

SHAPE = (20, 16, 16)
HEAD = np.ones(SHAPE, bool)


def some_mask(rng: np.random.Generator, low: int, high: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    for z in range(low, high):
        edge = int(rng.integers(1, 12))
        mask[z, :edge, :edge] = True
    return mask


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("count", [1, 2, 3, 6, 19])
def test_most_error_and_largest_area_are_always_there(seed, count):
    rng = np.random.default_rng(seed)
    truth, prediction = some_mask(rng, 4, 14), some_mask(rng, 7, 18)
    shown = choose_slices(truth, prediction, HEAD, count=count)
    assert list(shown.indices) == sorted(set(shown.indices))
    assert len(shown.indices) == count
    error, area = (truth ^ prediction).sum(axis=(1, 2)), truth.sum(axis=(1, 2))
    marked = {mark: z for z, marks in shown.marks.items() for mark in marks.split(", ")}
    assert marked[MOST_ERROR] in shown.indices
    assert error[marked[MOST_ERROR]] == error.max()
    if count > 1:
        assert area[marked[LARGEST]] == area.max()
        assert marked[LARGEST] in shown.indices
    masked = {int(z) for z in np.flatnonzero((truth | prediction).any(axis=(1, 2)))}
    assert set(shown.indices) <= masked or masked <= set(shown.indices)


def test_scattered_pieces_leave_no_slice_without_mask():
    truth = np.zeros(SHAPE, bool)
    truth[[0, 1, 2, 9, 18, 19], 3, 3] = True
    assert choose_slices(truth, None, HEAD, count=6).indices == (0, 1, 2, 9, 18, 19)


def test_neighbours_follow_where_a_lesion_fills_few_slices():
    truth = np.zeros(SHAPE, bool)
    truth[10] = True
    shown = choose_slices(truth, None, HEAD, count=4)
    assert shown.indices == (8, 9, 10, 11)
    assert "true area" in shown.rule


def test_without_any_voxel_slices_spread_over_the_head():
    head = np.zeros(SHAPE, bool)
    head[5:16] = True
    empty = np.zeros(SHAPE, bool)
    for masks in ((None, None), (empty, empty), (empty, None)):
        assert choose_slices(*masks, head, count=3).indices == (5, 10, 15)
    assert choose_slices(None, None, np.zeros(SHAPE, bool), count=3).indices == (0, 10, 19)


def test_a_false_alarm_alone_is_shown_where_it_is_largest():
    prediction = np.zeros(SHAPE, bool)
    prediction[3, :2], prediction[7, :9] = True, True
    shown = choose_slices(np.zeros(SHAPE, bool), prediction, HEAD, count=2)
    assert shown.marks == {7: f"{MOST_ERROR}, {LARGEST}"}
    assert "predicted area" in shown.rule


def test_a_volume_of_few_slices_shows_them_all():
    mask = np.ones((2, 4, 4), bool)
    assert choose_slices(mask, mask, mask, count=6).indices == (0, 1)


def test_a_perfect_prediction_has_no_slice_of_most_error():
    truth = np.zeros(SHAPE, bool)
    truth[5:9, 2:4] = True
    shown = choose_slices(truth, truth, HEAD, count=3)
    assert list(shown.marks.values()) == [LARGEST]
    assert "false" not in shown.rule
