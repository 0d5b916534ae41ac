"""What to do about losses that are NaN or Inf: skip the step, count it, and stop when it does not pass."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from nnunetv2_mscs.errors import MscsError


class NonFiniteLossError(MscsError):
    """Training cannot go on: its loss, gradients or weights are NaN or Inf."""


class SkippedSteps:
    """Counts training steps without a finite loss, and raises when `limit` of them follow each other.

    Attributes:
        in_epoch: skipped since the epoch began.
        in_sequence: skipped since the last step that was finite, or since training began.
        any_finite: whether there was a finite step at all.
    """

    def __init__(self, limit: int = 20):
        self.limit = limit
        self.in_epoch = 0
        self.in_sequence = 0
        self.any_finite = False

    def begin_epoch(self) -> None:
        self.in_epoch = 0

    def finite(self) -> None:
        self.in_sequence = 0
        self.any_finite = True

    def skipped(self) -> None:
        self.in_epoch += 1
        self.in_sequence += 1
        if self.in_sequence >= self.limit:
            self._give_up()

    def end_training(self) -> None:
        """Refuse a training, too short for the limit, without a single finite step: its network is untrained."""
        if self.in_sequence and not self.any_finite:
            self._give_up()

    def _give_up(self) -> None:
        raise NonFiniteLossError(
            f"The loss was NaN or Inf in {self.in_sequence} training steps in a row; training stops. "
            "No weight was changed by these steps, and the checkpoints written before are intact.",
            "Look for NaN, Inf or extreme values in the preprocessed images, lower the learning rate, or "
            "restart from the last checkpoint with --c.",
        )


def finite_mean(losses: Iterable[float]) -> float:
    """Mean of the finite values; NaN if there is none."""
    finite = [float(loss) for loss in losses if math.isfinite(loss)]
    return sum(finite) / len(finite) if finite else math.nan


def drop_gradients_unless_finite(optimizer: torch.optim.Optimizer, *_) -> None:
    """Step pre-hook: without gradients a step changes nothing, neither weights nor momentum."""
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if not all(bool(torch.isfinite(p.grad).all()) for p in parameters):
        for parameter in parameters:
            parameter.grad = None


def running_statistics(network: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of the running means and variances; they change in the forward pass, before a loss is known."""
    return {name: b.clone() for name, b in network.named_buffers() if name.endswith(("running_mean", "running_var"))}


@torch.no_grad()
def restore_statistics(network: nn.Module, statistics: dict[str, torch.Tensor]) -> None:
    """Undo what a forward pass did to the running means and variances."""
    buffers = dict(network.named_buffers())
    for name, value in statistics.items():
        buffers[name].copy_(value)


def require_finite_weights(network: nn.Module, filename: str) -> None:
    """Refuse to write weights that are NaN or Inf.

    Raises:
        NonFiniteLossError: naming the first such tensor.
    """
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise NonFiniteLossError(
                f"The network's {name} holds NaN or Inf; {filename} is not written.",
                "The checkpoints written before are intact: restart from them with --c.",
            )
