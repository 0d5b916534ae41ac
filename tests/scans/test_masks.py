"""Every way of saving a mask gives the same labels; what is no mask is refused; volumes and pieces are right."""

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.lesions import count_pieces, lesion_volume_ml
from nnunetv2_mscs.scans.masks import to_labels


@pytest.fixture
def truth() -> np.ndarray:
    return (np.random.default_rng(0).random((5, 6, 7)) > 0.8).astype(np.uint8)


@pytest.mark.parametrize(
    "save",
    [
        lambda t: t[None],
        lambda t: t[None].astype(bool),
        lambda t: t[None] * np.uint8(255),
        lambda t: t[None].astype(np.float64),
        lambda t: t[None].astype(np.float32) * 0.9995,
        lambda t: t[None].astype(np.float32) * 255,
        lambda t: np.stack([1 - t, t]),
        lambda t: np.stack([1 - t, t]).astype(np.float32),
        lambda t: np.stack([t == 0, t == 1]),
        lambda t: np.stack([1 - t, t]) * np.uint8(255),
    ],
    ids=["labels", "bool", "0/255", "float", "rounded", "float255", "one-hot", "float one-hot", "bool one-hot", "255"],
)
def test_every_kind_of_mask(truth, save):
    labels = to_labels(save(truth))
    np.testing.assert_array_equal(labels[0], truth)
    assert labels.dtype == np.uint8


def test_kinds_of_lesion_are_kept(truth):
    kinds = truth[None] * np.uint8(2)
    kinds[0, 0, 0, 0] = 1
    np.testing.assert_array_equal(to_labels(kinds), kinds)
    one_hot = np.stack([kinds[0] == k for k in range(3)]).astype(np.float32)
    np.testing.assert_array_equal(to_labels(one_hot), kinds)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t[None] * 0.4, "probabilities"),
        (lambda t: t[None] * np.int16(300), "unknown label values: 0, 300"),
        (lambda t: t[None].astype(np.int16) * -1, "unknown label values: -1, 0"),
        (lambda t: np.stack([t, t]), "not one-hot"),
        (lambda t: np.where(t, np.nan, 0.0)[None], "NaN"),
        (lambda t: np.arange(t.size).reshape(1, *t.shape), "unknown label values: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ..."),
    ],
    ids=["probabilities", "unknown", "negative", "not one-hot", "NaN", "numbered"],
)
def test_what_is_no_mask(truth, spoil, message):
    with pytest.raises(ScanError, match=message):
        to_labels(spoil(truth))


def test_pieces_touch_by_corners(truth):
    cc3d = pytest.importorskip("cc3d")
    assert count_pieces(truth) == cc3d.connected_components(truth, connectivity=26, return_N=True)[1]
    assert count_pieces(np.zeros((3, 3, 3), np.uint8)) == 0
    diagonal = np.zeros((3, 3, 3), np.uint8)
    diagonal[0, 0, 0] = diagonal[1, 1, 1] = 1
    assert count_pieces(diagonal) == 1


@pytest.mark.parametrize(
    ("case", "volume_ml", "pieces"),
    [
        ("isles22_0001", 6.68, 31),
        ("isles22_0002", 0.94, 1),
        ("isles22_0003", 31.0, 46),
        ("isles22_0004", 2.25, 8),
        ("soop_3", 156.6, 6),
    ],
)
def test_real_masks(real_folder, case, volume_ml, pieces):
    image = sitk.ReadImage(str(real_folder / "masks" / f"{case}.nii.gz"))
    labels = to_labels(sitk.GetArrayFromImage(image)[None])[0]
    assert lesion_volume_ml(labels, np.prod(image.GetSpacing()) / 1000) == pytest.approx(volume_ml, rel=5e-3)
    assert count_pieces(labels) == pieces
