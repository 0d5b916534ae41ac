"""The unit of an ADC map is found from the brain, whatever surrounds it."""

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.units import TO_MICRO, VOXELS_FOR_THRESHOLD, find_adc_unit, head_mask

SHAPE = (12, 32, 32)


@pytest.fixture
def head() -> np.ndarray:
    z, y, x = np.ogrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j, -1 : 1 : SHAPE[2] * 1j]
    return np.asarray(z**2 + y**2 + x**2 < 0.7)


@pytest.fixture
def maps(head) -> tuple[np.ndarray, np.ndarray]:
    """ADC in 10^-6 mm2/s with CSF, and DWI; air is exactly 0."""
    rng = np.random.default_rng(0)
    adc = rng.normal(850, 150, SHAPE)
    adc[:, 14:18, 14:18] = 2900
    dwi = rng.normal(250, 20, SHAPE)
    dwi[:, 14:18, 14:18] = 60
    return np.where(head, adc, 0).astype(np.float32), np.where(head, dwi, 5).astype(np.float32)


@pytest.mark.parametrize("name", TO_MICRO)
@pytest.mark.parametrize("with_dwi", [True, False])
def test_each_unit(maps, name, with_dwi):
    adc, dwi = maps
    unit = find_adc_unit(adc / np.float32(TO_MICRO[name]), dwi if with_dwi else None)
    assert (unit.name, unit.factor) == (name, TO_MICRO[name])


@pytest.mark.parametrize("median", [330, 2700])
def test_extreme_brains_keep_their_unit(maps, median):
    adc, dwi = maps
    assert find_adc_unit(adc * np.float32(median / 850 * 1e-6), dwi).name == "mm2/s"


def test_noise_in_air_does_not_count(maps, head):
    adc, dwi = maps
    noise = np.random.default_rng(1).normal(0, 3000, SHAPE)
    noisy = np.where(head, adc, noise).astype(np.float32) / 1e6
    assert np.median(noisy[noisy > 0]) != pytest.approx(850e-6, rel=0.1)
    unit = find_adc_unit(noisy, dwi)
    assert unit.name == "mm2/s"
    assert unit.negative_share == pytest.approx(float((noisy < 0).mean()))
    assert unit.negative_share_of_head < 0.01 < unit.negative_share


def test_min_max_scaled_maps_are_told_apart_from_units(maps):
    adc, dwi = maps
    scaled_adc, scaled_dwi = adc / adc.max(), dwi / dwi.max()
    assert find_adc_unit(scaled_adc, scaled_dwi).name == "scaled"
    assert find_adc_unit(scaled_adc).name == "scaled"
    assert find_adc_unit(scaled_adc * np.float32(0.8), scaled_dwi).name == "scaled", "cropped after scaling"
    assert find_adc_unit(np.minimum(adc, 950) / 1000, dwi).name == "10^-3 mm2/s", "no CSF in the field of view"
    assert find_adc_unit(adc / 1e6, scaled_dwi).name == "mm2/s", "a scaled DWI beside a map in mm2/s"


@pytest.mark.parametrize("factor", [0.05, 0.1e-6 * 1e3, 20.0])
def test_values_between_the_units_are_an_error_that_tells_the_ranges(maps, factor):
    adc, dwi = maps
    with pytest.raises(ScanError) as caught:
        find_adc_unit(adc * np.float32(factor), dwi)
    for part in ("300 to 3000 in 10^-6 mm2/s", "0.3 to 3 in 10^-3 mm2/s", "0.0003 to 0.003 in mm2/s", "median is"):
        assert part in caught.value.finding


@pytest.mark.parametrize(
    ("case", "unit", "median"),
    [
        ("images/isles22_0001_", "10^-3 mm2/s", (850, 1100)),
        ("images/isles22_0002_", "mm2/s", (750, 950)),
        ("images/isles22_0003_", "mm2/s", (850, 1100)),
        ("images/isles22_0004_", "10^-3 mm2/s", (700, 900)),
        ("images/soop_3_", "10^-6 mm2/s", (750, 1000)),
        ("unlabelled/ads_02/", "mm2/s", (800, 900)),
    ],
)
def test_real_scans(real_folder, case, unit, median):
    adc, dwi = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(real_folder / f"{case}{channel}.nii.gz")))
        for channel in ("adc", "dwi")
    )
    found = find_adc_unit(adc, dwi)
    assert found.name == unit
    inside = adc[head_mask(dwi) & (adc > 0)]
    assert median[0] < np.median(inside) * found.factor < median[1]


def test_a_head_that_was_found_before_is_the_same_and_one_of_other_voxels_is_another(maps):
    dwi = maps[1]
    first = head_mask(dwi)
    np.testing.assert_array_equal(head_mask(dwi.copy(order="F")), first)
    again = head_mask(dwi)
    again[:] = False
    np.testing.assert_array_equal(head_mask(dwi), first)
    dwi[:, :16] = 0
    assert not head_mask(dwi)[:, :16].any()
    assert head_mask(dwi).dtype == bool


def unsampled(dwi: np.ndarray) -> np.ndarray:
    """The head by the threshold of all voxels."""
    low, high = np.percentile(dwi, [1, 99])
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.Execute(sitk.GetImageFromArray(np.clip(dwi, low, high).astype(np.float32)))
    return dwi > otsu.GetThreshold()


def disagreement(dwi: np.ndarray) -> float:
    whole = unsampled(dwi)
    return float(np.count_nonzero(head_mask(dwi) != whole) / np.count_nonzero(whole))


def test_the_threshold_of_some_voxels_is_nearly_that_of_all(real_folder):
    files = sorted((real_folder / "images").glob("*.nii.gz"))
    volumes = [sitk.GetArrayFromImage(sitk.ReadImage(str(file))) for file in files]
    assert max(volume.size for volume in volumes) > 4 * VOXELS_FOR_THRESHOLD
    assert max(map(disagreement, volumes)) < 0.01


@pytest.mark.parametrize("shape", [(49, 512, 512), (98, 256, 256), (64, 100, 200)])
def test_a_volume_as_wide_as_the_step_between_voxels_is_sampled_in_all_columns(shape):
    z, y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    head = z**2 + y**2 + x**2 < 0.5
    dwi = np.where(head, 600 + 300 * x, 30).astype(np.float32)
    dwi += np.random.default_rng(0).normal(0, 40, shape).astype(np.float32)
    assert disagreement(dwi) < 0.01
