"""The two rules of matching lesions, by hand on a line of voxels, and where they part."""

import numpy as np
import pytest

from nnunetv2_mscs.evaluation.lesions import (
    Lesions,
    count_metrics,
    isles22_metrics,
    matched_iou,
    matching_metrics,
    size_counts,
)


def line(text: str) -> np.ndarray:
    """A mask from a line of voxels: `##..#` holds two lesions; a slash begins a new slice, a blank a new row."""
    slices = [[list(row) for row in part.split()] for part in text.split("/")]
    return np.array(slices) == "#"


def lesions(reference: str, prediction: str) -> Lesions:
    return Lesions.of(line(reference), line(prediction))


@pytest.mark.parametrize("text", ["#. .#", "#. ../.. .#", "#. #.", ".# #./.. ..", "#. ../#. .."])
def test_voxels_that_share_a_corner_are_one_lesion(text):
    assert lesions(text, text).reference.tolist() == [2]


def test_overlaps():
    found = lesions("####..##.#...", ".##.#..###..#")
    assert found.reference.tolist() == [4, 2, 1]
    assert found.prediction.tolist() == [2, 1, 3, 1]
    assert found.pairs.tolist() == [[0, 0], [1, 2], [2, 2]]
    assert found.overlaps.tolist() == [2, 1, 1]
    assert found.iou.tolist() == [2 / 4, 1 / 4, 1 / 3]


def test_the_isles22_rule():
    """Two found, one missed, one false: one predicted lesion may find two."""
    values = isles22_metrics(lesions("##.##..##..", ".####.....#"))
    assert values == {"f1_isles22": 2 / 3, "precision_isles22": 2 / 3, "recall_isles22": 2 / 3}


def test_one_to_one_matching_counts_a_lesion_once():
    """The same masks: one predicted lesion is a match for one of the two."""
    found = lesions("##.##..##..", ".####.....#")
    assert matched_iou(found, 0.20).tolist() == [2 / 4]
    values = matching_metrics(found)
    assert values["f1_iou20"] == values["rq_iou20"] == 1 / (1 + 1 / 2 + 2 / 2)
    assert values["sq_iou20"] == 0.5
    assert values["pq_iou20"] == values["rq_iou20"] * 0.5


def test_the_threshold_is_included():
    quarter, fifth = lesions("####...", "...#..."), lesions("#####..", "....#..")
    assert matched_iou(quarter, 0.25).tolist() == [0.25]
    assert matched_iou(fifth, 0.20).tolist() == [0.2]
    values = matching_metrics(fifth)
    assert (values["f1_iou20"], values["f1_iou25"]) == (1.0, 0.0)
    assert (values["sq_iou20"], values["sq_iou25"], values["pq_iou25"]) == (0.2, 0.0, 0.0)


def test_of_equal_pairs_the_larger_overlap_goes_first():
    """Both references have an IoU of 1/3 with the first prediction; the smaller is left with its second best."""
    tied = Lesions(np.array([3, 7]), np.array([9, 2]), np.array([[0, 0], [0, 1], [1, 0]]), np.array([3, 1, 4]))
    assert tied.iou.tolist() == [1 / 3, 1 / 4, 1 / 3]
    assert matched_iou(tied, 0.2).tolist() == [1 / 3, 1 / 4]


def test_of_pairs_equal_in_all_the_earlier_lesion_goes_first():
    """Reference 0 takes prediction 0, for which reference 1 has no other."""
    same = Lesions(np.array([2, 2]), np.array([2, 2]), np.array([[0, 0], [0, 1], [1, 0]]), np.array([1, 1, 1]))
    assert matched_iou(same, 0.2).tolist() == [1 / 3]


def test_matching_by_brute_force():
    """The largest of a table of IoU, without its row and its column, again and again; pairs in any order."""
    rng = np.random.default_rng(0)
    sizes = np.full(4, 40)
    for _ in range(50):
        overlaps = rng.permutation(16).reshape(4, 4) * (rng.random((4, 4)) > 0.4)
        pairs = rng.permutation(np.argwhere(overlaps))
        found = Lesions(sizes, sizes, pairs, overlaps[tuple(pairs.T)])
        expected, iou = [], overlaps / (80 - overlaps)
        while iou.max() >= 0.02:
            best = np.unravel_index(iou.argmax(), iou.shape)
            expected.append(iou[best])
            iou[best[0]] = iou[:, best[1]] = 0
        assert matched_iou(found, 0.02).tolist() == pytest.approx(expected)


def test_sizes_are_classes_of_volume_and_pieces_of_few_voxels_count_in_both():
    """Voxels of 0.1 mL: lesions of 0.9, 1.0, 1.1 mL; found are the first and the last."""
    found = lesions("#########.##########.###########", "#..............................#")
    counts = size_counts(found, voxel_volume_ml=0.1)
    assert (counts["lesions_lt1ml"], counts["lesions_found_lt1ml"]) == (1, 1)
    assert (counts["lesions_1to5ml"], counts["lesions_found_1to5ml"]) == (2, 1)
    assert (counts["lesions_upto10voxels"], counts["lesions_found_upto10voxels"]) == (2, 1)
    assert counts["lesions_5to20ml"] == counts["lesions_ge20ml"] == 0


def test_every_lesion_is_of_one_class_of_volume():
    rng = np.random.default_rng(1)
    found = Lesions(rng.integers(1, 900, 300), np.array([], int), np.zeros((0, 2), int), np.array([], int))
    counts = size_counts(found, voxel_volume_ml=0.05)
    assert sum(counts[f"lesions_{size}"] for size in ("lt1ml", "1to5ml", "5to20ml", "ge20ml")) == 300
    assert min(counts[f"lesions_{size}"] for size in ("lt1ml", "1to5ml", "5to20ml", "ge20ml")) > 0


def test_counts_also_of_nothing():
    assert count_metrics(lesions("#.#.#", "..#..")) == {
        "lesion_count_reference": 3,
        "lesion_count_prediction": 1,
        "lesion_count_difference": 2,
    }
    nothing = lesions(".....", "..#..")
    assert count_metrics(nothing)["lesion_count_reference"] == 0
    assert set(size_counts(nothing, 1.0).values()) == {0}
    assert count_metrics(lesions("#....", "....."))["lesion_count_prediction"] == 0
