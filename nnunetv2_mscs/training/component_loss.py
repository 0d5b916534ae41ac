"""Dice and cross entropy lesion by lesion, in which a small lesion weighs as much as a large one."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from torch import nn


def nearest_component(mask: np.ndarray, spacing: Sequence[float]) -> tuple[np.ndarray, int]:
    """Number of each voxel's nearest connected component, and how many components there are.

    Components touch by a corner: 8-connectivity in 2D, 26-connectivity in 3D. A voxel as near to two components belongs
    to one of them.

    Args:
        mask: boolean, (*space).
        spacing: voxel size along each axis, in mm.

    Returns:
        1 to n where there are n components, (*space), int32; 0 everywhere where there are none.
    """
    pieces, count = ndimage.label(mask, np.ones((3,) * mask.ndim, dtype=bool))
    if count > 1:
        nearest = ndimage.distance_transform_edt(pieces == 0, spacing, return_distances=False, return_indices=True)
        return pieces[tuple(nearest)], count
    return np.full_like(pieces, count), count


class ComponentDiceCELoss(nn.Module):
    """Mean over the connected components of the reference of 1 - Dice + cross entropy, each within its region.

    The region of a component holds the voxels that are nearer to it, in mm, than to any other component of its class.
    Dice_i = (2 TP_i + s) / (2 TP_i + FP_i + FN_i + s) of the class's probabilities in region i, with s = 1e-5 as in
    nnU-Net; cross entropy is the mean over the voxels of region i. An item's loss is the mean over its components of
    one class, then over the classes that it has; an item without any component has loss 0. The batch's loss is the mean
    over its items.

    CC-DiceCE of Bouteille et al., "Learning to Look Closer: A New Instance-Wise Loss for Small Cerebral Lesion
    Segmentation", arXiv 2511.17146, on the regions of Jaus et al., "Every Component Counts", arXiv 2410.18684. Theirs
    is for one class, without an ignore label, and takes an item without a component for one region.

    Computed in float32, or in float64 where the logits are, also within autocast. Voxels of the ignore label do not
    count, whatever their region.

    Args:
        extent_mm: of the patch along each axis. Voxels of a head at lower resolution are larger.
        ignore_label: number of the label that does not count, if there is one.
        regions: whether classes overlap, as nnU-Net's regions do: sigmoid and binary cross entropy for each.
    """

    SMOOTH = 1e-5

    def __init__(self, extent_mm: Sequence[float], ignore_label: int | None = None, regions: bool = False):
        super().__init__()
        self.extent_mm = tuple(float(extent) for extent in extent_mm)
        self.ignore_label = ignore_label
        self.regions = regions

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of a batch.

        Args:
            logits: (N, C, *space).
            target: labels (N, 1, *space); with regions one channel for each and, with an ignore label, one more for it.

        Returns:
            A scalar, 0 where no item has a component.
        """
        masks, counted = self._masks(target, logits.shape[1])
        numbers, weights = self._components(masks, counted)
        if not len(weights):
            return logits.new_zeros((), dtype=torch.float32)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        weights = weights.to(logits.device, logits.dtype)
        if self.regions:
            p = logits.sigmoid()
            entropy = nn.functional.binary_cross_entropy_with_logits(logits, masks.to(logits.dtype), reduction="none")
        else:
            log_p = logits.log_softmax(1)
            p = log_p.exp()[:, 1:]
            labels = torch.where(counted, target, 0).long()
            entropy = -log_p.gather(1, labels).expand_as(p)
        both = p * masks
        sums = [_sums(values, numbers, len(weights)) for values in (both, p, masks, entropy, torch.ones_like(p))]
        intersection, predicted, reference, entropies, voxels = sums
        dice = (2 * intersection + self.SMOOTH) / (predicted + reference + self.SMOOTH)
        return (weights * (1 - dice + entropies / voxels)).sum()

    def _masks(self, target: torch.Tensor, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Voxels of each class, (N, K, *space), and those that count, (N, 1, *space), both boolean."""
        if self.regions:
            masks = target[:, :channels].bool()
            counted = torch.ones_like(masks[:, :1]) if self.ignore_label is None else ~target[:, -1:].bool()
        else:
            counted = torch.ones_like(target, dtype=torch.bool)
            if self.ignore_label is not None:
                counted = target != self.ignore_label
            classes = torch.arange(1, channels, device=target.device).view(1, -1, *[1] * (target.ndim - 2))
            masks = target == classes
        return masks & counted, counted

    @torch.no_grad()
    def _components(self, masks: torch.Tensor, counted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Components of the batch, numbered from 1.

        Returns:
            The number of the component in whose region a voxel lies, (N, K, *space), 0 where it does not count, and the
            weight of each component in the loss, (n,).
        """
        on_cpu = masks.cpu().numpy()
        numbers = np.zeros(on_cpu.shape, np.int32)
        spacing = [extent / n for extent, n in zip(self.extent_mm, masks.shape[2:], strict=True)]
        weights: list[float] = []
        for item, classes in enumerate(on_cpu):
            present = [index for index, mask in enumerate(classes) if mask.any()]
            for index in present:
                regions, count = nearest_component(classes[index], spacing)
                numbers[item, index] = regions + len(weights)
                weights += [1 / (count * len(present) * len(on_cpu))] * count
        return torch.from_numpy(numbers).to(masks.device) * counted, torch.tensor(weights, dtype=torch.float64)


def _sums(values: torch.Tensor, numbers: torch.Tensor, count: int) -> torch.Tensor:
    """Sum of the values of each number from 1 to `count`, (count,)."""
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    return values.new_zeros(count + 1).index_add(0, numbers.flatten(), values.flatten())[1:]


class WithComponents(nn.Module):
    """nnU-Net's loss plus a weighted loss of components, for one head.

    Args:
        whole: loss of the whole patch.
        components: loss of its components.
        weight: of the latter beside the former.
    """

    def __init__(self, whole: nn.Module, components: ComponentDiceCELoss, weight: float = 1.0):
        super().__init__()
        self.whole = whole
        self.components = components
        self.weight = weight

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.whole(logits, target) + self.weight * self.components(logits, target)
