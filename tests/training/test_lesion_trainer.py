"""The loss of components inside nnU-Net: which loss a training gets, and trainings by it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper

from nnunetv2_mscs.training import MSCSTrainer, MSCSTrainerLesion
from nnunetv2_mscs.training.component_loss import WithComponents
from nnunetv2_mscs.training.variants import trainer_by_name

SHORT = trainer_by_name("MSCSTrainerLesion_2epochs_2iterations")


@pytest.mark.parametrize(("dataset_id", "configuration"), [(601, "2d"), (602, "3d_fullres")])
def test_it_trains_and_validates(new_trainer, dataset_id, configuration):
    """Data set 602 has regions and an ignore label."""
    trainer = new_trainer(SHORT, configuration, dataset_id, fold="all")
    trainer.run_training()
    trainer.perform_actual_validation()
    for name in ("train_losses", "val_losses"):
        losses = trainer.logger.get_value(name, step=None)
        assert len(losses) == 2
        assert np.isfinite(losses).all()
    folder = Path(trainer.output_folder)
    summary = json.loads((folder / "validation" / "summary.json").read_text())
    assert len(summary["metric_per_case"]) == 5
    checkpoint = torch.load(folder / "checkpoint_final.pth", weights_only=False)
    assert checkpoint["trainer_name"] == "MSCSTrainerLesion_2epochs_2iterations"


def heads(trainer: MSCSTrainer, classes: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Random logits and labels of every head."""
    random = torch.Generator().manual_seed(0)
    patch = trainer.configuration_manager.patch_size
    spaces = [
        [round(n * s) for n, s in zip(patch, scale, strict=True)] for scale in trainer._get_deep_supervision_scales()
    ]
    outputs = [torch.randn(2, classes, *space, generator=random) for space in spaces]
    return outputs, [(torch.rand(2, 1, *space, generator=random) > 0.98).float() for space in spaces]


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_the_components_of_every_supervised_head_are_added_to_nnunets_loss(new_trainer, configuration):
    plain, lesion = new_trainer(MSCSTrainer, configuration), new_trainer(MSCSTrainerLesion, configuration)
    for trainer in (plain, lesion):
        trainer.initialize()
    assert isinstance(lesion.loss, DeepSupervisionWrapper)
    assert lesion.loss.weight_factors == plain.loss.weight_factors
    outputs, targets = heads(lesion, 2)
    components = lesion.loss.loss.components
    spacing = lesion.configuration_manager.spacing
    assert components.extent_mm == pytest.approx(np.multiply(lesion.configuration_manager.patch_size, spacing))
    added = sum(
        weight * components(output, target)
        for weight, output, target in zip(lesion.loss.weight_factors, outputs, targets, strict=True)
    )
    assert added > 0
    torch.testing.assert_close(lesion.loss(outputs, targets), plain.loss(outputs, targets) + added)


def test_a_weight_of_zero_is_nnunets_loss(new_trainer, monkeypatch):
    monkeypatch.setattr(MSCSTrainerLesion, "component_weight", 0.0)
    plain, lesion = new_trainer(MSCSTrainer), new_trainer(MSCSTrainerLesion)
    for trainer in (plain, lesion):
        trainer.initialize()
    outputs, targets = heads(lesion, 2)
    torch.testing.assert_close(lesion.loss(outputs, targets), plain.loss(outputs, targets))


@pytest.mark.parametrize(("dataset_id", "whole"), [(601, DC_and_CE_loss), (602, DC_and_BCE_loss)])
def test_without_deep_supervision_there_is_one_head(new_trainer, dataset_id, whole):
    trainer = new_trainer(MSCSTrainerLesion, dataset_id=dataset_id)
    trainer.enable_deep_supervision = False
    loss = trainer._build_loss()
    assert isinstance(loss, WithComponents)
    assert isinstance(loss.whole, whole)
    assert loss.weight == 1
    assert (loss.components.regions, loss.components.ignore_label) == ((False, None), (True, 3))[dataset_id - 601]


def test_steps_on_one_batch_lower_its_loss(new_trainer):
    torch.manual_seed(0)
    trainer = new_trainer(MSCSTrainerLesion)
    trainer.initialize()
    trainer.network.train()
    data = torch.rand(4, 2, *trainer.configuration_manager.patch_size)
    lesions = torch.nn.functional.avg_pool2d(torch.rand(4, 1, *data.shape[2:]), 5, 1, 2) > 0.6
    data[:, :1] += 2 * lesions
    scales = trainer._get_deep_supervision_scales()
    target = [
        torch.nn.functional.interpolate(lesions.float(), scale_factor=tuple(float(s) for s in scale))
        for scale in scales
    ]
    losses = [float(trainer.train_step({"data": data, "target": target})["loss"]) for _ in range(12)]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
