"""nnU-Net's trainer with the length of `MSCSTrainer_5epochs_100iterations`, for comparisons within minutes.

nnU-Net finds it by `export nnUNet_extTrainer=$PWD/benchmarks/trainers`.
"""

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainer_5epochs_100iterations(nnUNetTrainer):
    """5 epochs of 100 training and 20 validation iterations; all else is nnU-Net's."""

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008  nnU-Net's own signature
    ):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 5, 100, 20
