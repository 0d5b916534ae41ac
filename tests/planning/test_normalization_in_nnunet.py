"""ADC and DWI in nnU-Net's own preprocessing: the classes are found, and zeros around a head never show."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_mscs.nnunet_shims.run import make_findable
from nnunetv2_mscs.planning.normalization import ADCNormalization, DWINormalization
from nnunetv2_mscs.planning.planner import MSCSPlanner

SPACING = (5.0, 2.0, 2.0)
PAD = ((2, 1), (6, 11), (0, 9))


@pytest.fixture
def plans(fingerprinted) -> PlansManager:
    """Plans for scans of 12 x 40 x 40 voxels, which nnU-Net need not resample."""
    make_findable()
    lesions = {"0": {"median": 550.0, "max": 2700.0}, "1": {"median": 480.0, "max": 1500.0}}
    name = fingerprinted(size=(12, 40, 40), spacing=SPACING, cases=5, intensities=lesions)
    return PlansManager(MSCSPlanner(name).plan_experiment())


@pytest.fixture
def stripped() -> tuple[np.ndarray, np.ndarray]:
    """ADC and DWI of a head without skull in a background of 0."""
    z, y, x = np.ogrid[-1:1:12j, -1:1:40j, -1:1:40j]
    rng = np.random.default_rng(0)
    head = z**2 + y**2 + x**2 < 0.9
    adc, dwi = (np.where(head, rng.normal(level, level / 10, head.shape), 0) for level in (800, 250))
    return adc.astype(np.float32), dwi.astype(np.float32)


def preprocessed(plans: PlansManager, folder: Path, *channels: np.ndarray) -> tuple[np.ndarray, dict]:
    files = []
    for index, channel in enumerate(channels):
        image = sitk.GetImageFromArray(channel)
        image.SetSpacing(SPACING[::-1])
        files.append(str(folder / f"case_{index:04d}.nii.gz"))
        sitk.WriteImage(image, files[-1])
    dataset = {"channel_names": {"0": "ADC", "1": "DWI"}, "labels": {"background": 0, "lesion": 1}}
    configuration = plans.get_configuration("3d_fullres")
    data, _, properties = DefaultPreprocessor(verbose=False).run_case(files, None, plans, configuration, dataset)
    return data, properties


def test_nnunet_finds_and_applies_both(plans, stripped, tmp_path):
    seen, properties = preprocessed(plans, tmp_path, *stripped)
    crop = tuple(slice(*bounds) for bounds in properties["bbox_used_for_cropping"])
    expected = [
        scheme(use_mask_for_norm=False, intensityproperties={}).run(channel)[crop]
        for scheme, channel in zip((ADCNormalization, DWINormalization), stripped, strict=True)
    ]
    np.testing.assert_allclose(seen, expected, atol=1e-5)


def test_the_unit_of_the_file_does_not_matter(plans, stripped, tmp_path):
    adc, dwi = stripped
    expected, _ = preprocessed(plans, tmp_path, adc, dwi)
    for factor in (1e-3, 1e-6):
        seen, _ = preprocessed(plans, tmp_path, adc * np.float32(factor), dwi * np.float32(3))
        np.testing.assert_allclose(seen, expected, atol=1e-4)


def test_padding_of_patches_equals_the_background(plans, stripped, tmp_path):
    """What nnU-Net cuts off before and fills with 0 after normalisation is what the whole volume normalised shows."""
    seen, properties = preprocessed(plans, tmp_path, *stripped)
    padded, _ = preprocessed(plans, tmp_path, *(np.pad(channel, PAD) for channel in stripped))
    np.testing.assert_array_equal(padded, seen)
    for scheme, channel, shown in zip((ADCNormalization, DWINormalization), stripped, seen, strict=True):
        whole = scheme(use_mask_for_norm=False, intensityproperties={}).run(np.pad(channel, PAD))
        crop = tuple(
            slice(first + before, end + before)
            for (first, end), (before, _) in zip(properties["bbox_used_for_cropping"], PAD, strict=True)
        )
        restored = np.zeros_like(whole)
        restored[crop] = shown
        np.testing.assert_allclose(restored, whole, atol=1e-5)
