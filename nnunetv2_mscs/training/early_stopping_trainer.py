"""`MSCSTrainerEarlyStopping`: ends training when it gets no better, and keeps the weights of the best epoch."""

from os.path import basename, isfile, join

import torch
from torch import distributed

from nnunetv2_mscs.nnunet_files.checkpoints import BEST_CHECKPOINT
from nnunetv2_mscs.training.early_stopping import PATIENCE, PSEUDO_DICE, Progress, Watched
from nnunetv2_mscs.training.trainer import MSCSTrainer


class PatienceExhausted(Exception):
    """Leaves nnU-Net's loop over the epochs."""


class MSCSTrainerEarlyStopping(MSCSTrainer):
    """`MSCSTrainer` that stops after `patience` epochs without a better moving average of the pseudo Dice.

    checkpoint_best.pth holds the best epoch's weights, and at the end checkpoint_final.pth does, too, whether training
    stopped early or not: validation, prediction and find_best_configuration use them. The learning rate falls as if
    training ran to its full length. `MSCSTrainerEarlyStopping_<P>patience` has another patience (see `variants`).
    """

    patience: int = PATIENCE
    watched: Watched = PSEUDO_DICE
    # The epoch whose weights checkpoint_best.pth holds, if this training has written it. After a resume it may be one
    # that the history lacks: of a run that was broken off between it and the next checkpoint to resume from.
    kept: Progress | None = None

    @property
    def progress(self) -> Progress:
        return self.watched.progress(self.logger.get_checkpoint())

    def run_training(self) -> None:
        try:
            super().run_training()
        except PatienceExhausted:
            self.on_train_end()

    def on_train_start(self) -> None:
        super().on_train_start()
        # A resumed training repeats no more than a tenth of the patience.
        self.save_every = min(self.save_every, max(1, self.patience // 10))
        self.print_to_log_file(
            f"Early stopping watches the {self.watched.name}: training ends after {self.patience} epochs without a "
            "better one."
        )
        if self.current_epoch:
            self.print_to_log_file(self._standing(self.progress))
            self._find_kept()

    def on_epoch_start(self) -> None:
        # Here, before an epoch begins, a training that is resumed after its stop stops again, and trains no further.
        progress = self.progress
        if progress.epochs_since_best >= self.patience:
            self.print_to_log_file(f"Early stopping after epoch {self.current_epoch - 1}. {self._standing(progress)}")
            raise PatienceExhausted
        super().on_epoch_start()

    def on_epoch_end(self) -> None:
        super().on_epoch_end()
        progress = self.progress
        if progress.epochs_since_best:
            self.print_to_log_file(self._standing(progress))
            return
        # nnU-Net has counted on, and would write the number of an epoch that has not been yet.
        self.current_epoch -= 1
        self.save_checkpoint(join(self.output_folder, BEST_CHECKPOINT))
        self.current_epoch += 1

    def _standing(self, progress: Progress) -> str:
        if progress.best_epoch is None:
            return f"No finite {self.watched.name} for {progress.epochs_since_best} of {self.patience} epochs."
        return (
            f"Best {self.watched.name}: {progress.best:.4f} in epoch {progress.best_epoch}; "
            f"no better one for {progress.epochs_since_best} of {self.patience} epochs."
        )

    def save_checkpoint(self, filename: str) -> None:
        """As `MSCSTrainer`'s, but checkpoint_best.pth follows what early stopping watches, whatever nnU-Net asks for.

        It is written before any other of its epoch, so that no checkpoint knows of a best epoch that was not kept.
        """
        progress = self.progress
        between_epochs = self.steps is None
        if between_epochs and progress.best_epoch == self.current_epoch and self._better_than_kept(progress):
            super().save_checkpoint(join(self.output_folder, BEST_CHECKPOINT))
            if not (self.disable_checkpointing or self.skipped_steps.nothing_trained):
                self.kept = progress
        if basename(filename) != BEST_CHECKPOINT:
            super().save_checkpoint(filename)

    def _better_than_kept(self, progress: Progress) -> bool:
        return self.kept is None or self.watched.better(progress.best, self.kept.best)

    def _find_kept(self) -> None:
        """Read what checkpoint_best.pth holds, which a better epoch may replace; another training's is not kept."""
        if self.disable_checkpointing or not isfile(join(self.output_folder, BEST_CHECKPOINT)):
            return
        logged = torch.load(join(self.output_folder, BEST_CHECKPOINT), map_location="cpu", weights_only=False)[
            "logging"
        ]
        begins = "epoch_start_timestamps"
        if logged[begins][:1] != self.logger.get_checkpoint()[begins][:1]:
            return
        self.kept = self.watched.progress(logged)
        if not self._best_of_history(self.kept):
            self.print_to_log_file(
                f"{BEST_CHECKPOINT} holds epoch {self.kept.best_epoch} ({self.kept.best:.4f}), which the history of "
                "the checkpoint resumed from lacks. Only a better epoch replaces it; patience counts by that history."
            )

    def _best_of_history(self, kept: Progress) -> bool:
        progress = self.progress
        return (kept.best_epoch, kept.best) == (progress.best_epoch, progress.best)

    def reset_training(self, seed: int) -> None:
        super().reset_training(seed)
        self.kept = None

    def on_train_end(self) -> None:
        self._restore_best()
        super().on_train_end()

    def _restore_best(self) -> None:
        if self.kept is None:
            reason = (
                "Checkpoints are disabled" if self.disable_checkpointing else f"No {BEST_CHECKPOINT} of this training"
            )
            self.print_to_log_file(f"{reason}: the weights stay those of the last epoch")
            return
        if self.is_ddp:  # the first worker may still be writing it
            distributed.barrier()
        checkpoint = torch.load(join(self.output_folder, BEST_CHECKPOINT), map_location=self.device, weights_only=False)
        self._bare_network().load_state_dict(checkpoint["network_weights"])
        kept = self.watched.progress(checkpoint["logging"])
        where = "" if self._best_of_history(kept) else "; it is of a run that broke off, and not in the history"
        self.print_to_log_file(
            f"checkpoint_final.pth and the validation take the weights of epoch {kept.best_epoch}, the best by "
            f"{self.watched.name} ({kept.best:.4f}){where}"
        )
