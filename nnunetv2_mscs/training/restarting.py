"""How a training is put back to before its first epoch, in the process that it runs in."""

from os.path import join
from pathlib import Path
from typing import Any

import torch

from nnunetv2_mscs.nnunet_files.checkpoints import BEST_CHECKPOINT, LATEST_CHECKPOINT
from nnunetv2_mscs.training.head_watch import WatchesHeads


class StartsOver(WatchesHeads):
    """A trainer whose `run_training` can be called again for a training from the beginning."""

    initial_lr: float
    grad_scaler: Any

    def get_dataloaders(self) -> tuple:
        # on_train_start, which every start passes through, would leave the processes of the former ones behind.
        if self.dataloader_train is not None and self.dataloader_val is not None:
            return self.dataloader_train, self.dataloader_val
        return super().get_dataloaders()

    def start_over(self, seed: int) -> None:
        """Reset the training, and leave on the disk what `--c` then goes on from."""
        self.reset_training(seed)
        if self.disable_checkpointing:
            return
        self.current_epoch = -1  # nnU-Net writes the number of the epoch after it as the next to train
        try:
            self.save_checkpoint(join(self.output_folder, LATEST_CHECKPOINT))
        finally:
            self.current_epoch = 0
        if self.local_rank == 0:
            Path(self.output_folder, BEST_CHECKPOINT).unlink(missing_ok=True)

    def reset_training(self, seed: int) -> None:
        """Everything as before the first epoch, with other initial weights; trainers that remember more add to it.

        Distributed workers draw the same weights, each for itself. Their other random numbers go on.
        """
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            network = self.build_network_architecture(
                self.plans_manager,
                self.configuration_manager,
                self.num_input_channels,
                self.label_manager.num_segmentation_heads,
                self.enable_deep_supervision,
            )
        self._bare_network().load_state_dict(network.state_dict())
        self.renew_optimizer()
        if self.grad_scaler is not None:
            self.grad_scaler = torch.amp.GradScaler(self.device.type)
        for values in self.logger.get_checkpoint().values():
            values.clear()
        self._best_ema = None
        self.current_epoch = 0
        self.steps = self.resumed = None
        self.heads = ()

    def renew_optimizer(self) -> None:
        """A new optimizer and schedule, for the initial learning rate that the trainer has now."""
        self.optimizer, self.lr_scheduler = self.configure_optimizers()
