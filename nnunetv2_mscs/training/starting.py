"""A start that fails is noticed within minutes, and the training begins anew."""

from os.path import isfile, join

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.checkpoints import BEST_CHECKPOINT
from nnunetv2_mscs.training.restarting import StartsOver
from nnunetv2_mscs.training.starts import (
    ESTABLISHED_DICE,
    GENTLER,
    MAX_STARTS,
    START,
    STEPS_WITHOUT_FOREGROUND,
    Start,
    best_dice,
)

LOOK_AT = (
    "See with mscs show whether the labels lie on the lesions and the normalised images look alike. Then delete the "
    "fold's folder and train it anew, with a lower initial learning rate or another trainer, such as nnUNetTrainer."
)


class StartFailedError(MscsError):
    """No start of a training has led to a network that predicts any foreground."""


class BeginAnew(Exception):
    """Leaves nnU-Net's loop over the epochs."""


class BeginsAnew(StartsOver):
    """A trainer that begins anew where the full-resolution head learns to predict background alone.

    Such a head may sit in a trap: its weights for the lesion, less those for the background, are all negative, its
    features are never negative, and no gradient leads out. A start has failed if that head predicted no foreground in
    any validation during `steps_without_foreground` training steps, and no epoch before had a pseudo Dice of
    `established_dice`. The next start has other initial weights, and `GENTLER` times the initial learning rate.
    """

    max_starts: int = MAX_STARTS
    steps_without_foreground: int = STEPS_WITHOUT_FOREGROUND
    established_dice: float = ESTABLISHED_DICE
    start: Start = Start()

    def run_training(self) -> None:
        self.dataloader_train = self.dataloader_val = None  # those of a training before have ended
        while True:
            try:
                super().run_training()
                return
            except BeginAnew:
                self._begin_anew()

    def on_epoch_start(self) -> None:
        # Here for a training that was broken off between the last epoch of a failed start and the next start.
        self._leave_failed_start()
        super().on_epoch_start()

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        if self.start.number > 1:
            self.print_to_log_file(f"This is start {self.start.number} of {self.max_starts}.")

    def on_validation_epoch_end(self, val_outputs: list[dict]) -> None:
        super().on_validation_epoch_end(val_outputs)
        if not self.heads:
            return
        full_resolution = self.heads[0]
        self.start = self.start.after_epoch(
            self.num_iterations_per_epoch,
            in_references=full_resolution.reference_voxels > 0,
            predicted=full_resolution.predicted_voxels > 0,
        )
        if full_resolution.is_silent:
            self._warn()

    def _warn(self) -> None:
        if not self._is_established:
            steps, limit = self.start.steps_without_foreground, self.steps_without_foreground
            self.print_to_log_file(f"No foreground for {steps} training steps; a start has failed after {limit}.")
            return
        best = join(self.output_folder, BEST_CHECKPOINT)
        kept = (
            f" {BEST_CHECKPOINT} holds weights from before." if isfile(best) and not self.disable_checkpointing else ""
        )
        self.print_to_log_file(
            f"WARNING: the network predicts no foreground any more, after a pseudo Dice of {self._best_dice:.2f} in an "
            f"earlier epoch. The training goes on.{kept}"
        )

    @property
    def _best_dice(self) -> float:
        return best_dice(self.logger.get_value("mean_fg_dice", step=None))

    @property
    def _is_established(self) -> bool:
        return self._best_dice >= self.established_dice

    def on_epoch_end(self) -> None:
        super().on_epoch_end()
        self._leave_failed_start()

    def _leave_failed_start(self) -> None:
        """Leave the loop over the epochs if the start has failed; on all workers, which share what it is known by."""
        if self.start.steps_without_foreground < self.steps_without_foreground or self._is_established:
            return
        if self.start.number < self.max_starts:
            raise BeginAnew
        raise StartFailedError(
            f"All {self.start.number} starts of the training failed: in the last, the network predicted no foreground "
            f"during {self.start.steps_without_foreground} training steps.",
            LOOK_AT,
        )

    def on_train_end(self) -> None:
        steps = self.start.steps_without_foreground
        if steps and not self._is_established:
            self.print_to_log_file(
                f"WARNING: the training ends without a network that predicts foreground: none in its last {steps} "
                f"steps. It was too short to begin anew after {self.steps_without_foreground}."
            )
        super().on_train_end()

    def _begin_anew(self) -> None:
        """Put the trainer back to before its first epoch, as the next start; run_training goes on from there."""
        failed, self.start = self.start, self.start.next()
        self.initial_lr *= GENTLER
        seed = self.start.seed(self.fold)
        self.print_to_log_file(
            f"Start {failed.number} of {self.max_starts} failed: no foreground in {failed.steps_without_foreground} "
            f"training steps. The training begins anew: start {self.start.number} of {self.max_starts}, seed {seed}, "
            f"initial learning rate {self.initial_lr:.3g}."
        )
        self.start_over(seed)

    def save_checkpoint(self, filename: str) -> None:
        self.my_init_kwargs[START] = self.start.entry(self.initial_lr)
        super().save_checkpoint(filename)

    def load_checkpoint(self, filename_or_checkpoint: dict | str) -> None:
        super().load_checkpoint(filename_or_checkpoint)
        entry = self.my_init_kwargs.get(START)
        self.start = Start.of_entry(entry)
        # The first start's learning rate is the trainer's own, which may have been changed on purpose.
        if entry and self.start.number > 1 and entry["initial_lr"] != self.initial_lr:
            self.initial_lr = entry["initial_lr"]
            state = self.optimizer.state_dict()
            self.renew_optimizer()
            self.optimizer.load_state_dict(state)
