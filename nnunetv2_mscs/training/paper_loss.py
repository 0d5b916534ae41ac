"""The paper's loss: soft Dice and categorical focal loss, added."""

import torch
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from nnunetv2.utilities.helpers import softmax_helper_dim1
from torch import nn


class CategoricalFocalLoss(nn.Module):
    """Mean over voxels and classes of -alpha * y * (1 - p)^gamma * log(p).

    p is the softmax of the logits, clipped to [1e-7, 1 - 1e-7]; y is 1 for a voxel's class and 0 for the others, so
    that with C classes a voxel's own term counts 1 / C: the focal loss of `segmentation_models_3D`, after Lin et al.,
    "Focal loss for dense object detection", ICCV 2017.
    """

    EPSILON = 1e-7

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0):
        super().__init__()
        self.alpha = alpha
        self.gamma = gamma

    def forward(self, logits: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Logits (N, C, *space), labels (N, 1, *space), and True where a voxel counts, (N, 1, *space) -> a scalar."""
        log_p = logits.log_softmax(1).gather(1, target.long())
        log_p = log_p.clamp(torch.tensor(self.EPSILON).log().item(), torch.tensor(-self.EPSILON).log1p().item())
        terms = -self.alpha * (1 - log_p.exp()) ** self.gamma * log_p
        if mask is None:
            return terms.mean() / logits.shape[1]
        return (terms * mask).sum() / (mask.sum().clamp(min=1) * logits.shape[1])


class SoftDiceAndFocalLoss(nn.Module):
    """1 - sum_c w_c * F_c + focal loss, with the same weight w_c = 1 / C for each of C classes, background included.

    F_c = (2 TP_c + s) / (2 TP_c + FP_c + FN_c + s) with s = 1e-5, and TP_c, FP_c, FN_c summed over the whole batch
    (all batches of distributed workers) from probabilities: nnU-Net's batch Dice.

    The Dice part is the plain reading of the paper's weights, 0.5 and 0.5 for two classes, by which a perfect
    prediction has loss 0; the focal part, with its mean over classes, is that of `segmentation_models_3D`. That
    package's own `DiceLoss(class_weights=[0.5, 0.5])` takes the mean of the two w_c * F_c instead of their sum, which
    leaves its Dice half the weight beside the focal loss.

    Computed in float32, whatever the logits are in. Voxels of the ignore label count in neither part.
    """

    SMOOTH = 1e-5

    def __init__(self, ignore_label: int | None = None, ddp: bool = False):
        super().__init__()
        self.ignore_label = ignore_label
        self.dice = MemoryEfficientSoftDiceLoss(
            softmax_helper_dim1, batch_dice=True, do_bg=True, smooth=self.SMOOTH, ddp=ddp
        )
        self.focal = CategoricalFocalLoss()

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Logits (N, C, *space) and labels (N, 1, *space) -> a scalar."""
        logits = logits.float()
        mask = None
        if self.ignore_label is not None:
            mask = target != self.ignore_label
            target = torch.where(mask, target, 0)
        return 1 + self.dice(logits, target, mask) + self.focal(logits, target, mask)
