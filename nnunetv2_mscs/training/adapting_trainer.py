"""`MSCSTrainerAdapt`: goes on from another model's weights on a user's own scans."""

from pathlib import Path

import torch

from nnunetv2_mscs.nnunet_files.checkpoints import WEIGHTS
from nnunetv2_mscs.nnunet_files.plans import weights_beside
from nnunetv2_mscs.training.early_stopping_trainer import MSCSTrainerEarlyStopping

LEARNING_RATE, WARM_UP_STEPS = 0.002, 50


class MSCSTrainerAdapt(MSCSTrainerEarlyStopping):
    """`MSCSTrainerEarlyStopping` that begins with the weights beside its plans, which `mscs adapt` puts there.

    A tenth of MSCSTrainer's learning rate, reached in 50 steps, then falling; at most 100 epochs; ends after 20 without
    a better moving average of the pseudo Dice. `MSCSTrainerAdapt_<P>patience_<N>epochs_<M>iterations` has other
    lengths (see `variants`). A training that begins anew begins with the same weights.
    """

    epochs: int | None = 100
    patience: int = 20

    def initialize(self) -> None:
        self.initial_lr = LEARNING_RATE
        super().initialize()
        if not self.is_resumed:
            self._take_weights()

    def reset_training(self, seed: int) -> None:
        super().reset_training(seed)
        self._take_weights()

    def _take_weights(self) -> None:
        file = weights_beside(Path(self.preprocessed_dataset_folder_base), self.plans_manager.plans_name)
        if not file.is_file():
            raise FileNotFoundError(f"{file} is not there: MSCSTrainerAdapt trains on plans of mscs adapt alone.")
        weights = torch.load(file, map_location="cpu", weights_only=True)[WEIGHTS]
        self._bare_network().load_state_dict(weights)
        self.print_to_log_file(f"The training begins with the weights in {file.name}.")

    def _lower_learning_rate(self) -> None:
        """As MSCSTrainer's, and from near 0 in the first steps: the optimizer knows nothing of these weights yet."""
        super()._lower_learning_rate()
        if self.steps is None or self.current_epoch * self.num_iterations_per_epoch >= WARM_UP_STEPS:
            return
        step = self.current_epoch * self.num_iterations_per_epoch + len(self.steps.training.outputs)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr_scheduler.get_last_lr()[0] * min(1.0, (step + 1) / WARM_UP_STEPS)
