"""The loss of components, against numbers worked by hand, brute force, and nnU-Net's own loss."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

from nnunetv2_mscs.training import component_loss
from nnunetv2_mscs.training.component_loss import ComponentDiceCELoss, WithComponents, nearest_component

S = ComponentDiceCELoss.SMOOTH
DICE = {"batch_dice": False, "smooth": S, "ddp": False}


def nnunets_loss(ignore_label: int | None = None) -> DC_and_CE_loss:
    return DC_and_CE_loss(
        DICE | {"do_bg": False}, {}, ignore_label=ignore_label, dice_class=MemoryEfficientSoftDiceLoss
    )


def certain(found: torch.Tensor) -> torch.Tensor:
    """Logits, +-50, of two classes by which the voxels `found`, (N, 1, *space), are of class 1 and no others."""
    sign = 100 * found.float() - 50
    return torch.cat([-sign, sign], 1)


def random(*shape: int, seed: int = 0, **options) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **options)


def two_lesions() -> torch.Tensor:
    """A row of 230 voxels: a lesion in 0 to 199, and one in voxel 220 alone."""
    target = torch.zeros(1, 1, 1, 230)
    target[..., :200] = 1
    target[..., 220] = 1
    return target


def test_a_small_lesion_missed_counts_as_much_as_a_large_one_found():
    target = two_lesions()
    found = target.clone()
    found[..., 220] = 0
    logits = certain(found)
    plain_dice = -MemoryEfficientSoftDiceLoss(torch.nn.Softmax(1), do_bg=False, **DICE)(logits, target).item()
    assert plain_dice == pytest.approx(400 / 401, rel=1e-5)
    # The regions meet between voxels 209 and 210, as near to 199 as to 220. The small lesion's has 20 voxels, of which
    # one has a cross entropy of 100.
    dices = 1.0, S / (1 + S)
    expected = 1 - sum(dices) / 2 + (0 + 100 / 20) / 2
    loss = ComponentDiceCELoss((1, 230))(logits, target)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert sum(dices) / 2 == pytest.approx(0.5, abs=1e-4)


def test_perfect_and_all_missed():
    target = two_lesions()
    loss = ComponentDiceCELoss((1, 230))
    assert loss(certain(target), target).item() == pytest.approx(0, abs=1e-6)
    missed = loss(certain(torch.zeros_like(target)), target).item()
    # 200 of the 210 voxels of one region, 1 of the 20 of the other
    assert missed == pytest.approx(1 + (100 * 200 / 210 + 100 / 20) / 2, rel=1e-4)


def test_a_false_lesion_costs_the_region_it_lies_in_alone():
    target = two_lesions()
    found = target.clone()
    found[..., 225:228] = 1
    # 2 * 1 / (1 + 4) in the small lesion's region, 3 of whose 20 voxels are wrong
    expected = (1 - 2 / 5 + 300 / 20) / 2
    assert ComponentDiceCELoss((1, 230))(certain(found), target).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("space", [(9, 8), (4, 7, 6)])
def test_with_one_component_it_is_nnunets_loss(space):
    target = torch.zeros(3, 1, *space)
    target[(0, 0, *[slice(1, 3)] * len(space))] = 1
    target[(1, 0, *[slice(2, 4)] * len(space))] = 1
    target[(2, 0, *[0] * len(space))] = 1
    logits = random(3, 2, *space)
    assert ComponentDiceCELoss(space)(logits, target).item() == pytest.approx(
        1 + nnunets_loss()(logits, target).item(), rel=1e-5
    )


@pytest.mark.parametrize(
    ("space", "spacing"), [((12, 9), (1, 1)), ((12, 9), (0.5, 3)), ((5, 7, 8), (1, 1, 1)), ((5, 7, 8), (6.5, 1.2, 0.9))]
)
@pytest.mark.parametrize("seed", range(3))
def test_every_voxel_belongs_to_a_component_that_is_nearest(space, spacing, seed):
    mask = np.random.default_rng(seed).random(space) > 0.93
    numbers, count = nearest_component(mask, spacing)
    assert set(np.unique(numbers)) == set(range(1, count + 1))
    assert count > 1
    lesion = np.argwhere(mask)
    for voxel in product(*map(range, space)):
        distances = np.linalg.norm((lesion - voxel) * spacing, axis=1)
        own = numbers[tuple(lesion.T)] == numbers[voxel]
        assert distances[own].min() == pytest.approx(distances.min())


def test_voxels_that_share_a_corner_are_of_one_component():
    assert nearest_component(np.eye(4, dtype=bool), (1, 1))[1] == 1
    cube = np.zeros((3, 3, 3), bool)
    cube[0, 0, 0] = cube[1, 1, 1] = True
    assert nearest_component(cube, (1, 1, 1))[1] == 1
    cube[1, 1, 1], cube[2, 2, 2] = False, True
    assert nearest_component(cube, (1, 1, 1))[1] == 2
    numbers, count = nearest_component(np.zeros((3, 3), bool), (1, 1))
    assert (count, numbers.max()) == (0, 0)


def test_near_means_near_in_mm():
    mask = np.zeros((4, 4), bool)
    mask[3, 0] = mask[0, 2] = True
    assert nearest_component(mask, (1, 1))[0][0, 0] == nearest_component(mask, (1, 1))[0][0, 2]
    assert nearest_component(mask, (0.5, 1))[0][0, 0] == nearest_component(mask, (0.5, 1))[0][3, 0]


def test_a_head_at_lower_resolution_has_larger_voxels(monkeypatch):
    spacings = []

    def noted(mask, spacing):
        spacings.append(tuple(spacing))
        return nearest_component(mask, spacing)

    monkeypatch.setattr(component_loss, "nearest_component", noted)
    loss = ComponentDiceCELoss((8 * 6.5, 16 * 1.5, 16 * 2.0))
    for space in ((8, 16, 16), (8, 8, 8), (4, 4, 4)):
        loss(torch.zeros(1, 2, *space), torch.ones(1, 1, *space))
    assert spacings == [(6.5, 1.5, 2.0), (6.5, 3.0, 4.0), (13.0, 6.0, 8.0)]


def test_every_item_counts_by_itself():
    target = (random(4, 1, 10, 12, seed=1) > 1.3).float()
    target[2] = 0
    logits = random(4, 2, 10, 12)
    loss = ComponentDiceCELoss((10, 12))
    batch = loss(logits, target)
    order = [3, 1, 0, 2]
    assert loss(logits[order], target[order]).item() == pytest.approx(batch.item(), rel=1e-5)
    items = [loss(logits[i : i + 1], target[i : i + 1]).item() for i in range(4)]
    assert items[2] == 0
    assert min(items[0], items[1], items[3]) > 0
    assert batch.item() == pytest.approx(sum(items) / 4, rel=1e-5)


@pytest.mark.parametrize("space", [(6, 5), (4, 6, 5)])
def test_without_a_lesion_nnunets_loss_remains(space):
    logits = random(2, 2, *space).requires_grad_()
    target = torch.zeros(2, 1, *space)
    loss = WithComponents(nnunets_loss(), ComponentDiceCELoss(space))(logits, target)
    assert loss.item() == nnunets_loss()(logits, target).item()
    loss.backward()
    assert torch.isfinite(logits.grad).all()


def test_the_weight_of_the_components():
    target, logits = two_lesions(), random(1, 2, 1, 230)
    components = ComponentDiceCELoss((1, 230))
    expected = nnunets_loss()(logits, target) + 0.25 * components(logits, target)
    torch.testing.assert_close(WithComponents(nnunets_loss(), components, 0.25)(logits, target), expected)


def test_classes_weigh_the_same():
    """Two voxels of class 1 apart, one of class 2: each class has regions of its own, over the same voxels."""
    target = torch.tensor([1.0, 0, 0, 1, 0, 2]).view(1, 1, 1, 6)
    logits = random(1, 3, 1, 6)
    p, entropy = logits.softmax(1)[0, :, 0], -logits.log_softmax(1)[0, :, 0].gather(0, target[0, 0].long())[0]

    def of(number: int, region: slice) -> float:
        own = (target[0, 0, 0, region] == number).float()
        both = (p[number, region] * own).sum()
        dice = (2 * both + S) / (p[number, region].sum() + own.sum() + S)
        return float(1 - dice + entropy[region].mean())

    expected = (of(1, slice(0, 2)) + of(1, slice(2, 6))) / 2 / 2 + of(2, slice(0, 6)) / 2
    assert ComponentDiceCELoss((1, 6))(logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_the_ignore_label_counts_nowhere():
    target = (random(2, 1, 8, 9, seed=2) > 1.2).float()
    target[:, :, :, 6:] = 2
    logits = random(2, 2, 8, 9).requires_grad_()
    loss = ComponentDiceCELoss((8, 9), ignore_label=2)
    value = loss(logits, target)
    value.backward()
    assert (logits.grad[..., 6:] == 0).all()
    assert logits.grad[..., :6].abs().max() > 0
    torch.testing.assert_close(
        value, ComponentDiceCELoss((8, 6))(logits[..., :6], target[..., :6]), rtol=1e-5, atol=1e-6
    )
    assert loss(logits, torch.full_like(target, 2)).item() == 0


def test_regions_are_channels_with_sigmoid():
    """With one component in each region of each item it is nnU-Net's loss for regions."""
    target = torch.zeros(2, 2, 6, 7)
    target[:, 0, 1:5, 1:5] = 1
    target[:, 1, 2:4, 2:4] = 1
    logits = random(2, 2, 6, 7)
    loss = ComponentDiceCELoss((6, 7), regions=True)
    plain = DC_and_BCE_loss({}, DICE | {"do_bg": True}, dice_class=MemoryEfficientSoftDiceLoss)(logits, target)
    assert loss(logits, target).item() == pytest.approx(1 + plain.item(), rel=1e-5)
    assert loss(logits, target.bool()).item() == pytest.approx(1 + plain.item(), rel=1e-5)


def test_the_ignore_label_of_regions_is_the_last_channel():
    target = (random(2, 3, 8, 9, seed=3) > 1.2).float()
    target[:, 2] = 0
    target[:, 2, :, 6:] = 1
    logits = random(2, 2, 8, 9)
    left = ComponentDiceCELoss((8, 6), regions=True)(logits[..., :6], target[:, :2, :, :6])
    loss = ComponentDiceCELoss((8, 9), ignore_label=3, regions=True)
    torch.testing.assert_close(loss(logits, target), left, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("space", [(3, 5), (2, 3, 4)])
def test_the_gradient_is_that_of_the_loss(regions, space):
    logits = random(2, 3, *space, dtype=torch.float64).requires_grad_()
    random_values = random(2, 3, *space, seed=4)
    target = (random_values > 0.8).float() if regions else (random_values.argmax(1, keepdim=True)).float()
    target[1] = 0
    loss = ComponentDiceCELoss(space, regions=regions)
    assert loss(logits, target).item() > 0
    assert torch.autograd.gradcheck(lambda values: loss(values, target), logits)


@pytest.mark.parametrize("regions", [False, True])
def test_gradients_are_finite_at_extreme_logits_in_half_precision(regions):
    values = torch.tensor([60000.0, -60000.0, 0.0, 60000.0, -60000.0])
    logits = torch.stack([values, -values]).view(1, 2, 1, 5).half().requires_grad_()
    target = torch.tensor([1.0, 0, 0, 0, 1]).view(1, 1, 1, 5)
    loss = ComponentDiceCELoss((1, 5), regions=regions)(logits, target.expand(1, 2, 1, 5) if regions else target)
    loss.backward()
    assert loss.dtype == torch.float32
    assert math.isfinite(loss.item())
    assert torch.isfinite(logits.grad).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_computes_the_same_in_mixed_precision():
    target = (random(2, 1, 8, 20, 20, seed=5) > 2.5).float()
    logits = random(2, 2, 8, 20, 20).half()
    loss = ComponentDiceCELoss((8, 20, 20))
    expected = loss(logits, target)
    on_gpu = logits.cuda().requires_grad_()
    with torch.autocast("cuda"):
        value = loss(on_gpu, target.cuda())
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)
    assert torch.isfinite(on_gpu.grad).all()
