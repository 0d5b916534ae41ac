"""The paper's loss, against numbers worked by hand."""

import math

import pytest
import torch

from nnunetv2_mscs.training.paper_loss import CategoricalFocalLoss, SoftDiceAndFocalLoss

# Two voxels, two classes. Class 1 has the probability 0.8 in the first voxel, which is of class 1,
# and 0.4 in the second, which is of class 0.
LOGITS = torch.tensor([[[0.2, 0.6], [0.8, 0.4]]]).log()
TARGET = torch.tensor([[[1, 0]]])

# Class 0: TP 0.6, FP 0.2, FN 0.4, so 1.2 / 1.8. Class 1: TP 0.8, FP 0.4, FN 0.2, so 1.6 / 2.2.
DICE_LOSS = 1 - (0.5 * 1.2 / 1.8 + 0.5 * 1.6 / 2.2)
# -0.25 * 0.2^2 * ln 0.8 = 0.0022314, -0.25 * 0.4^2 * ln 0.6 = 0.0204330, over 2 voxels times 2 classes
FOCAL_LOSS = (0.0022314355 + 0.0204330250) / 4


def test_two_voxels():
    assert CategoricalFocalLoss()(LOGITS, TARGET).item() == pytest.approx(FOCAL_LOSS, rel=1e-5)
    assert SoftDiceAndFocalLoss()(LOGITS, TARGET).item() == pytest.approx(DICE_LOSS + FOCAL_LOSS, abs=1e-5)
    assert pytest.approx(0.303030303, abs=1e-8) == DICE_LOSS


def test_alpha_and_gamma():
    cross_entropy = -(math.log(0.8) + math.log(0.6)) / 4
    assert CategoricalFocalLoss(alpha=1, gamma=0)(LOGITS, TARGET).item() == pytest.approx(cross_entropy, rel=1e-5)
    assert CategoricalFocalLoss(alpha=0.5)(LOGITS, TARGET).item() == pytest.approx(2 * FOCAL_LOSS, rel=1e-5)


def test_the_dice_is_that_of_the_whole_batch():
    """Two images of a voxel each are as one of two voxels; a mean of the images' own Dices would be another number."""
    apart = SoftDiceAndFocalLoss()(LOGITS.permute(2, 1, 0), TARGET.permute(2, 1, 0))
    assert apart.item() == pytest.approx(DICE_LOSS + FOCAL_LOSS, abs=1e-5)


def test_three_classes_weigh_the_same():
    logits = torch.tensor([[[0.5], [0.3], [0.2]]]).log()
    # Class 0 holds the voxel: 2 * 0.5 / 1.5; the others have no true positive.
    expected = 1 - (1 / 1.5) / 3 - 0.25 * 0.5**2 * math.log(0.5) / 3
    assert SoftDiceAndFocalLoss()(logits, torch.zeros(1, 1, 1)).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("space", [(6, 5), (4, 6, 5)])
def test_from_perfect_to_all_wrong(space):
    target = torch.randint(2, (3, 1, *space), generator=torch.Generator().manual_seed(0))
    certain = 50 * torch.cat([1 - target, target], 1).float()
    assert SoftDiceAndFocalLoss()(certain, target).item() == pytest.approx(0, abs=1e-6)
    # p is clipped at 1e-7
    wrong = SoftDiceAndFocalLoss()(-certain, target).item()
    assert wrong == pytest.approx(1 + 0.25 * -math.log(1e-7) / 2, rel=1e-4)


def test_voxels_of_the_ignore_label_do_not_count():
    logits = torch.cat([LOGITS, torch.full((1, 2, 3), 7.0)], 2)
    target = torch.cat([TARGET, torch.full((1, 1, 3), 2)], 2)
    loss = SoftDiceAndFocalLoss(ignore_label=2)(logits, target)
    assert loss.item() == pytest.approx(DICE_LOSS + FOCAL_LOSS, abs=1e-5)
    nothing = SoftDiceAndFocalLoss(ignore_label=2)(logits, torch.full((1, 1, 5), 2))
    assert nothing.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_gradients_are_finite_at_extreme_logits_and_without_foreground(dtype):
    logits = torch.tensor([[[60000.0, -60000.0, 0.0], [-60000.0, 60000.0, 0.0]]], dtype=dtype, requires_grad=True)
    loss = SoftDiceAndFocalLoss()(logits, torch.zeros(1, 1, 3))
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().max() > 0


def test_the_gradient_is_that_of_the_formula():
    logits = LOGITS.double().requires_grad_()
    target = TARGET

    def formula(values: torch.Tensor) -> torch.Tensor:
        p, y, s = values.softmax(1), torch.cat([1 - target, target], 1), 1e-5
        tp, both = (p * y).sum((0, 2)), p.sum((0, 2)) + y.sum((0, 2))
        return 1 - ((2 * tp + s) / (both + s)).mean() - (0.25 * y * (1 - p) ** 2 * p.log()).mean()

    (expected,) = torch.autograd.grad(formula(logits), logits)
    (gradient,) = torch.autograd.grad(SoftDiceAndFocalLoss()(logits, target), logits)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)
