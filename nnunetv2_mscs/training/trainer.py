"""`MSCSTrainer`: nnU-Net's trainer with MSCS-Net in it, and with guards against losses that are not finite."""

import os

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from nnunetv2_mscs.planning.topology import mscs_architecture
from nnunetv2_mscs.training.nonfinite import (
    SkippedSteps,
    drop_gradients_unless_finite,
    finite_mean,
    require_finite_weights,
    restore_statistics,
    running_statistics,
)


class MSCSTrainer(nnUNetTrainer):
    """Trains MSCS-Net as nnU-Net trains its U-Net, on any configuration of any plans that give strides and kernels.

    Loss, optimiser, schedule, augmentation, deep supervision and validation are nnU-Net's. `MSCSTrainer_<N>epochs` and
    `MSCSTrainer_<N>epochs_<M>iterations` are this class with another length (see `variants`).
    """

    num_iterations_per_epoch: int
    num_val_iterations_per_epoch: int
    save_every: int
    epochs: int | None = None
    iterations: int | None = None

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008  nnU-Net's own signature
    ):
        super().__init__(plans, configuration, fold, dataset_json, device)
        if self.epochs is not None:
            self.num_epochs = self.epochs
        if self.iterations is not None:
            validation_share = self.num_val_iterations_per_epoch / self.num_iterations_per_epoch
            self.num_iterations_per_epoch = self.iterations
            self.num_val_iterations_per_epoch = max(1, round(validation_share * self.iterations))
        # A short training must leave something to resume from, too.
        self.save_every = min(self.save_every, max(1, self.num_epochs // 10))
        # With a single head there is nothing to supervise deeply, and nnU-Net's weights would be 0 / 0.
        self.enable_deep_supervision = len(self.configuration_manager.pool_op_kernel_sizes) > 2
        self.skipped_steps = SkippedSteps()

    @staticmethod
    def build_network_architecture(
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """MSCS-Net for the topology of the plans; called by training and by prediction."""
        architecture = mscs_architecture(
            configuration_manager.configuration["architecture"], configuration_manager.patch_size
        )
        return get_network_from_plans(
            architecture["network_class_name"],
            architecture["arch_kwargs"],
            architecture["_kw_requires_import"],
            num_input_channels,
            num_output_channels,
            deep_supervision=enable_deep_supervision,
        )

    def initialize(self) -> None:
        super().initialize()
        if self.grad_scaler is None:  # the scaler itself skips steps whose gradients are not finite
            self.optimizer.register_step_pre_hook(drop_gradients_unless_finite)
        count = sum(p.numel() for p in self.network.parameters() if p.requires_grad)
        self.print_to_log_file(f"MSCS-Net with {count:,} parameters", add_timestamp=False)

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.skipped_steps.begin_epoch()

    def train_step(self, batch: dict) -> dict:
        statistics = running_statistics(self.network)
        output = super().train_step(batch)
        if torch.isfinite(torch.as_tensor(output["loss"])).all():
            self.skipped_steps.finite()
        else:
            restore_statistics(self.network, statistics)
            self.skipped_steps.skipped()
        return output

    def on_train_epoch_end(self, train_outputs: list[dict]) -> None:
        if self.skipped_steps.in_epoch:
            self.print_to_log_file(
                f"{self.skipped_steps.in_epoch} of {len(train_outputs)} training steps were skipped: their loss was "
                "NaN or Inf. The epoch's loss is the mean of the others."
            )
            mean = finite_mean(output["loss"] for output in train_outputs)
            train_outputs = [{**output, "loss": mean} for output in train_outputs]
        super().on_train_epoch_end(train_outputs)

    def on_train_end(self) -> None:
        self.skipped_steps.end_training()
        super().on_train_end()

    def save_checkpoint(self, filename: str) -> None:
        """As nnU-Net's, but whole or not at all, and never with weights that are not finite."""
        require_finite_weights(self.network, filename)
        unfinished = f"{filename}.part"
        super().save_checkpoint(unfinished)
        if self.local_rank == 0 and os.path.isfile(unfinished):
            os.replace(unfinished, filename)
