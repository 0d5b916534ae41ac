"""`MSCSTrainerAdapt`: goes on from another model's weights on a user's own scans."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from nnunetv2_mscs.network import MSCSNet
from nnunetv2_mscs.nnunet_files.checkpoints import WEIGHTS
from nnunetv2_mscs.nnunet_files.plans import WEIGHTS_THRESHOLD, weights_beside
from nnunetv2_mscs.training.early_stopping_trainer import MSCSTrainerEarlyStopping

ConvNd = nn.Conv2d | nn.Conv3d
LEARNING_RATE, WARM_UP_STEPS = 0.002, 50
# Of the adapted weights in those that are kept. Half is what Wortsman et al. (Robust fine-tuning of zero-shot models,
# CVPR 2022) recommend where no data are left to choose it on.
ADAPTED_SHARE = 0.5


class MSCSTrainerAdapt(MSCSTrainerEarlyStopping):
    """`MSCSTrainerEarlyStopping` that begins with the weights beside its plans, which `mscs adapt` puts there.

    A tenth of MSCSTrainer's learning rate, reached in 50 steps, then falling; at most 100 epochs; ends after 20 without
    a better moving average of the pseudo Dice. `MSCSTrainerAdapt_<P>patience_<N>epochs_<M>iterations` has other
    lengths (see `variants`). A training that begins anew begins with the same weights.

    The weights kept at the end lie half way between those and the trained ones: what a few cases teach is kept, and
    what they would unlearn is not. The model's threshold becomes a part of them, see `shift_threshold`.
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
        self._bare_network().load_state_dict(self._beginning()[WEIGHTS])
        self.print_to_log_file("The training begins with the weights that lie beside its plans.")

    def _beginning(self) -> dict[str, Any]:
        """The weights that the training begins with, and the model's threshold for them."""
        file = weights_beside(Path(self.preprocessed_dataset_folder_base), self.plans_manager.plans_name)
        if not file.is_file():
            raise FileNotFoundError(f"{file} is not there: MSCSTrainerAdapt trains on plans of mscs adapt alone.")
        return torch.load(file, map_location=self.device, weights_only=True)

    def _restore_best(self) -> None:
        # The best epoch's checkpoint is never averaged, so that a training that ends twice ends the same way.
        super()._restore_best()
        beginning, network = self._beginning(), cast(MSCSNet, self._bare_network())
        go_half_way_back(network, beginning[WEIGHTS])
        threshold = beginning.get(WEIGHTS_THRESHOLD, 0.5)
        shift_threshold(cast(ConvNd, network.decoder.seg_layers[-1]), threshold, regions=self.label_manager.has_regions)
        self.print_to_log_file(
            f"checkpoint_final.pth holds the mean of these weights and those that the training began with; a "
            f"probability of {threshold:g} of the model is 0.5 of it."
        )

    def _lower_learning_rate(self) -> None:
        """As MSCSTrainer's, and from near 0 in the first steps: the optimizer knows nothing of these weights yet."""
        super()._lower_learning_rate()
        if self.steps is None or self.current_epoch * self.num_iterations_per_epoch >= WARM_UP_STEPS:
            return
        step = self.current_epoch * self.num_iterations_per_epoch + len(self.steps.training.outputs)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr_scheduler.get_last_lr()[0] * min(1.0, (step + 1) / WARM_UP_STEPS)


def go_half_way_back(network: nn.Module, beginning: Mapping[str, torch.Tensor]) -> None:
    """Give a network the mean of its weights and those that it began with."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():  # a batch norm counts its batches, too
            tensor.lerp_(beginning[name].to(tensor.dtype), 1 - ADAPTED_SHARE)


def shift_threshold(head: ConvNd, threshold: float, *, regions: bool) -> None:
    """Make 0.5 of what was this probability of lesion, by the bias of the foreground's logits.

    nnU-Net's validation, prediction and ensembles cut at 0.5. A logit that is higher by a constant commutes with the
    resampling, mirroring and averaging of logits that nnU-Net does, so that its masks are those of the threshold.

    Args:
        head: the last layer, with a bias (labels).
        threshold: between 0 and 1.
        regions: whether every label is a region with a sigmoid of its own; else the first is background.
    """
    with torch.no_grad():
        assert head.bias is not None
        head.bias[0 if regions else 1 :] += math.log((1 - threshold) / threshold)
