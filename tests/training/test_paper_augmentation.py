"""The paper's augmentation: each part against its formula."""

import numpy as np
import pytest
import torch

from nnunetv2_mscs.training.paper_augmentation import FactorAndNoise
from nnunetv2_mscs.training.paper_trainer import MSCSTrainerPaper

SHAPE = (2, 8, 40, 40)


def image() -> torch.Tensor:
    """Each channel reaches from exactly 0 to exactly 1."""
    values = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))
    values.view(2, -1)[:, 0], values.view(2, -1)[:, 1] = 0, 1
    return values


def applied(transform, x: torch.Tensor, seed: int = 0) -> torch.Tensor:
    np.random.seed(seed)
    torch.manual_seed(seed)
    return transform(image=x.clone())["image"]


def test_the_factor_alone_multiplies_an_image_from_0_to_1():
    x = image()
    factors = []
    for seed in range(200):
        y = applied(FactorAndNoise(noise=(0.0, 0.0)), x, seed)
        factors.append(float(y.amax()))
        torch.testing.assert_close(y, factors[-1] * x)
    assert 0.9 <= min(factors) < 0.91
    assert 1.09 < max(factors) <= 1.1
    assert np.mean(factors) == pytest.approx(1, abs=0.02)


def test_the_noise_alone_is_normal_and_its_deviation_uniform_to_0_05():
    x = image()
    noises = [applied(FactorAndNoise(factor=(1.0, 1.0)), x, seed) - x for seed in range(200)]
    deviations = [float(noise.std()) for noise in noises]
    assert 0 <= min(deviations) < 0.003
    assert 0.047 < max(deviations) < 0.052
    assert np.mean(deviations) == pytest.approx(0.025, abs=0.003)
    loudest = noises[int(np.argmax(deviations))]
    assert abs(float(loudest.mean())) < 0.002
    assert float((loudest.abs() < max(deviations)).float().mean()) == pytest.approx(0.683, abs=0.01)
    assert abs(float(np.corrcoef(loudest[0].flatten(), loudest[1].flatten())[0, 1])) < 0.03


def test_it_does_the_same_to_an_image_however_normalised():
    """As for a z-score: T(a x + b) = a T(x) + b, each channel with a and b of its own."""
    a, b = torch.tensor([3.0, 0.2]).view(2, 1, 1, 1), torch.tensor([-1.0, 700.0]).view(2, 1, 1, 1)
    x = image()
    torch.testing.assert_close(applied(FactorAndNoise(), a * x + b), a * applied(FactorAndNoise(), x) + b)


def test_an_image_of_one_value_stays():
    x = torch.full(SHAPE, 5.0)
    torch.testing.assert_close(applied(FactorAndNoise(), x), x)


def transforms(n_axes: int = 3, **options):
    axes = (n_axes - 2, n_axes - 1)
    return MSCSTrainerPaper.get_training_transforms(SHAPE[-n_axes:], (0, 0), None, axes, False, **options)


def augmented(n_axes: int, seed: int, **options) -> tuple[torch.Tensor, torch.Tensor]:
    """Image and segmentation after all transforms: a corner is 1 in both, and next to it is one of -1, outside."""
    x = torch.zeros((2, *SHAPE[-n_axes:]))
    x[(slice(None), *[0] * n_axes)] = 1
    segmentation = x[:1].clone()
    segmentation[(0, *[1] * n_axes)] = -1
    np.random.seed(seed)
    torch.manual_seed(seed)
    out = transforms(n_axes, **options)(image=x, segmentation=segmentation)
    return out["image"], out["segmentation"]


@pytest.mark.parametrize("n_axes", [2, 3])
def test_flips_in_plane_take_the_segmentation_along(n_axes):
    corners = set()
    for seed in range(64):
        x, segmentation = augmented(n_axes, seed)
        place = tuple(int(i) for i in np.unravel_index(int(x[0].argmax()), x.shape[1:]))
        assert segmentation[(0, *place)] == 1
        assert segmentation.sum() == 1
        assert segmentation.min() == 0
        corners.add(place)
    last = [(0, SHAPE[-2] - 1), (0, SHAPE[-1] - 1)]
    in_plane = {(y, x) for y in last[0] for x in last[1]}
    assert corners == ({(0, *place) for place in in_plane} if n_axes == 3 else in_plane)


def test_nnunets_conversions_remain():
    x, segmentation = augmented(3, 0, use_mask_for_norm=[True, False])
    assert segmentation.unique().tolist() == [0, 1]
    assert int((x[0] == 0).sum()) == 1  # outside the mask no noise stays
    assert int((x[1] == 0).sum()) == 0
    previous_stage = torch.zeros((2, *SHAPE[1:]))
    previous_stage[1, 0] = 1
    out = transforms(is_cascaded=True, foreground_labels=[1])(image=image(), segmentation=previous_stage)
    assert out["image"].shape == (3, *SHAPE[1:])
    assert out["image"][2].unique().tolist() == [0, 1]
    assert out["segmentation"].shape == (1, *SHAPE[1:])
