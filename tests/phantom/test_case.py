"""One phantom: the same from the same seed, and a head that a physicist would take for one."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.phantom import PhantomCase, PhantomSettings, phantom_case
from nnunetv2_mscs.phantom.ratios import lesion_ratio, mirrored_indices
from nnunetv2_mscs.phantom.settings import LARGEST_NOISE
from nnunetv2_mscs.scans.contrast import lesion_contrast
from nnunetv2_mscs.scans.lesions import TOUCHING_BY_CORNER, lesion_volume_ml
from nnunetv2_mscs.scans.units import find_adc_unit, head_mask

# Coarse enough to be quick, fine enough to tell tissues apart.
SMALL = PhantomSettings(size=(64, 64, 9), lesion_free=0.0)
SEED = 11


@pytest.fixture(scope="module")
def cases() -> list[PhantomCase]:
    """Four cases with lesions."""
    return [phantom_case(SMALL, SEED, index) for index in range(4)]


def arrays(case: PhantomCase) -> tuple[bytes, ...]:
    return tuple(array.tobytes() for array in (case.adc, case.dwi, case.b0, case.mask))


def test_a_case_depends_on_settings_seed_and_index_alone(cases):
    assert arrays(phantom_case(SMALL, SEED, 3)) == arrays(cases[3])
    assert phantom_case(SMALL, SEED, 3).facts == cases[3].facts
    assert len({arrays(case) for case in cases}) == len(cases)
    assert arrays(phantom_case(SMALL, SEED + 1, 3))[0] != arrays(cases[3])[0]


def test_noise_changes_the_images_and_neither_head_nor_lesion(cases):
    noisier = phantom_case(replace(SMALL, noise=0.1), SEED, 0)
    assert np.array_equal(noisier.mask, cases[0].mask)
    assert noisier.facts.volume_true_ml == cases[0].facts.volume_true_ml
    assert (noisier.dwi != cases[0].dwi).mean() > 0.5


def test_shapes_types_and_geometry(cases):
    for case in cases:
        assert case.adc.shape == case.dwi.shape == case.b0.shape == case.mask.shape == SMALL.size
        assert (case.adc.dtype, case.dwi.dtype, case.mask.dtype) == (np.int16, np.int16, np.uint8)
        middle = np.asarray(case.grid.origin) + (np.asarray(SMALL.size) - 1) / 2 * case.spacing
        assert np.allclose(middle, 0, atol=1e-9)
        assert np.allclose(np.multiply(case.spacing, SMALL.size), (230, 230, 130), rtol=1e-3)


def test_the_background_has_the_noise_asked_for():
    """In air the magnitude of complex noise is Rayleigh's: its mean square is twice the variance."""
    settings = replace(SMALL, noise=0.05)
    case = phantom_case(settings, SEED, 0)
    corner = np.concatenate([case.b0[:6, :6].ravel(), case.b0[-6:, -6:].ravel()]).astype(float)
    spread = np.sqrt((corner**2).mean() / 2)
    adc, dwi = case.adc.astype(float), case.dwi.astype(float)
    white = (adc > 550) & (adc < 780) & (dwi > np.percentile(dwi[head_mask(case.dwi.T).T], 30)) & (case.mask == 0)
    assert spread / np.median(case.b0[white]) == pytest.approx(0.05, rel=0.35)


def test_the_adc_is_that_of_the_stored_signals():
    case = phantom_case(replace(SMALL, air="noise"), SEED, 1)
    known = (case.b0 > 0) & (case.dwi > 0)
    expected = np.log(case.b0[known] / case.dwi[known]) * 1000
    assert np.abs(case.adc[known] - np.clip(expected, -4000, 4000)).max() <= 1
    assert (case.adc[~known] == 0).all()
    assert (case.adc[:5, :5] < 0).mean() > 0.2


def test_air_is_zero_as_scanners_write_it(cases):
    for case in cases:
        assert case.adc.min() == 0
        assert (case.adc[:4] == 0).mean() > 0.9


def test_tissues_have_their_published_diffusivities():
    """Without noise: fluid near 3, most of the brain between white matter's 0.7 and grey matter's 0.85."""
    case = phantom_case(PhantomSettings(size=(128, 128, 20), noise=0.0, lesion_free=1.0), SEED, 0)
    assert not case.mask.any()
    assert case.facts.kind == "none"
    brain = case.adc[head_mask(case.dwi.T).T]
    assert 680 < np.median(brain) < 900
    assert 2600 < np.percentile(case.adc, 99.5) < 3300
    unit = find_adc_unit(case.adc.T, case.dwi.T)
    assert unit.name == "10^-6 mm2/s"


def test_the_two_halves_of_a_head_are_alike(cases):
    """Mirroring within the case's own pose brings brain onto brain."""
    for case in cases:
        head = head_mask(case.dwi.T).T & (case.mask == 0)
        mirrored = mirrored_indices(head, case.grid, case.pose)
        # mirrored_indices leaves out what falls onto the set itself, so little must be left.
        assert len(mirrored) < 0.2 * head.sum()


def test_mirroring_twice_gives_the_point_itself(cases):
    points = np.random.default_rng(0).normal(0, 50, (100, 3))
    for case in cases:
        once = case.pose.mirror(points)
        assert np.allclose(case.pose.mirror(once), points, atol=1e-6)
        assert np.abs(once - points).max() > 1


def test_lesions_are_dark_in_adc_bright_in_dwi_and_as_large_as_said(cases):
    judged = 0
    for case in cases:
        volume = lesion_volume_ml(case.mask, case.grid.voxel_volume_ml)
        assert volume > 0
        assert volume == pytest.approx(case.facts.volume_mask_ml)
        if volume > 10:
            assert volume == pytest.approx(case.facts.volume_true_ml, rel=0.3)
        contrast = lesion_contrast(case.adc.T, case.dwi.T, case.mask.T)
        if contrast:
            judged += 1
            assert contrast.adc < 0.9
            assert contrast.dwi > 1.15
    assert judged >= 2


def test_ratio_of_a_known_image(cases):
    case = cases[0]
    mirrored = mirrored_indices(case.mask, case.grid, case.pose)
    image = np.full(case.mask.shape, 2.0)
    image[case.mask > 0] = 1.0
    assert lesion_ratio(image, case.mask, mirrored) == pytest.approx(0.5)
    assert lesion_ratio(image, np.zeros_like(case.mask), mirrored[:0]) is None


def test_a_share_of_the_cases_has_no_lesion():
    """Which ones depends on seed and index alone, and a higher share only adds to them."""
    tiny = PhantomSettings(size=(32, 32, 4))

    def without(share: float, cases: int) -> set[int]:
        settings = replace(tiny, lesion_free=share)
        return {index for index in range(cases) if phantom_case(settings, 5, index).facts.kind == "none"}

    assert without(0.0, 2) == set()
    assert without(1.0, 2) == {0, 1}
    assert 0 < len(without(0.5, 4)) < 4


def test_the_default_infarcts_are_those_of_every_release(cases):
    """A new choice may not draw other numbers for the sets that are there."""
    known = [
        ("territory", 10.53168543499784),
        ("emboli", 7.415612440253116),
        ("wedge", 41.922339805097444),
        ("territory", 29.26310270742965),
    ]
    assert [case.facts.kind for case in cases] == [kind for kind, _ in known]
    assert [case.facts.volume_true_ml for case in cases] == pytest.approx([volume for _, volume in known], rel=1e-3)
    assert arrays(phantom_case(replace(SMALL, lesions="any"), SEED, 1)) == arrays(cases[1])


def test_scattered_lesions_are_many_and_small():
    settings = PhantomSettings(size=(96, 96, 12), lesions="scattered", lesion_free=0.0)
    scattered = [phantom_case(settings, 3, index) for index in range(3)]
    assert {case.facts.kind for case in scattered} == {"emboli"}
    assert np.mean([case.facts.pieces for case in scattered]) > 6
    volumes_ml = np.concatenate(
        [
            np.bincount(ndimage.label(case.mask, TOUCHING_BY_CORNER)[0].ravel())[1:] * case.grid.voxel_volume_ml
            for case in scattered
        ]
    )
    assert np.median(volumes_ml) < 1 < volumes_ml.max()


@pytest.mark.parametrize(("spacing", "index"), [((18.75, 18.75, 100.0), 0), ((7.0, 7.0, 50.0), 12)])
def test_an_infarct_has_a_voxel_on_the_coarsest_grids(spacing, index):
    """Where it fills half of none, however it is grown; the facts tell how large it truly is."""
    case = phantom_case(PhantomSettings(size=(32, 32, 4), spacing=spacing), 1, index)
    assert case.facts.kind != "none"
    assert case.mask.sum() == case.facts.pieces == 1
    assert case.facts.volume_mask_ml == pytest.approx(case.grid.voxel_volume_ml)
    assert case.facts.volume_true_ml > 0


def test_the_most_noise_leaves_the_adc_of_the_brain(cases):
    case = phantom_case(replace(SMALL, noise=LARGEST_NOISE), SEED, 0)
    bright = cases[0].dwi > np.percentile(cases[0].dwi, 85)  # the dim scalp is no brain
    brain = bright & (cases[0].adc > 550) & (cases[0].adc < 1000) & (cases[0].mask == 0)
    assert (case.adc[brain] > 0).mean() > 0.98
    with pytest.raises(MscsError, match="would blank the brain"):
        replace(SMALL, noise=0.16)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": (0, 64, 9)},
        {"size": (64, 64, 1)},
        {"spacing": (-1.0, 1.0, 1.0)},
        {"size": (64, 64, 9), "spacing": (1.0, 1.0, 5.0)},
        {"noise": -0.1},
        {"noise": 0.16},
        {"noise": float("nan")},
        {"lesion_free": 1.5},
        {"air": "vacuum"},
        {"lesions": "few"},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(MscsError):
        PhantomSettings(**wrong)
