"""The original's scaling, alone and inside nnU-Net's preprocessing."""

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_mscs.keras_import.keras_weights import OriginalSize
from nnunetv2_mscs.keras_import.plans import Preprocessing, dataset_json, keras_plans, no_data_set
from nnunetv2_mscs.keras_import.scaling import SliceMinMaxNormalization


def scale(image: np.ndarray, seg: np.ndarray | None = None) -> np.ndarray:
    return SliceMinMaxNormalization(use_mask_for_norm=False, intensityproperties={}).run(image, seg)


def as_the_original(image: np.ndarray) -> np.ndarray:
    """Slices of (C, Z, Y, X) one by one."""
    scaled = np.zeros_like(image)
    for index in np.ndindex(image.shape[:2]):
        low, high = image[index].min(), image[index].max()
        if high > low:
            scaled[index] = (image[index] - low) / (high - low)
    return scaled


def test_every_slice_fills_0_to_1():
    image = np.random.default_rng(0).normal(50, 20, (5, 8, 9)).astype(np.float32)
    scaled = scale(image * np.arange(1, 6)[:, None, None])
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled.min((1, 2)), 0)
    np.testing.assert_array_equal(scaled.max((1, 2)), 1)
    np.testing.assert_allclose(scaled, scale(image), atol=1e-6)


def test_slices_of_one_value_and_what_is_not_finite_become_0():
    image = np.random.default_rng(0).random((4, 3, 3)).astype(np.float32)
    image[0] = 7
    image[1, 0, 0], image[1, 0, 1] = np.nan, np.inf
    image[2] = np.nan
    scaled = scale(image)
    assert np.isfinite(scaled).all()
    assert not scaled[0].any()
    assert not scaled[2].any()
    assert scaled[1, 0, 0] == scaled[1, 0, 1] == 0
    assert scaled[1].max() == 1


def test_large_values_keep_their_range():
    extremes = np.array([[[-3e38, 0, 3e38]]], np.float32)
    np.testing.assert_array_equal(scale(extremes), [[[0, 0.5, 1]]])


def test_zeros_that_were_cut_off_count():
    image = np.full((2, 2, 2), 4, np.float32)
    image[:, 0, 0] = 2
    seg = np.zeros((2, 2, 2), np.int8)
    np.testing.assert_array_equal(scale(image, seg)[1], [[0, 1], [1, 1]])
    seg[0, 0, 0] = -1
    np.testing.assert_array_equal(scale(image, seg)[1], [[0.5, 1], [1, 1]])


@pytest.mark.parametrize("case", ["isles22_0001", "soop_3", "ads_02"])
def test_nnunet_shows_the_network_what_the_original_would(real_folder, case):
    if case == "ads_02":
        files = [str(real_folder / "unlabelled" / case / f"{name}.nii.gz") for name in ("adc", "dwi")]
    else:
        files = [str(real_folder / "images" / f"{case}_{name}.nii.gz") for name in ("adc", "dwi")]
    preprocessing = Preprocessing("slice-minmax", (16, 192, 192), None, batch_size=2)
    plans = PlansManager(keras_plans(OriginalSize(2, 2, 2), preprocessing, no_data_set(2, (16, 192, 192))))
    seen, _, properties = DefaultPreprocessor(verbose=False).run_case(
        files, None, plans, plans.get_configuration("3d_fullres"), dataset_json(("ADC", "DWI"), 2)
    )
    whole = np.stack([sitk.GetArrayFromImage(sitk.ReadImage(file, sitk.sitkFloat32)) for file in files])
    crop = tuple(slice(*bounds) for bounds in properties["bbox_used_for_cropping"])
    np.testing.assert_allclose(seen, as_the_original(whole)[(slice(None), *crop)], atol=1e-6)
