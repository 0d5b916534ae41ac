"""Lesions of acute strokes are dark in the ADC and bright in the DWI, and the other way round if these are swapped."""

import nibabel
import numpy as np
import pytest

from nnunetv2_mscs.scans.contrast import FEWEST_VOXELS, Contrast, lesion_contrast


@pytest.mark.parametrize(("adc", "dwi", "swapped"), [(0.6, 1.8, False), (1.8, 0.6, True), (1.2, 1.4, False)])
def test_which_contrasts_look_swapped(adc, dwi, swapped):
    assert Contrast(adc, dwi).looks_swapped == swapped


@pytest.mark.parametrize("case", ["isles22_0001", "isles22_0002", "isles22_0003", "isles22_0004", "soop_3"])
def test_real_lesions(real_folder, case):
    adc, dwi, mask = (
        np.asanyarray(nibabel.load(real_folder / f"{path}.nii.gz").dataobj).T.astype(np.float32)
        for path in (f"images/{case}_adc", f"images/{case}_dwi", f"masks/{case}")
    )
    contrast = lesion_contrast(adc, dwi, mask)
    assert contrast is not None
    assert contrast.adc < 0.9
    assert contrast.dwi > 1.3
    assert lesion_contrast(dwi, adc, mask) == Contrast(contrast.dwi, contrast.adc)


def test_what_cannot_be_judged():
    rng = np.random.default_rng(0)
    adc, dwi = rng.normal(800, 10, (8, 20, 20)), rng.normal(200, 10, (8, 20, 20))
    adc[:, :5], dwi[:, :5] = 0, 0
    labels = np.zeros(adc.shape, np.uint8)
    labels[4, 10].flat[:FEWEST_VOXELS] = 1
    assert lesion_contrast(adc, dwi, labels) is not None
    labels[4, 10, 0] = 0
    assert lesion_contrast(adc, dwi, labels) is None
    assert lesion_contrast(adc, dwi, np.ones_like(labels)) is None
