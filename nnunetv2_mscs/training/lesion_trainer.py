"""`MSCSTrainerLesion`: trains for scores that count lesions, by a loss in which all lesions weigh the same."""

from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from torch import nn

from nnunetv2_mscs.training.component_loss import ComponentDiceCELoss, WithComponents
from nnunetv2_mscs.training.trainer import MSCSTrainer


class MSCSTrainerLesion(MSCSTrainer):
    """`MSCSTrainer` with Dice and cross entropy of every lesion by itself beside nnU-Net's loss (see `component_loss`).

    At every head that nnU-Net's loss supervises, with the same weights: as the authors of the loss do, and because the
    lower resolutions together cost no more than a third of the full one.
    """

    # As in the authors' program, where the two losses are added.
    component_weight: float = 1.0

    def _build_loss(self) -> nn.Module:
        loss = super()._build_loss()
        configuration = self.configuration_manager
        components = ComponentDiceCELoss(
            [n * spacing for n, spacing in zip(configuration.patch_size, configuration.spacing, strict=True)],
            self.label_manager.ignore_label,
            regions=self.label_manager.has_regions,
        )
        if not isinstance(loss, DeepSupervisionWrapper):
            return WithComponents(loss, components, self.component_weight)
        loss.loss = WithComponents(loss.loss, components, self.component_weight)
        return loss
