"""`MSCSTrainer`: nnU-Net's trainer with MSCS-Net in it, and guards against failed starts and losses not finite."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import distributed, nn

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.network import MSCSNet
from nnunetv2_mscs.network.precision import BFLOAT16, FLOAT32, fastest_precision
from nnunetv2_mscs.nnunet_files.model_folder import fold_folders
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.planning.topology import (
    MSCS_NET,
    has_planned_design,
    mscs_architecture,
    stored_architecture,
)
from nnunetv2_mscs.training.nonfinite import (
    SkippedSteps,
    drop_gradients_unless_finite,
    replace_non_finite,
    require_finite_weights,
    restore_statistics,
    running_statistics,
)
from nnunetv2_mscs.training.starting import BeginsAnew
from nnunetv2_mscs.training.timely import EpochSteps

# Twice nnU-Net's: with it the planned network learns as fast as the U-Net (docs/training.md).
LEARNING_RATE = 0.02
# Names the precision of a network that is trained on a CPU.
PRECISION = "MSCS_PRECISION"
# Training steps without effect, of an epoch that is not over, in a checkpoint.
SKIPPED = "skipped_steps"


class MSCSTrainer(BeginsAnew):
    """Trains MSCS-Net as nnU-Net trains its U-Net, on any configuration of any plans that give strides and kernels.

    Loss, optimiser, augmentation, deep supervision and validation are nnU-Net's. So is the schedule of the learning
    rate, but it is followed from step to step, and the planned network begins with twice nnU-Net's rate.
    `MSCSTrainer_<N>epochs` and `MSCSTrainer_<N>epochs_<M>iterations` are this class with another length (see
    `variants`).
    """

    epochs: int | None = None
    iterations: int | None = None
    is_resumed = False
    # MSCSTrainerPaper decides on its network otherwise.
    trains_planned_design = True
    # The network's entry in the plans beside a trained model.
    stored_architecture = staticmethod(stored_architecture)

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008  nnU-Net's own signature
    ):
        super().__init__(
            self._with_network(plans, configuration, dataset_json), configuration, fold, dataset_json, device
        )
        # Read by `initialize`; on a GPU nnU-Net decides.
        self.precision = _precision(self.device)
        # Whether the plans are nnU-Net's, and the network is decided by this version of the trainer.
        self.network_is_planned_here = not _names_mscs_net(plans, configuration)
        self.nnunets_learning_rate = self.initial_lr
        if self.trains_planned_design and has_planned_design(self._architecture):
            self.initial_lr = LEARNING_RATE
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
        self.gradients_dropped = False

    @staticmethod
    def planned_architecture(architecture: dict, patch_size: Sequence[int], regions: bool) -> dict:
        """The plan entry of the network to train, from that of the plans."""
        return mscs_architecture(architecture, patch_size, regions=regions)

    @classmethod
    def _with_network(cls, plans: dict, configuration: str, dataset_json: dict) -> dict:
        """The plans with the network to train written out, so that what other versions plan does not change a model."""
        manager = PlansManager(plans)
        planned = manager.get_configuration(configuration)
        architecture = cls.planned_architecture(
            planned.configuration["architecture"],
            planned.patch_size,
            manager.get_label_manager(dataset_json).has_regions,
        )
        configurations = plans["configurations"]
        own = configurations[configuration] | {"architecture": architecture}
        return {**plans, "configurations": {**configurations, configuration: own}}

    @staticmethod
    def build_network_architecture(
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """The MSCS-Net of a model's plans; called by training and by prediction."""
        architecture = stored_architecture(
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
        if self.network_is_planned_here and not self.is_resumed:
            self._join_other_folds()
        super().initialize()
        if self.trains_planned_design and not self.is_resumed and not has_planned_design(self._architecture):
            self.print_to_log_file(
                "The plans, or the other folds of this model, hold the paper's network. The present planner's starts "
                "more reliably (docs/training.md): plan anew, under another name if you keep models of these plans."
            )
        self._watch_gradients()
        if self.device.type == "cpu" and self.precision == BFLOAT16:
            cast(MSCSNet, self._bare_network()).in_bfloat16 = True
            self.print_to_log_file(f"The network is computed in bfloat16 ({PRECISION}=float32 changes that)")
        count = sum(p.numel() for p in self.network.parameters() if p.requires_grad)
        self.print_to_log_file(f"MSCS-Net with {count:,} parameters", add_timestamp=False)

    def _join_other_folds(self) -> None:
        """Take the network of the model's other folds where the plans name none of ours.

        Folds share the model's plans.json, and a fold with another network would make the others unreadable.
        """
        file = Path(self.output_folder_base, PLANS_JSON)
        folds = fold_folders(file.parent).items()
        others = [
            folder.name for fold, folder in folds if fold != str(self.fold) and any(folder.glob("checkpoint_*.pth"))
        ]
        if not others or not file.is_file():
            return
        made = PlansManager(str(file))
        if made.get_configuration(self.configuration_name).patch_size == self.configuration_manager.patch_size:
            self._take_network(made, f"The network is that of {', '.join(others)} of this model")

    @property
    def _architecture(self) -> dict:
        return self.configuration_manager.configuration["architecture"]

    def _watch_gradients(self) -> None:
        if self.grad_scaler is None:  # a scaler skips steps whose gradients are not finite, as its way to find a scale
            self.optimizer.register_step_pre_hook(self._check_gradients)

    def renew_optimizer(self) -> None:
        super().renew_optimizer()
        self._watch_gradients()

    def reset_training(self, seed: int) -> None:
        super().reset_training(seed)
        self.skipped_steps = SkippedSteps()

    def _check_gradients(self, optimizer: torch.optim.Optimizer, *_) -> None:
        self.gradients_dropped = drop_gradients_unless_finite(optimizer)

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.skipped_steps.begin_epoch((self.resumed or {}).get(SKIPPED, 0))

    def _lower_learning_rate(self) -> None:
        """Follow nnU-Net's schedule within the epoch, so that a training of few epochs, too, ends with small steps."""
        if self.steps is not None and isinstance(self.lr_scheduler, PolyLRScheduler):
            steps = self.steps.training
            self.lr_scheduler.step(self.current_epoch + len(steps.outputs) / steps.per_epoch)

    def train_step(self, batch: dict) -> dict:
        self._lower_learning_rate()
        statistics = running_statistics(self.network)
        scale = None if self.grad_scaler is None else self.grad_scaler.get_scale()
        self.gradients_dropped = False
        output = super().train_step(batch)
        if self._on_all_workers(bool(np.isfinite(output["loss"])) and not self.gradients_dropped):
            self.skipped_steps.finite()
            return output
        restore_statistics(self.network, statistics)
        if scale is not None:  # a loss of NaN says nothing about the scale; nnU-Net's step has just halved it
            self.grad_scaler.update(new_scale=scale)
        self.skipped_steps.skipped()
        return output

    def _on_all_workers(self, finite: bool) -> bool:
        """Whether it holds for every distributed worker: all of them must keep or undo the same step."""
        if not self.is_ddp:
            return finite
        flag = torch.tensor(float(finite), device=self.device)
        distributed.all_reduce(flag, op=distributed.ReduceOp.MIN)
        return bool(flag)

    def unfinished_epoch(self, steps: EpochSteps) -> dict:
        return super().unfinished_epoch(steps) | {SKIPPED: self.skipped_steps.in_epoch}

    def on_train_epoch_end(self, train_outputs: list[dict]) -> None:
        train_outputs = self.all_train_outputs(train_outputs)
        if self.skipped_steps.in_epoch:
            steps = len(train_outputs)
            self.print_to_log_file(
                f"{self.skipped_steps.in_epoch} of {steps} training steps were skipped: loss or gradients were NaN or "
                "Inf. The epoch's loss is the mean of the finite ones."
            )
            self.skipped_steps.end_epoch(steps)
            losses = replace_non_finite([output["loss"] for output in train_outputs])
            train_outputs = [{**output, "loss": loss} for output, loss in zip(train_outputs, losses, strict=True)]
        super().on_train_epoch_end(train_outputs)

    def on_train_end(self) -> None:
        self.skipped_steps.end_training()
        super().on_train_end()

    def load_checkpoint(self, filename_or_checkpoint: dict | str) -> None:
        if isinstance(filename_or_checkpoint, str) and not self.was_initialized:
            checkpoint = torch.load(filename_or_checkpoint, map_location="cpu", weights_only=False, mmap=True)
            self.is_resumed = True
            self.take_over(checkpoint["init_args"])
        super().load_checkpoint(filename_or_checkpoint)

    def take_over(self, arguments: dict) -> None:
        """Prepare to go on with a checkpoint whose trainer was made with these arguments: with its network."""
        self._take_network(PlansManager(arguments["plans"]), "The network is that of the checkpoint")

    def _take_network(self, made: PlansManager, reason: str) -> None:
        """Train the network that another training was made with, if it differs from the one planned now."""
        configuration = made.get_configuration(self.configuration_name)
        architecture = self.stored_architecture(configuration.configuration["architecture"], configuration.patch_size)
        if architecture == self._architecture:
            return
        if self.initial_lr == LEARNING_RATE and not has_planned_design(architecture):
            self.initial_lr = self.nnunets_learning_rate
        self.print_to_log_file(f"{reason}; a new training would take another.")
        self.configuration_manager.configuration["architecture"] = architecture
        self.plans_manager.plans["configurations"][self.configuration_name]["architecture"] = architecture

    def save_checkpoint(self, filename: str) -> None:
        """As `BeginsAnew`'s, but never with weights that are not finite or were never trained."""
        if self.disable_checkpointing:
            super().save_checkpoint(filename)
            return
        if self.skipped_steps.nothing_trained:
            self.print_to_log_file("No checkpoint written: no training step has been finite yet")
            return
        require_finite_weights(self.network, filename)
        super().save_checkpoint(filename)


def _precision(device: torch.device) -> str:
    wanted = os.environ.get(PRECISION)
    if wanted and wanted not in (FLOAT32, BFLOAT16):
        raise MscsError(f"{PRECISION} is {wanted!r}.", f"It takes {FLOAT32} or {BFLOAT16}.")
    return wanted or fastest_precision(device)


def _names_mscs_net(plans: dict, configuration: str) -> bool:
    planned = PlansManager(plans).get_configuration(configuration)
    return planned.configuration["architecture"]["network_class_name"] == MSCS_NET
