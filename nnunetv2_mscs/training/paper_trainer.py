"""`MSCSTrainerPaper`: the training recipe of the paper, within nnU-Net's preprocessing, folds and prediction."""

from collections.abc import Sequence
from functools import partial

import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.nnunet_masking import MaskImageTransform
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import distributed, nn

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.planning.topology import MSCS_NET, paper_architecture
from nnunetv2_mscs.training.early_stopping import VALIDATION_LOSS, Watched
from nnunetv2_mscs.training.early_stopping_trainer import MSCSTrainerEarlyStopping
from nnunetv2_mscs.training.paper_augmentation import FactorAndNoise
from nnunetv2_mscs.training.paper_batch import batch_size_that_fits, free_memory_bytes
from nnunetv2_mscs.training.paper_loss import SoftDiceAndFocalLoss
from nnunetv2_mscs.training.paper_network import paper_network


class MSCSTrainerPaper(MSCSTrainerEarlyStopping):
    """Trains as Zaman et al. (Measurement 2025, 118925) did: their network, loss, optimiser, augmentation and stop.

    - The paper's network where the patch allows it (see `paper_network`), with BatchNorm, without deep supervision.
    - Batch size 8 where memory allows; Adam with a constant learning rate of 1e-4, epsilon 1e-7 as in Keras.
    - Soft Dice and focal loss (see `paper_loss`).
    - Random flips in plane, each axis with probability 0.5; an intensity factor and noise for every patch (see
      `paper_augmentation`). Predictions are made once, without mirroring.
    - 100 epochs; stops when the validation loss has not fallen for 70, and keeps the best weights.

    nnU-Net's remain: preprocessing and patch, foreground oversampling, folds (the paper splits once, 70/15/15),
    gradient clipping, and 250 iterations an epoch (an epoch in Keras is a pass over the data).
    """

    epochs = 100
    watched: Watched = VALIDATION_LOSS
    trains_planned_design = False
    # That of the checkpoint which training goes on from; None in a new training.
    resumed_batch_size: int | None = None

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),  # noqa: B008  nnU-Net's own signature
    ):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.initial_lr = 1e-4
        self.weight_decay = 0.0
        self.enable_deep_supervision = False

    stored_architecture = staticmethod(lambda architecture, patch_size: architecture)

    @staticmethod
    def planned_architecture(architecture: dict, patch_size: Sequence[int], regions: bool) -> dict:
        """The entry without what the planned network has and the paper's has not; `paper_network` does the rest."""
        if architecture["network_class_name"] != MSCS_NET:
            return architecture
        return paper_architecture(architecture, patch_size)

    @staticmethod
    def build_network_architecture(
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = False,
    ) -> nn.Module:
        """The network of `paper_network`, always without deep supervision; called by training and by prediction."""
        build, _ = paper_network(configuration_manager.configuration["architecture"], configuration_manager.patch_size)
        return build(num_input_channels, num_output_channels)

    def initialize(self) -> None:
        super().initialize()
        _, reason = paper_network(self._architecture, self.configuration_manager.patch_size)
        self.print_to_log_file(reason, add_timestamp=False)

    def _set_batch_size_and_oversample(self) -> None:
        """The paper's batch size as far as it fits, in the place of the plans', shared among workers by nnU-Net."""
        batch_size, reason = self._batch_size()
        self.configuration_manager.configuration["batch_size"] = batch_size
        self.print_to_log_file(reason, add_timestamp=False)
        super()._set_batch_size_and_oversample()

    def _batch_size(self) -> tuple[int, str]:
        workers = distributed.get_world_size() if self.is_ddp else 1
        if self.resumed_batch_size is not None:
            batch_size = max(self.resumed_batch_size, workers)
            return batch_size, f"Batch size {batch_size}, that of the checkpoint, whatever memory is free now."
        build, _ = paper_network(self._architecture, self.configuration_manager.patch_size)
        channels = determine_num_input_channels(self.plans_manager, self.configuration_manager, self.dataset_json)
        return batch_size_that_fits(
            partial(build, channels, self.label_manager.num_segmentation_heads),
            channels,
            self.configuration_manager.patch_size,
            self._least_on_all_workers(free_memory_bytes(self.device)),
            half_precision=self.device.type == "cuda",
            workers=workers,
        )

    def save_checkpoint(self, filename: str) -> None:
        """As `MSCSTrainerEarlyStopping`'s, with the batch size beside the arguments that nnU-Net keeps."""
        self.my_init_kwargs["batch_size"] = self.configuration_manager.batch_size
        super().save_checkpoint(filename)

    def take_over(self, arguments: dict) -> None:
        super().take_over(arguments)
        self.resumed_batch_size = arguments.get("batch_size")

    def _least_on_all_workers(self, value: float) -> float:
        if not self.is_ddp:
            return value
        least = torch.tensor(value, device=self.device, dtype=torch.float64)
        distributed.all_reduce(least, op=distributed.ReduceOp.MIN)
        return float(least)

    def _build_loss(self) -> nn.Module:
        if self.label_manager.has_regions:
            raise MscsError(
                "The data set has regions, which overlap; the paper's loss is for classes that exclude each other.",
                "Train it with MSCSTrainer or MSCSTrainerEarlyStopping.",
            )
        return SoftDiceAndFocalLoss(self.label_manager.ignore_label, ddp=self.is_ddp)

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, PolyLRScheduler]:
        optimizer = torch.optim.Adam(self.network.parameters(), self.initial_lr, eps=1e-7)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs, exponent=0)

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self):
        """No rotation, no margin around the patch; the last two axes are in plane, and flipped in training alone."""
        n_axes = len(self.configuration_manager.patch_size)
        self.inference_allowed_mirroring_axes = None
        return (0, 0), False, list(self.configuration_manager.patch_size), (n_axes - 2, n_axes - 1)

    @staticmethod
    def get_training_transforms(
        patch_size,
        rotation_for_DA,
        deep_supervision_scales,
        mirror_axes: Sequence[int],
        do_dummy_2d_data_aug: bool,
        use_mask_for_norm: list[bool] | None = None,
        is_cascaded: bool = False,
        foreground_labels=None,
        regions=None,
        ignore_label: int | None = None,
    ) -> BasicTransform:
        """The paper's augmentation, then what nnU-Net does to a validation patch."""
        transforms: list[BasicTransform] = [MirrorTransform(tuple(mirror_axes)), FactorAndNoise()]
        masked = [channel for channel, use_mask in enumerate(use_mask_for_norm or []) if use_mask]
        if masked:
            transforms.append(MaskImageTransform(apply_to_channels=masked, channel_idx_in_seg=0, set_outside_to=0))
        conversions = nnUNetTrainer.get_validation_transforms(
            deep_supervision_scales, is_cascaded, foreground_labels, regions, ignore_label
        )
        return ComposeTransforms([*transforms, conversions])
