"""Files of one scan meet by physical space: exactly where only axes differ, never in silence where more does."""

from itertools import permutations, product

import nibabel
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, inv_ornt_aff

from nnunetv2_mscs.scans.alignment import align
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.grid import Grid, distance_mm
from nnunetv2_mscs.scans.reading import read_volume

SHAPE_XYZ = (7, 6, 5)


def oblique_affine() -> np.ndarray:
    """A rotation of 20 degrees about x and 10 about z, with unequal voxel sizes."""
    a, b = np.deg2rad([20, 10])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_z @ np.diag([1.2, 1.3, 5.0])
    affine[:3, 3] = [-30, 20, 10]
    return affine


@pytest.fixture
def array() -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, SHAPE_XYZ).astype(np.float32)


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("flips", list(product((1, -1), repeat=3)))
def test_every_orientation_comes_back_bit_by_bit(tmp_path, array, axes, flips):
    orientation = np.array(list(zip(axes, flips, strict=True)))
    turned = apply_orientation(array, orientation)
    affine = oblique_affine() @ inv_ornt_aff(orientation, SHAPE_XYZ)
    nibabel.save(nibabel.Nifti1Image(array, oblique_affine()), tmp_path / "dwi.nii")
    nibabel.save(nibabel.Nifti1Image(turned, affine), tmp_path / "adc.nii")
    dwi, adc = read_volume(tmp_path / "dwi.nii"), read_volume(tmp_path / "adc.nii")
    aligned, warnings = align(adc.array, adc.grid, dwi.grid, what="ADC", reference_name="DWI")
    np.testing.assert_array_equal(aligned, dwi.array)
    assert warnings == []


GRID = Grid((20, 18, 6), (2.0, 2.0, 5.0), (-20.0, 5.0, 7.0))


def moved(grid: Grid, by_mm: float) -> Grid:
    return Grid(grid.size, grid.spacing, (grid.origin[0] + by_mm, *grid.origin[1:]), grid.direction)


@pytest.mark.parametrize(("by_mm", "same"), [(0.0, True), (0.015, True), (0.03, False), (1.0, False)])
def test_last_digits_are_healed_and_real_differences_refused(by_mm, same):
    array = np.random.default_rng(0).normal(size=(1, *GRID.shape))
    if same:
        result, _ = align(array, moved(GRID, by_mm), GRID, what="ADC", reference_name="DWI")
        assert result.tobytes() == array.tobytes()
        return
    with pytest.raises(ScanError) as caught:
        align(array, moved(GRID, by_mm), GRID, what="ADC", reference_name="DWI")
    message = caught.value.finding
    assert f"{by_mm:g} mm" in message
    assert str(GRID) in message
    assert str(moved(GRID, by_mm)) in message


def test_a_small_rotation_counts_where_it_moves_most():
    angle = np.deg2rad(0.1)
    turned = Grid(
        GRID.size,
        GRID.spacing,
        GRID.origin,
        (np.cos(angle), -np.sin(angle), 0, np.sin(angle), np.cos(angle), 0, 0, 0, 1),
    )
    radius = np.hypot(19 * 2.0, 17 * 2.0)
    assert distance_mm(GRID, turned) == pytest.approx(2 * np.sin(angle / 2) * radius, rel=1e-6)


def test_resampling_is_linear_for_images_and_nearest_for_masks():
    z, y, x = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in GRID.shape), indexing="ij")
    ramp = (x + 10 * y + 100 * z)[None]
    shifted, warnings = align(ramp, GRID, moved(GRID, 1.0), what="ADC", reference_name="DWI", resample=True)
    np.testing.assert_allclose(shifted[0, :, :, :-1], ramp[0, :, :, :-1] + 0.5, atol=1e-3)
    assert any("resampled (linear)" in warning for warning in warnings)
    mask = np.zeros((1, *GRID.shape), np.uint8)
    mask[0, 2:4, 5:9, 5:9] = 3
    labels, _ = align(mask, GRID, moved(GRID, 0.8), what="mask", reference_name="DWI", resample=True, is_mask=True)
    np.testing.assert_array_equal(labels, mask)
    assert labels.dtype == np.uint8


def test_resampling_tells_what_is_not_covered_and_refuses_what_is_elsewhere():
    array = np.ones((1, *GRID.shape), np.float32)
    _, warnings = align(array, GRID, moved(GRID, 20.0), what="ADC", reference_name="DWI", resample=True)
    assert any("covers only 50.0%" in warning for warning in warnings)
    with pytest.raises(ScanError, match="do not overlap"):
        align(array, GRID, moved(GRID, 500.0), what="ADC", reference_name="DWI", resample=True)
