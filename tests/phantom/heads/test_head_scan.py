"""Scans from label maps: the same for a seed, and labelled where the DWI rises in parenchyma."""

import numpy as np
import pytest
from scipy import ndimage

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.phantom.heads import LesionMasks, find_heads, make_head_scan, read_head
from nnunetv2_mscs.phantom.heads.label_maps import MNI_CENTRE, HeadTissue

SLICES = 5


def scan(seed, head, masks, **options):
    return make_head_scan(seed, [head], masks, most_slices=SLICES, **options)


def test_a_seed_gives_the_same_scan_and_another_seed_another(head, masks):
    first, again, other = (scan(seed, head, masks) for seed in (3, 3, 4))
    for name in ("adc", "dwi", "mask"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.facts == again.facts
    assert first.dwi.shape != other.dwi.shape or (first.dwi != other.dwi).any()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_label_lies_on_bright_dwi_within_the_brain(seed, head, masks):
    struck = scan(seed, head, masks, lesion_free=0.0, adc_missing=0.0)
    healthy = struck.dwi[(struck.adc > 500) & (struck.adc < 1100) & (struck.mask == 0)]
    assert struck.mask.any()
    assert np.median(struck.dwi[struck.mask > 0]) > 1.1 * np.median(healthy)
    assert struck.facts["volume_ml"] > 0
    # The middle of the lesion is tissue, not fluid or air.
    core = struck.mask > 0
    assert np.median(struck.adc[core]) < 1600
    assert (ndimage.median_filter(struck.adc, (1, 3, 3))[core] > 0).mean() > 0.9


@pytest.mark.parametrize("seed", [0, 5])
def test_a_scan_without_a_lesion_has_no_label(seed, head, masks):
    healthy = scan(seed, head, masks, lesion_free=1.0)
    assert not healthy.mask.any()
    assert healthy.facts["kind"] == "none"
    assert healthy.dwi.any()


def test_the_adc_may_be_missing(head, masks):
    without = scan(6, head, masks, adc_missing=1.0)
    assert not without.adc.any()
    assert without.dwi.std() > 0


def test_values_are_those_of_a_scanner(head, masks):
    one = scan(8, head, masks, adc_missing=0.0)
    brain = one.adc[(one.adc > 300) & (one.adc < 1400)]
    assert 550 < np.median(brain) < 1000
    assert one.dwi.min() >= 0
    assert one.grid.shape == one.dwi.shape == one.mask.shape
    assert 2 <= one.grid.spacing[2] <= 7
    assert 0.4 < one.grid.spacing[0] <= 2


def test_a_segmentation_of_any_grid_is_read_and_brought_to_mni_space(head):
    one = read_head(head)
    volume_ml = one.parenchyma.sum() / 1000
    assert volume_ml == pytest.approx(1400, rel=0.1)
    middle = np.argwhere(one.parenchyma).mean(0)
    np.testing.assert_allclose((one.to_mni @ np.append(middle, 1))[:3], MNI_CENTRE, atol=1)
    # A brain alone gets a skull and a scalp.
    assert {HeadTissue.BONE, HeadTissue.SKIN} <= {HeadTissue(value) for value in np.unique(one.tissues)}


def test_the_mask_of_a_scan_that_is_evaluated_on_is_left_out(masks):
    assert masks.names == ("sub-10", "sub-11", "sub-12")
    shape = masks.get(2)
    assert shape.mask.sum() * 8 / 1000 == pytest.approx(masks.volumes_ml[2])
    np.testing.assert_allclose(shape.centre_mni, [34, -18, 18], atol=1)
    np.testing.assert_allclose(shape.mirrored().centre_mni, [-34, -18, 18], atol=1)


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(MscsError, match="no label maps"):
        find_heads(tmp_path)
    with pytest.raises(MscsError, match="no lesion mask"):
        LesionMasks.read(tmp_path)
    (tmp_path / "lesions.npz.xz").write_bytes(b"none")
    with pytest.raises(MscsError, match="cannot be read as lesion masks"):
        LesionMasks.read(tmp_path / "lesions.npz.xz")
