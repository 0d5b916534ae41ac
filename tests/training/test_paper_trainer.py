"""The paper's recipe inside nnU-Net: network, batch, optimiser, and a training by it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.run.run_training import maybe_load_checkpoint
from torch import nn

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.network import MSCSNet
from nnunetv2_mscs.network.blocks import ShiftOnlyNorm
from nnunetv2_mscs.planning.memory import GIGABYTE
from nnunetv2_mscs.training import paper_trainer
from nnunetv2_mscs.training.paper_batch import batch_size_that_fits, free_memory_bytes
from nnunetv2_mscs.training.paper_network import paper_network
from nnunetv2_mscs.training.paper_trainer import MSCSTrainerPaper
from nnunetv2_mscs.training.variants import trainer_by_name

SHORT = trainer_by_name("MSCSTrainerPaper_3epochs_2iterations")


def planned(preprocessed, configuration: str = "3d_fullres") -> dict:
    plans = json.loads((preprocessed(601) / "MSCSPlans.json").read_text())
    return plans["configurations"][configuration]["architecture"]


def unet(patch_size: list[int]) -> dict:
    """nnU-Net's own network over two levels."""
    n_axes = len(patch_size)
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "strides": [[1] * n_axes, [2] * n_axes, [1, *[2] * (n_axes - 1)]],
            "kernel_sizes": [[1, *[3] * (n_axes - 1)], [3] * n_axes, [3] * n_axes],
            "conv_op": f"torch.nn.modules.conv.Conv{n_axes}d",
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{n_axes}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op"],
    }


@pytest.mark.parametrize("norm", ["instancenorm.InstanceNorm2d", "batchnorm.BatchNorm2d"])
def test_nnunets_own_plans_are_left_to_the_papers_rule(new_trainer, norm):
    """Its BatchNorm is not the paper's: that has no scale inside DMSA, and Keras's epsilon."""
    entry = unet([40, 40])
    entry["arch_kwargs"]["norm_op"] = f"torch.nn.modules.{norm}"
    trainer = new_trainer(SHORT, architecture=entry)
    trainer.initialize()
    assert {module.eps for module in norms(trainer.network)} == {1e-3}
    assert any(isinstance(module, ShiftOnlyNorm) for module in trainer.network.modules())
    assert trainer.network.decoder.stages[-1][0].conv.out_channels == 8


def test_plans_of_mscs_net_are_trained_with_the_papers_design(new_trainer):
    trainer = new_trainer(SHORT)
    trainer.initialize()
    assert trainer.network.encoder.stem is None
    assert {module.p for module in trainer.network.modules() if isinstance(module, nn.Dropout)} == {0.3}
    assert trainer.network.decoder.stages[-1][0].conv.out_channels == 8


def norms(network: nn.Module) -> list[nn.Module]:
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
    return [module for module in network.modules() if isinstance(module, kinds)]


@pytest.mark.parametrize("patch_size", [[16, 192, 192], [64, 64, 64]])
def test_a_divisible_patch_gets_the_papers_network(patch_size):
    build, reason = paper_network(unet(patch_size), patch_size)
    with torch.device("meta"):
        network = build(2, 2)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in MSCSNet.original().parameters())
    assert network.divisors == [16, 16, 16]
    assert "the paper's own" in reason


@pytest.mark.parametrize(
    ("patch_size", "said"),
    [
        ([20, 192, 192], "not divisible by 16. For the paper's own set patch_size in the plans to 16 x 192 x 192"),
        ([4, 88, 96], "to 16 x 96 x 96"),
        ([128, 128], "the paper's own is 3D"),
    ],
)
def test_other_patches_get_their_topology_with_the_papers_norm(patch_size, said):
    build, reason = paper_network(unet(patch_size), patch_size)
    network = build(2, 2)
    assert said in reason
    assert network.divisors == [2, *[4] * (len(patch_size) - 1)]
    assert {(type(m).__name__, m.eps, m.momentum) for m in norms(network)} == {
        (f"BatchNorm{len(patch_size)}d", 1e-3, 0.01)
    }
    scaled = {name for name, p in network.encoder.attention.named_parameters() if "norm.weight" in name}
    assert scaled == {f"{stage}.norm.weight" for stage in range(2)}


def test_plans_with_batch_norm_in_them_are_taken_as_they_are(preprocessed):
    architecture = planned(preprocessed)
    arguments = {"norm_op": "torch.nn.modules.batchnorm.BatchNorm3d", "norm_op_kwargs": {"eps": 0.25}}
    architecture["arch_kwargs"] = {**architecture["arch_kwargs"], **arguments}
    build, reason = paper_network(architecture, [16, 64, 64])
    network = build(2, 2)
    assert "the plans' own" in reason
    assert {module.eps for module in norms(network)} == {0.25}
    assert network.divisors != [16, 16, 16]


def test_plans_of_mscs_planner_with_its_instance_norm_are_not(preprocessed):
    architecture = planned(preprocessed)
    build, _ = paper_network(architecture, [8, 40, 40])
    assert all(isinstance(module, nn.BatchNorm3d) for module in norms(build(2, 2)))
    assert "InstanceNorm" in str(architecture["arch_kwargs"]["norm_op"])  # the plans themselves stay


def fitting(gigabytes: float, **options) -> tuple[int, str]:
    options = {"half_precision": True} | options
    return batch_size_that_fits(MSCSNet.original, 2, [16, 96, 96], gigabytes * GIGABYTE, **options)


def test_the_batch_is_the_papers_or_what_fits():
    assert fitting(80)[0] == 8
    assert "as in the paper" in fitting(80)[1]
    sizes = {gigabytes: fitting(gigabytes)[0] for gigabytes in np.arange(1, 12, 0.5)}
    assert list(sizes.values()) == sorted(sizes.values())
    assert {2, 8} < set(sizes.values()) <= set(range(2, 9))
    middle = next(gigabytes for gigabytes, size in sizes.items() if 2 < size < 8)
    assert "the largest that fits" in fitting(middle)[1]
    assert fitting(middle, half_precision=False)[0] < fitting(middle)[0]
    assert fitting(middle, workers=2)[0] > fitting(middle)[0]
    assert fitting(0.1)[0] == 2
    assert "it may not fit" in fitting(0.1)[1]
    assert fitting(0.1, workers=4)[0] == 4


def test_a_patch_that_ends_in_a_single_voxel_has_a_batch_size():
    """BatchNorm refuses to train on one value per channel."""
    size, _ = batch_size_that_fits(MSCSNet.original, 2, [16, 16, 16], 80 * GIGABYTE, half_precision=True)
    assert size == 8


def test_a_resumed_training_keeps_its_batch_size(new_trainer, monkeypatch):
    """Whatever memory is free then; and so does one that is resumed from a resumed one."""
    once = trainer_by_name("MSCSTrainerPaper_1epochs_1iterations")

    def resume(free: float) -> MSCSTrainerPaper:
        monkeypatch.setattr(paper_trainer, "free_memory_bytes", lambda _device: free)
        trainer = new_trainer(once)
        maybe_load_checkpoint(trainer, continue_training=True, validation_only=False)
        trainer.run_training()
        return trainer

    assert resume(0.0).batch_size == 2
    for _ in range(2):
        resumed = resume(1e12)
        assert (resumed.batch_size, resumed.dataloader_train.data_loader.batch_size) == (2, 2)
        assert "Batch size 2, that of the checkpoint" in Path(resumed.log_file).read_text()


def test_the_free_memory_is_that_of_the_machine():
    assert 0.1 < free_memory_bytes(torch.device("cpu")) / GIGABYTE < 1e5


def test_the_recipe(new_trainer):
    trainer = new_trainer(MSCSTrainerPaper)
    trainer.initialize()
    assert (trainer.num_epochs, trainer.patience) == (100, 70)
    assert (trainer.batch_size, trainer.oversample_foreground_percent) == (8, 0.33)
    assert trainer.plans_manager.plans["configurations"]["2d"]["batch_size"] != 8  # the plans themselves stay
    assert isinstance(trainer.optimizer, torch.optim.Adam)
    (group,) = trainer.optimizer.param_groups
    assert (group["lr"], group["eps"], group["betas"], group["weight_decay"]) == (1e-4, 1e-7, (0.9, 0.999), 0)
    for epoch in (0, 1, 99):
        trainer.lr_scheduler.step(epoch)
        assert group["lr"] == 1e-4
    image = torch.rand(2, 2, *trainer.configuration_manager.patch_size)
    assert trainer.network(image).shape == (2, 2, *image.shape[2:])
    log = Path(trainer.log_file).read_text()
    assert "Batch size 8, as in the paper" in log
    assert "the paper's own is 3D" in log


@pytest.mark.parametrize(("configuration", "in_plane"), [("2d", (0, 1)), ("3d_fullres", (1, 2))])
def test_patches_are_read_as_they_are_and_flipped_in_plane_in_training_alone(new_trainer, configuration, in_plane):
    trainer = new_trainer(MSCSTrainerPaper, configuration)
    _, dummy_2d, initial_patch, mirror_axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    assert (dummy_2d, mirror_axes) == (False, in_plane)
    assert initial_patch == trainer.configuration_manager.patch_size
    assert trainer.inference_allowed_mirroring_axes is None


def test_regions_are_refused(new_trainer):
    trainer = new_trainer(MSCSTrainerPaper)
    regions = {"labels": {"background": 0, "lesion": [1, 2], "core": [2]}, "regions_class_order": [1, 2]}
    trainer.label_manager = trainer.plans_manager.get_label_manager(trainer.dataset_json | regions)
    with pytest.raises(MscsError, match="regions"):
        trainer.initialize()


def test_steps_on_one_batch_lower_its_loss(new_trainer):
    torch.manual_seed(0)
    trainer = new_trainer(MSCSTrainerPaper)
    trainer.initialize()
    trainer.network.train()
    data = torch.rand(8, 2, *trainer.configuration_manager.patch_size)
    batch = {"data": data, "target": (data[:, :1] > 0.7).float()}
    losses = [float(trainer.train_step(batch)["loss"]) for _ in range(20)]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_it_trains_and_validates(new_trainer):
    trainer = new_trainer(SHORT, fold="all")
    trainer.run_training()
    trainer.perform_actual_validation()
    losses = trainer.logger.get_value("train_losses", step=None)
    assert len(losses) == 3
    assert all(0 < loss < 1.5 for loss in losses)
    assert trainer.dataloader_train.data_loader.patch_size[1:] == tuple(trainer.configuration_manager.patch_size)
    summary = json.loads((Path(trainer.output_folder) / "validation" / "summary.json").read_text())
    assert len(summary["metric_per_case"]) == 5


@pytest.mark.slow
def test_the_papers_network_trains_and_predicts(new_trainer, preprocessed, monkeypatch):
    """A patch of 16 x 32 x 32 voxels in the plans: prediction builds the paper's network, too."""
    file = preprocessed(601) / "MSCSPlans.json"
    text = file.read_text()
    plans = json.loads(text)
    plans["configurations"]["3d_fullres"]["patch_size"] = [16, 32, 32]
    try:
        file.write_text(json.dumps(plans))
        trainer = new_trainer(trainer_by_name("MSCSTrainerPaper_1epochs_1iterations"), "3d_fullres")
    finally:
        file.write_text(text)
    trainer.run_training()
    assert trainer.network.divisors == [16, 16, 16]
    predictor = nnUNetPredictor(device=torch.device("cpu"))
    predictor.initialize_from_trained_model_folder(trainer.output_folder_base, (0,))
    assert predictor.network.divisors == [16, 16, 16]
    logits = predictor.predict_sliding_window_return_logits(torch.rand(2, 8, 36, 36))
    assert logits.shape == (2, 8, 36, 36)
    assert torch.isfinite(logits).all()
