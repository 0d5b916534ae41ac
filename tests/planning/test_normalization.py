"""ADC by its unit and DWI by its parenchyma: values, invariances, odd input, real scans."""

import warnings

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.phantom import PhantomSettings, phantom_case
from nnunetv2_mscs.planning.normalization import ADCNormalization, DWINormalization, parenchyma_level
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.units import TO_MICRO

SHAPE = (12, 40, 40)
PER_MM2_PER_S = {name: 1e6 / factor for name, factor in TO_MICRO.items()}
# DWI over the parenchyma that ADC and DWI together show (ADC of 0.5 to 1.1e-3, DWI above a quarter of its largest).
REAL_LEVELS = {
    "isles22_0001": 253.31,
    "isles22_0002": 318.0,
    "isles22_0003": 200.62,
    "isles22_0004": 214.62,
    "soop_3": 665.0,
    "ads_02": 98.0,
}


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def normalised_adc(image) -> np.ndarray:
    return ADCNormalization(use_mask_for_norm=False, intensityproperties={}).run(np.asarray(image, np.float32))


def normalised_dwi(image) -> np.ndarray:
    return DWINormalization(use_mask_for_norm=False, intensityproperties={}).run(np.asarray(image, np.float32))


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    z, y, x = np.ogrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j, -1 : 1 : SHAPE[2] * 1j]
    return np.asarray(z**2 + y**2 + x**2 < 0.8)


@pytest.fixture(scope="module")
def scan(head) -> tuple[np.ndarray, np.ndarray]:
    """ADC in 10^-6 mm2/s and DWI of parenchyma around 800 and 250, with ventricles; air is exactly 0."""
    rng = np.random.default_rng(0)
    adc, dwi = rng.normal(800, 120, SHAPE), rng.normal(250, 25, SHAPE)
    adc[3:9, 17:23, 17:23], dwi[3:9, 17:23, 17:23] = 2900, 60
    return np.where(head, adc, 0).astype(np.float32), np.where(head, dwi, 0).astype(np.float32)


@pytest.fixture(scope="module", params=[("zero", 0.03), ("noise", 0.06)], ids=["zero air", "noisy air"])
def phantom(request) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ADC, DWI and mask (Z, Y, X) of a phantom."""
    air, noise = request.param
    case = phantom_case(PhantomSettings(size=(96, 96, 16), air=air, noise=noise), 7, 1)
    return case.adc.T.astype(np.float32), case.dwi.T.astype(np.float32), case.mask.T


def real_scan(folder, case: str) -> tuple[np.ndarray, np.ndarray]:
    stem = folder / "unlabelled" / case if case == "ads_02" else folder / "images"
    prefix = "" if case == "ads_02" else f"{case}_"
    files = [str(stem / f"{prefix}{name}.nii.gz") for name in ("adc", "dwi")]
    adc, dwi = (sitk.GetArrayFromImage(sitk.ReadImage(file, sitk.sitkFloat32)) for file in files)
    return adc, dwi


def assert_units_agree(adc: np.ndarray, stored: str) -> None:
    expected = normalised_adc(adc)
    for name in TO_MICRO:
        factor = np.float32(PER_MM2_PER_S[name] / PER_MM2_PER_S[stored])
        np.testing.assert_allclose(normalised_adc(adc * factor), expected, atol=1e-5)


@pytest.mark.parametrize("per_milli", [1000, 1, 0.001])
def test_adc_keeps_its_unit(per_milli):
    image = np.full((3, 4, 4), 0.8)
    image[0, 0] = 0, -0.5, 3, 7
    image[0, 1] = np.nan, np.inf, -np.inf, 1.1
    seen = normalised_adc(image * per_milli)
    np.testing.assert_allclose(seen[0, 0], [0, 0, 6, 6], rtol=1e-6)
    np.testing.assert_allclose(seen[0, 1], [0, 0, 0, 2.2], rtol=1e-6)
    np.testing.assert_allclose(seen[1:], 1.6, rtol=1e-6)
    assert seen.dtype == np.float32


def test_dwi_is_relative_to_its_median():
    image = np.tile(np.float32([90, 100, 110, 100]), (4, 4, 1))
    image[0, 0] = 0, -20, 200, 900
    image[0, 1, 0] = np.nan
    seen = normalised_dwi(image)
    np.testing.assert_allclose(seen[0, 0], [0, 0, 6, 15], rtol=1e-6)
    assert seen[0, 1, 0] == 0
    np.testing.assert_allclose(seen[1:], np.tile([2.7, 3, 3.3, 3], (3, 4, 1)), rtol=1e-6)
    assert seen.dtype == np.float32


def test_images_are_left_as_they_are(scan):
    adc, dwi = (image.copy() for image in scan)
    normalised_adc(adc), normalised_dwi(dwi)
    np.testing.assert_array_equal(adc, scan[0])
    np.testing.assert_array_equal(dwi, scan[1])


@pytest.mark.parametrize("image", [np.zeros((3, 4, 4)), np.full((3, 4, 4), np.nan)], ids=["zero", "nan"])
def test_images_without_any_value_stay_0(image):
    assert not normalised_adc(image).any()
    assert not normalised_dwi(image).any()


def test_a_constant_dwi_becomes_0_with_and_without_padding():
    for image in (np.full((3, 8, 8), 7), np.pad(np.full((3, 8, 8), 7), 2), np.full((3, 8, 8), -7)):
        assert not normalised_dwi(image).any()


def test_units_agree_on_phantoms(phantom):
    assert_units_agree(phantom[0], "10^-6 mm2/s")


def test_any_positive_factor_leaves_the_dwi_alone(scan, phantom):
    for dwi in (scan[1], phantom[1]):
        for factor in (1e-4, 0.37, 12, 1e6):
            np.testing.assert_allclose(normalised_dwi(dwi * factor), normalised_dwi(dwi), atol=1e-4)


def test_zeros_around_the_head_change_nothing_and_stay_0(scan, phantom):
    """nnU-Net crops to what is not 0 and pads patches with 0, which is what a stripped head's background becomes."""
    for adc, dwi in (scan, phantom[:2]):
        for normalised, image in ((normalised_adc, adc), (normalised_dwi, dwi)):
            pad = ((3, 0), (20, 5), (0, 31))
            expected = np.pad(normalised(image), pad)
            np.testing.assert_array_equal(normalised(np.pad(image, pad)), expected)
            assert not normalised(image)[image == 0].any()


def test_storage_as_whole_numbers_hardly_changes_the_dwi(scan):
    dwi = scan[1]
    np.testing.assert_allclose(normalised_dwi(np.round(dwi)), normalised_dwi(dwi), atol=0.03)


@pytest.mark.parametrize("brightness", [1.5, 2, 2.5])
@pytest.mark.parametrize("background", ["zero", "noise"])
def test_a_lesion_of_half_a_hemisphere_leaves_the_level(scan, head, brightness, background):
    _, dwi = scan
    lesion = np.zeros(SHAPE, bool)
    lesion[:, :20, :20] = head[:, :20, :20]
    assert 0.2 < lesion.sum() / head.sum() < 0.3
    struck = np.where(lesion, brightness * dwi, dwi)
    if background == "noise":
        rng = np.random.default_rng(1)
        struck = np.hypot(struck + rng.normal(0, 15, SHAPE), rng.normal(0, 15, SHAPE))
    assert parenchyma_level(struck) == pytest.approx(250, rel=0.03)


def test_noise_of_a_wide_field_of_view_and_a_bias_are_no_parenchyma(scan):
    _, dwi = scan
    wide = np.pad(dwi * np.linspace(0.8, 1.2, SHAPE[2]), ((0, 0), (5, 25), (25, 5)))
    rng = np.random.default_rng(2)
    noisy = np.hypot(wide + rng.normal(0, 20, wide.shape), rng.normal(0, 20, wide.shape))
    assert parenchyma_level(noisy) == pytest.approx(250, rel=0.05)


def test_a_single_slice_has_a_level(scan):
    assert parenchyma_level(scan[1][6:7]) == pytest.approx(250, rel=0.05)


def test_most_of_a_map_may_be_0(scan, head):
    adc = np.zeros(SHAPE, np.float32)
    adc[2, 5:9, 5:9] = 900
    np.testing.assert_allclose(normalised_adc(np.round(adc)), adc * 2e-3, rtol=1e-6)
    apart = np.zeros(SHAPE, np.float32)
    apart[0, 0], apart[-1, -1] = 0.7, 0.9  # nothing in the middle
    np.testing.assert_allclose(normalised_adc(apart), apart * 2, rtol=1e-6)


def test_a_middle_beyond_free_water_does_not_hide_the_unit(scan, head):
    adc = scan[0].copy()
    adc[3:9, 10:30, 10:30] = 3200
    np.testing.assert_allclose(normalised_adc(adc), np.clip(adc, 0, 3000) * 2e-3, rtol=1e-5)


def test_maps_without_a_unit_are_refused(scan, head):
    adc, _ = scan
    with pytest.raises(ScanError, match=r"scaled to \[0, 1\]"):
        normalised_adc(adc / adc.max())
    with pytest.raises(ScanError, match=r"ADC unit not recognised: the brain's median is 4\.082e"):
        normalised_adc(adc * 50)
    with pytest.raises(ScanError, match="negative in"):
        normalised_adc((adc - adc.mean()) / adc.std())
    brain = np.where(head, (adc - adc[head].mean()) / adc[head].std(), 0)
    with pytest.raises(ScanError, match="not z-scored or otherwise normalised"):
        normalised_adc(brain)


@pytest.mark.parametrize("case", REAL_LEVELS)
def test_real_scans(real_folder, case):
    adc, dwi = real_scan(real_folder, case)
    stored = {"isles22_0001": "10^-3 mm2/s", "isles22_0004": "10^-3 mm2/s", "soop_3": "10^-6 mm2/s"}
    assert_units_agree(adc, stored.get(case, "mm2/s"))
    assert parenchyma_level(dwi) == pytest.approx(REAL_LEVELS[case], rel=0.05)
    seen_adc, seen_dwi = normalised_adc(adc), normalised_dwi(dwi)
    brain = (seen_adc > 0.4) & (seen_dwi > 0.9)
    assert 0.8 < seen_adc[brain].std() < 1.6
    assert 0.8 < seen_dwi[brain].std() < 1.4
    assert 1.5 < np.median(seen_adc[brain]) < 2.2
    assert 2.6 < np.median(seen_dwi[brain]) < 3.1
