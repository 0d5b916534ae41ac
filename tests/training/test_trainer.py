"""MSCSTrainer inside nnU-Net's own training loop."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn

from nnunetv2_mscs.network import MSCSNet
from nnunetv2_mscs.training.nonfinite import NonFiniteLossError
from nnunetv2_mscs.training.trainer import MSCSTrainer
from nnunetv2_mscs.training.variants import trainer_by_name

SHORT = trainer_by_name("MSCSTrainer_2epochs_2iterations")
CONV = "torch.nn.modules.conv.Conv3d"


def random_batch(trainer: MSCSTrainer, value: float | None = None) -> dict:
    """A training batch at every resolution that deep supervision asks for; all of it `value`, if given."""
    patch = trainer.configuration_manager.patch_size
    data = torch.rand(2, trainer.num_input_channels, *patch)
    if value is not None:
        data[:] = value
    scales = trainer._get_deep_supervision_scales()
    sizes = [[round(n * s) for n, s in zip(patch, scale, strict=True)] for scale in scales]
    return {"data": data, "target": [(torch.rand(2, 1, *size) > 0.5).float() for size in sizes]}


def weights(trainer: MSCSTrainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset_id", "configurations"),
    [(601, ["2d", "3d_lowres", "3d_cascade_fullres"]), (602, ["2d", "3d_fullres"])],
    ids=["cascade", "regions and ignore label"],
)
def test_configurations_train_and_validate(new_trainer, dataset_id, configurations):
    for configuration in configurations:
        trainer = new_trainer(SHORT, configuration, dataset_id, fold="all")
        trainer.run_training()
        trainer.perform_actual_validation()
        losses = trainer.logger.get_value("train_losses", step=None)
        assert len(losses) == 2
        assert np.isfinite(losses).all()
        folder = Path(trainer.output_folder)
        summary = json.loads((folder / "validation" / "summary.json").read_text())
        assert len(summary["metric_per_case"]) == 5
        checkpoint = torch.load(folder / "checkpoint_final.pth", weights_only=False)
        assert checkpoint["trainer_name"] == "MSCSTrainer_2epochs_2iterations"
        assert isinstance(trainer.network, MSCSNet)


@pytest.mark.parametrize(
    "norm", ["torch.nn.modules.instancenorm.InstanceNorm3d", "torch.nn.modules.batchnorm.BatchNorm3d"]
)
@pytest.mark.parametrize("unet", ["PlainConvUNet", "ResidualEncoderUNet"])
def test_nnunets_plans_give_mscs_net_of_their_topology(preprocessed, unet, norm):
    plans = json.loads((preprocessed(601) / "MSCSPlans.json").read_text())
    plans["configurations"]["3d_fullres"]["patch_size"] = [8, 32, 32]
    plans["configurations"]["3d_fullres"]["architecture"] = {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{unet}",
        "arch_kwargs": {
            "n_stages": 3,
            "features_per_stage": [32, 64, 128],
            "conv_op": CONV,
            "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
            "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
            "norm_op": norm,
            "norm_op_kwargs": {"eps": 0.25, "affine": True},
            "nonlin": "torch.nn.LeakyReLU",
        },
        "_kw_requires_import": ["conv_op", "norm_op", "nonlin"],
    }
    manager = PlansManager(plans)
    network = MSCSTrainer.build_network_architecture(manager, manager.get_configuration("3d_fullres"), 2, 2, True)
    assert isinstance(network, MSCSNet)
    assert network.divisors == [2, 4, 4]
    assert {m.eps for m in network.modules() if isinstance(m, nn.InstanceNorm3d | nn.BatchNorm3d)} == {0.25}
    assert {m.kernel_size for m in network.decoder.stages[-1].modules() if isinstance(m, nn.Conv3d)} == {(1, 3, 3)}
    assert [tuple(level.shape[2:]) for level in network(torch.rand(1, 2, 8, 32, 32))] == [(8, 32, 32), (8, 16, 16)]


def test_a_step_changes_the_weights_and_is_nnunets(new_trainer):
    trainer = new_trainer()
    trainer.initialize()
    trainer.network.train()
    before = weights(trainer)
    output = trainer.train_step(random_batch(trainer))
    assert np.isfinite(output["loss"])
    assert not same(before, weights(trainer))
    assert isinstance(trainer.optimizer, torch.optim.SGD)


def test_a_step_without_finite_loss_is_skipped_and_counted(new_trainer):
    trainer = new_trainer()
    trainer.initialize()
    trainer.network.train()
    trainer.train_step(random_batch(trainer))
    before = weights(trainer)
    momentum = [state["momentum_buffer"].clone() for state in trainer.optimizer.state.values()]
    output = trainer.train_step(random_batch(trainer, torch.nan))
    assert np.isnan(output["loss"])
    assert same(before, weights(trainer))
    now = [state["momentum_buffer"] for state in trainer.optimizer.state.values()]
    assert all(torch.equal(a, b) for a, b in zip(momentum, now, strict=True))
    assert (trainer.skipped_steps.in_epoch, trainer.skipped_steps.in_sequence) == (1, 1)
    trainer.train_step(random_batch(trainer))
    assert (trainer.skipped_steps.in_epoch, trainer.skipped_steps.in_sequence) == (1, 0)
    assert not same(before, weights(trainer))


def test_gradients_that_are_not_finite_move_no_weight(new_trainer):
    trainer = new_trainer()
    trainer.initialize()
    before = weights(trainer)
    for parameter in trainer.network.parameters():
        parameter.grad = torch.ones_like(parameter)
    next(trainer.network.parameters()).grad[:] = torch.inf
    trainer.optimizer.step()
    assert same(before, weights(trainer))


def test_running_statistics_survive_a_batch_of_nan(new_trainer):
    trainer = new_trainer(norm_op="torch.nn.modules.batchnorm.BatchNorm2d")
    trainer.initialize()
    trainer.network.train()
    trainer.train_step(random_batch(trainer, torch.nan))
    statistics = {name: b for name, b in trainer.network.named_buffers() if "running" in name}
    assert statistics
    assert all(torch.isfinite(b).all() for b in statistics.values())


def test_training_stops_when_no_loss_is_finite_any_more(new_trainer):
    trainer = new_trainer()
    trainer.initialize()
    trainer.network.train()
    for _ in range(19):
        trainer.train_step(random_batch(trainer, torch.nan))
    with pytest.raises(NonFiniteLossError, match="20 training steps in a row"):
        trainer.train_step(random_batch(trainer, torch.nan))


def test_a_short_training_without_a_finite_step_ends_in_the_same_error(new_trainer):
    trainer = new_trainer(SHORT)
    trainer.initialize()
    trainer.network.train()
    for _ in range(4):
        trainer.train_step(random_batch(trainer, torch.nan))
    with pytest.raises(NonFiniteLossError, match="4 training steps in a row"):
        trainer.on_train_end()
    assert not list(Path(trainer.output_folder).glob("*.pth"))


def test_the_epochs_loss_is_that_of_the_finite_steps(new_trainer, capsys):
    trainer = new_trainer()
    trainer.skipped_steps.skipped()
    trainer.on_train_epoch_end([{"loss": np.array(v)} for v in (1.0, np.nan, 2.0)])
    assert trainer.logger.get_value("train_losses", step=-1) == 1.5
    assert "1 of 3 training steps were skipped" in capsys.readouterr().out


def test_a_checkpoint_of_nan_is_never_written(new_trainer, tmp_path):
    trainer = new_trainer()
    trainer.initialize()
    file = tmp_path / "checkpoint_latest.pth"
    trainer.save_checkpoint(str(file))
    written = file.read_bytes()
    with torch.no_grad():
        trainer.network.decoder.seg_layers[-1].bias[0] = torch.nan
    with pytest.raises(NonFiniteLossError, match=r"seg_layers\.\d\.bias holds NaN"):
        trainer.save_checkpoint(str(file))
    assert file.read_bytes() == written
    assert [path.name for path in tmp_path.glob("*.pth*")] == [file.name]


def test_a_checkpoint_appears_whole(new_trainer, tmp_path, monkeypatch):
    """A write that breaks off leaves the checkpoint before it in place."""
    trainer = new_trainer()
    trainer.initialize()
    file = tmp_path / "checkpoint_latest.pth"
    trainer.save_checkpoint(str(file))
    written = file.read_bytes()

    def breaks_off(_checkpoint, name):
        Path(name).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", breaks_off)
    with pytest.raises(OSError, match="no space"):
        trainer.save_checkpoint(str(file))
    assert file.read_bytes() == written


def test_two_stages_train_without_deep_supervision(new_trainer):
    """nnU-Net's weights for a single output would be 0 / 0."""
    assert new_trainer().enable_deep_supervision
    trainer = new_trainer(
        strides=[1, [2, 2]], kernel_sizes=[3, 3], features_per_stage=[8, 16], dmsa_kernel_sizes=[[3, 5, 7]] * 2
    )
    trainer.initialize()
    data = torch.rand(2, 2, *trainer.configuration_manager.patch_size)
    loss = trainer.train_step({"data": data, "target": (data[:, :1] > 0.5).float()})["loss"]
    assert np.isfinite(loss)
