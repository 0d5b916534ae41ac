"""What to do about losses that are NaN or Inf: skip the step, count it, and stop when it does not pass."""

import math

import numpy as np
import torch
from torch import nn

from nnunetv2_mscs.errors import MscsError

LOOK_AT = (
    "Look for NaN, Inf or extreme values in the preprocessed images, or lower the learning rate; "
    "--c goes on from the last checkpoint."
)


class NonFiniteLossError(MscsError):
    """Training cannot go on: its loss, gradients or weights are NaN or Inf."""


class SkippedSteps:
    """Counts training steps without a finite loss or gradient, and raises when it does not pass.

    Attributes:
        limit: that many skipped steps in a row, or in an epoch of which they are the larger half, end the training.
        in_epoch: skipped since the epoch began.
        in_sequence: skipped since the last step that was finite, or since training began.
        any_finite: whether there was a finite step at all.
    """

    def __init__(self, limit: int = 20):
        self.limit = limit
        self.in_epoch = 0
        self.in_sequence = 0
        self.any_finite = False

    @property
    def nothing_trained(self) -> bool:
        """Whether steps were made and all of them skipped: the network is still its random start."""
        return self.in_sequence > 0 and not self.any_finite

    def begin_epoch(self, skipped: int = 0) -> None:
        """Begin an epoch, or go on with one of which that many steps were skipped before."""
        self.in_epoch = skipped

    def finite(self) -> None:
        self.in_sequence = 0
        self.any_finite = True

    def skipped(self) -> None:
        self.in_epoch += 1
        self.in_sequence += 1
        if self.in_sequence >= self.limit:
            self._stop(f"in {self.in_sequence} training steps in a row")

    def end_epoch(self, steps: int) -> None:
        """Stop if the larger half of an epoch's steps, and no fewer than the limit, was skipped."""
        if self.in_epoch >= self.limit and self.in_epoch > steps / 2:
            self._stop(f"in {self.in_epoch} of {steps} training steps of this epoch")

    def end_training(self) -> None:
        """Refuse a training, too short for the limit, that never made a step: its network is untrained."""
        if self.nothing_trained:
            self._stop("in every training step, and nothing was learned or saved")

    def _stop(self, where: str) -> None:
        raise NonFiniteLossError(
            f"Loss or gradients were NaN or Inf {where}; training stops. These steps changed no weight.", LOOK_AT
        )


def replace_non_finite(losses: list[np.ndarray]) -> list[np.ndarray]:
    """The losses with the mean of the finite ones in the place of the others, in their own type and shape.

    Without any finite one they stay as they are.
    """
    finite = [float(loss) for loss in losses if math.isfinite(loss)]
    if not finite:
        return losses
    mean = sum(finite) / len(finite)
    return [loss if math.isfinite(loss) else np.full_like(loss, mean) for loss in losses]


def drop_gradients_unless_finite(optimizer: torch.optim.Optimizer) -> bool:
    """Whether clipped gradients were dropped: without them a step changes nothing, neither weights nor momentum.

    Clipping has multiplied all gradients by one factor, which is 0 or NaN if any of them was Inf or NaN. A value that
    is finite and not 0 thus shows that all are finite. It is sought in the last gradient, which in MSCS-Net is that of
    the full-resolution head's bias; only where there is none are all gradients looked at.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if not parameters or _shows_finite_clipping(parameters[-1].grad):
        return False
    if bool(torch.isfinite(torch.stack([parameter.grad.norm() for parameter in parameters])).all()):
        return False
    for parameter in parameters:
        parameter.grad = None
    return True


def _shows_finite_clipping(gradient: torch.Tensor) -> bool:
    return bool((torch.isfinite(gradient) & (gradient != 0)).any())


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
                "The checkpoints written before are intact: --c goes on from them.",
            )
