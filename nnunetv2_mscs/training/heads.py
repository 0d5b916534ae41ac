"""What every segmentation head of a network predicts: Dice, largest foreground probability, and if it can speak."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from torch import nn

# A logit that is this little above the bias is the bias, rounded.
TOLERANCE = 1e-3
# Columns of `HeadCounts.values`: three to be summed over batches, and two whose largest counts.
TRUE_POSITIVE, PREDICTED, REFERENCE, PROBABILITY, EXCESS = range(5)
SUMMED = 3


@dataclass(frozen=True)
class HeadResult:
    """What one head has predicted.

    Attributes:
        dice: mean over the labels that the references hold; NaN if they hold none.
        largest_probability: of any foreground label in any voxel.
        predicted_voxels: of foreground, summed over labels or regions.
        reference_voxels: likewise, in the references.
        at_bias: whether no foreground logit was ever above what the head's bias alone gives. Over features that are
            never negative this is a head whose weights are all negative: no feature can make it predict foreground.
    """

    dice: float
    largest_probability: float
    predicted_voxels: int
    reference_voxels: int
    at_bias: bool

    @property
    def is_silent(self) -> bool:
        """Whether it predicted no foreground where there was some."""
        return self.reference_voxels > 0 and self.predicted_voxels == 0


class HeadCounts:
    """Counts over batches, for every head; full resolution first.

    Attributes:
        values: (heads, labels, 5), the columns named above; None before the first batch. A label is a region where the
            data set has regions, and a voxel of the ignore label counts nowhere.
    """

    def __init__(self, values: np.ndarray | None = None):
        self.values = values

    def add(
        self,
        outputs: torch.Tensor | Sequence[torch.Tensor],
        targets: torch.Tensor | Sequence[torch.Tensor],
        label_manager: LabelManager,
        biases: Sequence[torch.Tensor | None] | None = None,
    ) -> None:
        """Add a batch.

        Args:
            outputs: logits (N, C, *space) of every head, or of the only one.
            targets: references as nnU-Net's loss takes them, before its validation changes them.
            label_manager: of the data set.
            biases: (C,) of every head; without them none is found to be at its bias.
        """
        logits = [outputs] if isinstance(outputs, torch.Tensor) else outputs
        references = [targets] if isinstance(targets, torch.Tensor) else targets
        counted = [
            _count(head, reference.to(head.device), label_manager, bias)
            for head, reference, bias in zip(logits, references, biases or [None] * len(logits), strict=True)
        ]
        sums, largest = (torch.stack(part).cpu().double().numpy() for part in zip(*counted, strict=True))
        self.merge(np.concatenate([sums, largest], axis=-1))

    def merge(self, values: np.ndarray) -> None:
        """Add what has been counted elsewhere: in another step, or by another worker."""
        if self.values is None:
            self.values = values
            return
        sums = self.values[..., :SUMMED] + values[..., :SUMMED]
        largest = np.maximum(self.values[..., SUMMED:], values[..., SUMMED:])
        self.values = np.concatenate([sums, largest], axis=-1)

    def results(self) -> list[HeadResult]:
        return [] if self.values is None else [_result(head) for head in self.values]


@torch.no_grad()
def _count(
    logits: torch.Tensor, target: torch.Tensor, label_manager: LabelManager, bias: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of one head and batch: sums (labels, 3) and largest values (labels, 2)."""
    # The bias as it went into logits of half precision.
    bias = None if bias is None else bias.detach().to(logits.dtype).float()
    logits = logits.float()
    valid = None
    if label_manager.has_regions:
        margin, probability = logits, logits.sigmoid()
        predicted, reference = probability > 0.5, target.bool()
        if label_manager.has_ignore_label:
            valid, reference = ~reference[:, -1:], reference[:, :-1]
    else:
        margin, probability = logits[:, 1:] - logits[:, :1], logits.softmax(1)[:, 1:]
        bias = None if bias is None else bias[1:] - bias[0]
        labels = torch.arange(1, logits.shape[1], device=logits.device).reshape(-1, *[1] * (logits.ndim - 2))
        predicted, reference = logits.argmax(1, keepdim=True) == labels, target == labels
        if label_manager.has_ignore_label:
            valid = target != label_manager.ignore_label
    if valid is not None:
        predicted, reference = predicted & valid, reference & valid
        margin, probability = margin.masked_fill(~valid, -torch.inf), probability.masked_fill(~valid, 0)
    axes = [0, *range(2, logits.ndim)]
    sums = [voxels.sum(axes) for voxels in (predicted & reference, predicted, reference)]
    largest = margin.amax(axes)
    excess = torch.full_like(largest, torch.inf) if bias is None else largest - bias
    return torch.stack(sums, -1), torch.stack([probability.amax(axes), excess], -1)


def _result(labels: np.ndarray) -> HeadResult:
    there = labels[labels[:, REFERENCE] > 0]
    dices = 2 * there[:, TRUE_POSITIVE] / (there[:, PREDICTED] + there[:, REFERENCE])
    return HeadResult(
        dice=float(dices.mean()) if len(dices) else float("nan"),
        largest_probability=float(labels[:, PROBABILITY].max()),
        predicted_voxels=int(labels[:, PREDICTED].sum()),
        reference_voxels=int(labels[:, REFERENCE].sum()),
        at_bias=bool((labels[:, EXCESS] <= TOLERANCE).all()),
    )


def head_biases(network: nn.Module) -> list[torch.Tensor | None]:
    """The bias of every head as it is added, full resolution first; `network` without wrappers."""
    biases = [layer.bias for layer in reversed(network.decoder.seg_layers)]  # type: ignore[union-attr, arg-type]
    if not getattr(network, "in_bfloat16", False):
        return biases
    return [None if bias is None else bias.bfloat16() for bias in biases]
