"""Checkpoints in time: whatever ends a training, only minutes of it are lost, even where an epoch takes hours."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from time import monotonic, time

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import distributed

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.checkpoints import LATEST_CHECKPOINT
from nnunetv2_mscs.workplace.whole_files import whole_file

MINUTES = "MSCS_CHECKPOINT_MINUTES"
# A checkpoint's entry of an epoch that is not over. It stands among the trainer's arguments, as nnU-Net writes these
# into every checkpoint, reads only those it knows, and so goes on with such a checkpoint, from its epoch's beginning.
UNFINISHED = "unfinished_epoch"


@dataclass
class Steps:
    """Steps of one kind, training or validation, in one epoch.

    Attributes:
        per_epoch: how many there are to make.
        outputs: of each step so far.
        earlier: how many of them were made before the training was resumed.
    """

    per_epoch: int
    outputs: list[dict] = field(default_factory=list)
    earlier: int = 0

    def with_earlier(self, outputs: Sequence[dict]) -> list[dict]:
        """The outputs of the epoch's last steps behind those of all the steps before them."""
        return [*self.outputs[: len(self.outputs) - len(outputs)], *outputs]


@dataclass
class EpochSteps:
    """What has been done in an epoch so far."""

    training: Steps
    validation: Steps

    def __str__(self) -> str:
        if done := len(self.validation.outputs):
            return f"{done} of {self.validation.per_epoch} iterations of its validation"
        return f"{len(self.training.outputs)} of {self.training.per_epoch} iterations"


class TimelyCheckpoints(nnUNetTrainer):
    """A trainer that writes checkpoint_latest.pth every few minutes, and every checkpoint whole or not at all.

    It does so between two epochs where that is early enough, and otherwise between two steps. A training resumed within
    an epoch makes the steps that are left of it; its losses and Dices are those of all its steps. To be mixed over any
    trainer of nnU-Net (see `timely`): what it adds to a checkpoint, a stock nnU-Net passes over.

    With several GPUs the first worker's clock decides for all of them, before every step, and it writes the steps of
    every worker. On another number of GPUs each worker goes on with those of one of them.

    Attributes:
        checkpoint_minutes: a checkpoint is written when the last is older; the variable MSCS_CHECKPOINT_MINUTES
            replaces it, and 0 asks for one before every step.
        resumed: the entry `UNFINISHED` that this training goes on from, until that epoch is over.
        steps: of the epoch that is being trained; None between two epochs.
    """

    num_iterations_per_epoch: int
    num_val_iterations_per_epoch: int
    save_every: int
    checkpoint_minutes: float = 5.0
    resumed: dict | None = None
    steps: EpochSteps | None = None
    limit_s: float = math.inf
    saved_at_s: float = math.inf

    def on_train_start(self) -> None:
        super().on_train_start()
        self.limit_s = 60 * _minutes(self.checkpoint_minutes)
        self.saved_at_s = monotonic()
        if self.local_rank == 0:
            for unfinished in Path(self.output_folder).glob(".part-*.pth"):
                unfinished.unlink()
        self._log_what_is_left()

    def _log_what_is_left(self) -> None:
        if self.current_epoch >= self.num_epochs:
            self.print_to_log_file(f"All {self.num_epochs} epochs are trained")
            return
        self.print_to_log_file(f"Training epochs {self.current_epoch} to {self.num_epochs - 1}")
        if self.resumed is not None:
            self.print_to_log_file(f"Epoch {self.current_epoch} goes on after {self._steps_so_far()}")

    def _steps_so_far(self) -> EpochSteps:
        """The steps of the epoch that begins: none, or those of before the training was resumed."""
        workers = (self.resumed or {}).get("outputs") or [([], [])]
        training, validation = workers[self.local_rank % len(workers)]
        return EpochSteps(
            Steps(self.num_iterations_per_epoch, list(training), len(training)),
            Steps(self.num_val_iterations_per_epoch, list(validation), len(validation)),
        )

    def on_epoch_start(self) -> None:
        super().on_epoch_start()
        self.steps = self._steps_so_far()
        if self.resumed is not None:  # the epoch takes the time that it was trained, without the time in between
            self.logger.get_value("epoch_start_timestamps", step=None)[-1] -= self.resumed["seconds"]

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        if self.steps is not None:
            self.num_iterations_per_epoch -= self.steps.training.earlier

    def train_step(self, batch: dict) -> dict:
        # Before the step: after it, a trainer that builds on this one may have something to do that belongs to it.
        self._save_within_epoch()
        output = super().train_step(batch)
        if self.steps is not None:
            self.steps.training.outputs.append(output)
        return output

    def all_train_outputs(self, train_outputs: list[dict]) -> list[dict]:
        """The outputs of the epoch's last training steps, or of all, with those of before the training was resumed."""
        return train_outputs if self.steps is None else self.steps.training.with_earlier(train_outputs)

    def on_train_epoch_end(self, train_outputs: list[dict]) -> None:
        if self.steps is not None:
            self.num_iterations_per_epoch = self.steps.training.per_epoch
        super().on_train_epoch_end(self.all_train_outputs(train_outputs))

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        if self.steps is not None:
            self.num_val_iterations_per_epoch -= self.steps.validation.earlier

    def validation_step(self, batch: dict) -> dict:
        self._save_within_epoch()
        output = super().validation_step(batch)
        if self.steps is not None:
            self.steps.validation.outputs.append(output)
        return output

    def on_validation_epoch_end(self, val_outputs: list[dict]) -> None:
        if self.steps is not None:
            self.num_val_iterations_per_epoch = self.steps.validation.per_epoch
            val_outputs = self.steps.validation.with_earlier(val_outputs)
        super().on_validation_epoch_end(val_outputs)

    def on_epoch_end(self) -> None:
        self.steps = self.resumed = None
        save_every = self.save_every
        # Where it would fall due within the next epoch it is better written now.
        if self._is_due(ahead_s=self._epoch_s()):
            self.save_every = 1
        super().on_epoch_end()
        self.save_every = save_every

    def _epoch_s(self) -> float:
        return time() - self.logger.get_value("epoch_start_timestamps", step=-1)

    def _is_due(self, *, ahead_s: float = 0.0) -> bool:
        """Whether the last checkpoint is too old, or will be after `ahead_s`; the same on all workers."""
        if self.disable_checkpointing:
            return False
        due = monotonic() + ahead_s - self.saved_at_s >= self.limit_s
        if not self.is_ddp:
            return due
        flag = torch.tensor(float(due), device=self.device)
        distributed.broadcast(flag, src=0)
        return bool(flag)

    def _save_within_epoch(self) -> None:
        if self.steps is None or not self._is_due():
            return
        self.my_init_kwargs[UNFINISHED] = self.unfinished_epoch(self.steps)
        self.current_epoch -= 1  # nnU-Net writes the number of the epoch after it as the next to train
        try:
            self.save_checkpoint(os.path.join(self.output_folder, LATEST_CHECKPOINT))
        finally:
            self.current_epoch += 1
            del self.my_init_kwargs[UNFINISHED]
        self.saved_at_s = monotonic()
        self.print_to_log_file(f"Checkpoint within epoch {self.current_epoch} after {self.steps}")

    def unfinished_epoch(self, steps: EpochSteps) -> dict:
        """What a checkpoint within an epoch needs beside nnU-Net's entries; trainers with more to keep add to it."""
        outputs = (steps.training.outputs, steps.validation.outputs)
        workers = [outputs]
        if self.is_ddp:
            workers *= distributed.get_world_size()
            distributed.all_gather_object(workers, outputs)
        return {"epoch": self.current_epoch, "seconds": self._epoch_s(), "outputs": workers}

    def save_checkpoint(self, filename: str) -> None:
        """As nnU-Net's, but whole or not at all."""
        if self.disable_checkpointing or self.local_rank != 0:
            super().save_checkpoint(filename)
        else:
            with whole_file(Path(filename)) as unfinished:
                super().save_checkpoint(str(unfinished))
        if os.path.basename(filename) == LATEST_CHECKPOINT:
            self.saved_at_s = monotonic()

    def load_checkpoint(self, filename_or_checkpoint: dict | str) -> None:
        super().load_checkpoint(filename_or_checkpoint)
        unfinished = self.my_init_kwargs.pop(UNFINISHED, None)
        # A stock nnU-Net that went on from such a checkpoint carries the entry along.
        if unfinished is None or unfinished["epoch"] != self.current_epoch:
            return
        self.resumed = unfinished
        for values in self.logger.get_checkpoint().values():
            del values[self.current_epoch :]


def _minutes(default: float) -> float:
    text = os.environ.get(MINUTES, default)
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not minutes >= 0:
        raise MscsError(f"{MINUTES} is {text!r}.", "It takes a number of minutes, 0 or more.")
    return minutes


@cache
def timely(trainer: type[nnUNetTrainer]) -> type[nnUNetTrainer]:
    """The trainer with checkpoints in time, under its own name, by which nnU-Net knows it and names its folders."""
    if issubclass(trainer, TimelyCheckpoints):
        return trainer
    return type(trainer.__name__, (TimelyCheckpoints, trainer), {"__module__": __name__, "__doc__": trainer.__doc__})
