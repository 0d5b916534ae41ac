"""Over many cases, lesions stand out from mirrored tissue as acute infarcts of patients do."""

from functools import partial

import numpy as np
import pytest

from nnunetv2_mscs.phantom import PhantomCase, PhantomSettings, phantom_case
from nnunetv2_mscs.phantom.ratios import lesion_ratio, mirrored_indices
from nnunetv2_mscs.workplace.parallel import run_parallel

SETTINGS = PhantomSettings(size=(96, 96, 12), lesion_free=0.0)
CASES, SEED = 16, 3


def measured(case: PhantomCase) -> tuple[float, float, float, int]:
    """ADC ratio, DWI ratio, true volume in mL and pieces, the ratios anew from the images."""
    mirrored = mirrored_indices(case.mask, case.grid, case.pose)
    adc, dwi = (lesion_ratio(image, case.mask, mirrored) for image in (case.adc, case.dwi))
    assert (adc, dwi) == (case.facts.adc_ratio, case.facts.dwi_ratio)
    assert adc is not None
    assert dwi is not None
    return adc, dwi, case.facts.volume_true_ml, case.facts.pieces


@pytest.mark.slow
def test_lesions_stand_out_as_published():
    """ADC 0.63 +- 0.12 and DWI 1.84 +- 0.41 of the mirrored tissue's, volumes log-normal about 7 mL."""
    cases = run_parallel(partial(phantom_case, SETTINGS, SEED), range(CASES), processes=1, description="cases")
    adc, dwi, volume, pieces = np.array([measured(case) for case in cases]).T
    assert abs(adc.mean() - 0.63) < 0.05
    assert 0.06 < adc.std() < 0.18
    assert abs(dwi.mean() - 1.84) < 0.15
    assert 0.205 < dwi.std() < 0.615
    assert 3 < np.median(volume) < 14
    assert 1.0 < np.log(volume).std() < 2.0
    assert volume.min() > 0.05
    assert volume.max() < 240
    assert (pieces > 1).mean() > 0.2
