"""MSCSTrainer inside nnU-Net's own training loop."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.run.run_training import run_training
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.network import MSCSNet
from nnunetv2_mscs.planning.topology import paper_architecture
from nnunetv2_mscs.training import trainer as trainer_module
from nnunetv2_mscs.training.heads import HeadCounts
from nnunetv2_mscs.training.nonfinite import NonFiniteLossError, SkippedSteps
from nnunetv2_mscs.training.paper_trainer import MSCSTrainerPaper
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
    [(601, ["2d", "3d_lowres", "3d_cascade_fullres"]), (602, ["2d"])],
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


def test_validation_alone_and_training_from_pretrained_weights(preprocessed, tmp_path, monkeypatch, capsys):
    """As nnUNetv2_train with --val, and with -pretrained_weights."""
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    preprocessed(601)
    train = partial(run_training, "601", "2d", trainer_class_name=SHORT.__name__, device=torch.device("cpu"))
    train = partial(train, plans_identifier="MSCSPlans")
    train(0)
    fold = tmp_path / f"Dataset601_Small/{SHORT.__name__}__MSCSPlans__2d/fold_0"
    (fold / "validation/summary.json").unlink()
    train(0, only_run_validation=True)
    assert json.loads((fold / "validation/summary.json").read_text())["metric_per_case"]
    train(1, pretrained_weights=str(fold / "checkpoint_final.pth"))
    assert "Loading pretrained weights" in capsys.readouterr().out
    assert (fold.with_name("fold_1") / "validation/summary.json").is_file()


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


@pytest.mark.parametrize(("precision", "type_inside"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_a_cpu_with_tiles_computes_in_bfloat16_and_losses_and_weights_stay_float32(
    new_trainer, monkeypatch, precision, type_inside
):
    monkeypatch.setenv("MSCS_PRECISION", precision)
    trainer = new_trainer()
    trainer.initialize()
    seen, losses = [], []
    convolution = next(module for module in trainer.network.modules() if isinstance(module, nn.Conv2d))
    convolution.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    loss = trainer.loss
    monkeypatch.setattr(trainer, "loss", lambda output, target: losses.append(output[0].dtype) or loss(output, target))
    before = weights(trainer)
    assert np.isfinite(trainer.train_step(random_batch(trainer))["loss"])
    assert np.isfinite(trainer.validation_step(random_batch(trainer))["loss"])
    assert (set(seen), set(losses)) == ({type_inside}, {torch.float32})
    assert not same(before, weights(trainer))
    assert {parameter.dtype for parameter in trainer.network.parameters()} == {torch.float32}
    assert ("in bfloat16" in Path(trainer.log_file).read_text()) == (precision == "bfloat16")


def test_the_fastest_precision_is_taken_unless_another_is_named(new_trainer, monkeypatch):
    monkeypatch.delenv("MSCS_PRECISION", raising=False)
    monkeypatch.setattr(trainer_module, "fastest_precision", lambda device: "bfloat16")
    assert new_trainer().precision == "bfloat16"
    monkeypatch.setenv("MSCS_PRECISION", "float32")
    assert new_trainer().precision == "float32"
    monkeypatch.setenv("MSCS_PRECISION", "fp16")
    with pytest.raises(MscsError, match=r"MSCS_PRECISION is 'fp16'"):
        new_trainer()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_head_at_its_bias_is_known_in_any_precision(new_trainer, monkeypatch, precision):
    monkeypatch.setenv("MSCS_PRECISION", precision)
    trainer = new_trainer()
    trainer.initialize()
    heads = trainer.network.decoder.seg_layers
    for head in heads:
        nn.init.zeros_(head.weight)
    assert all((head.bias != head.bias.bfloat16()).any() for head in heads)
    for at_bias in (True, False):
        output = trainer.validation_step(random_batch(trainer))
        assert {result.at_bias for result in HeadCounts(output["heads"]).results()} == {at_bias}
        for head in heads:
            nn.init.normal_(head.weight)


@pytest.fixture(params=["no scaler", "scaler"])
def ready(request, new_trainer) -> MSCSTrainer:
    """A trainer about to make steps, on the CPU; with the gradient scaler by which GPUs train in mixed precision."""
    trainer = new_trainer()
    if request.param == "scaler":
        trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    trainer.initialize()
    trainer.network.train()
    return trainer


def test_a_step_changes_the_weights_and_is_nnunets(ready):
    before = weights(ready)
    output = ready.train_step(random_batch(ready))
    assert np.isfinite(output["loss"])
    assert not same(before, weights(ready))
    assert isinstance(ready.optimizer, torch.optim.SGD)


def test_the_learning_rate_falls_from_step_to_step_by_nnunets_schedule(new_trainer):
    trainer = new_trainer(SHORT)
    trainer.initialize()
    rates = []
    trainer.optimizer.register_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    trainer.run_training()
    assert rates == pytest.approx([0.02 * (1 - step / 4) ** 0.9 for step in range(4)])
    assert trainer.logger.get_value("lrs", step=None) == pytest.approx(rates[::2])


def test_a_step_without_finite_loss_is_skipped_and_counted(ready):
    ready.train_step(random_batch(ready))
    before = weights(ready)
    momentum = [state["momentum_buffer"].clone() for state in ready.optimizer.state.values()]
    output = ready.train_step(random_batch(ready, torch.nan))
    assert np.isnan(output["loss"])
    assert same(before, weights(ready))
    now = [state["momentum_buffer"] for state in ready.optimizer.state.values()]
    assert all(torch.equal(a, b) for a, b in zip(momentum, now, strict=True))
    assert (ready.skipped_steps.in_epoch, ready.skipped_steps.in_sequence) == (1, 1)
    ready.train_step(random_batch(ready))
    assert (ready.skipped_steps.in_epoch, ready.skipped_steps.in_sequence) == (1, 0)
    assert not same(before, weights(ready))


def test_many_skipped_steps_do_not_wear_down_the_gradient_scale(ready):
    """Halved at each of them, the scale would reach 0, and the next good step would destroy the weights."""
    good, bad = random_batch(ready), random_batch(ready, torch.nan)
    for _ in range(10):
        for _ in range(5):
            ready.train_step(bad)
        ready.train_step(good)
    assert ready.grad_scaler is None or ready.grad_scaler.get_scale() == 1024.0
    assert all(torch.isfinite(tensor).all() for tensor in weights(ready).values())


def test_finite_loss_with_gradients_that_are_not_is_skipped_and_counted(new_trainer):
    trainer = new_trainer()
    trainer.initialize()
    next(trainer.network.parameters()).register_hook(lambda gradient: gradient * torch.inf)
    before = weights(trainer)
    output = trainer.train_step(random_batch(trainer))
    assert np.isfinite(output["loss"])
    assert same(before, weights(trainer))
    assert trainer.skipped_steps.in_epoch == 1


def test_running_statistics_survive_a_batch_of_nan(new_trainer):
    trainer = new_trainer(norm_op="torch.nn.modules.batchnorm.BatchNorm2d")
    trainer.initialize()
    trainer.network.train()
    trainer.train_step(random_batch(trainer, torch.nan))
    statistics = {name: b for name, b in trainer.network.named_buffers() if "running" in name}
    assert statistics
    assert all(torch.isfinite(b).all() for b in statistics.values())


def test_training_stops_when_no_loss_is_finite_any_more(ready):
    for _ in range(19):
        ready.train_step(random_batch(ready, torch.nan))
    with pytest.raises(NonFiniteLossError, match="20 training steps in a row"):
        ready.train_step(random_batch(ready, torch.nan))


def test_training_stops_when_most_losses_of_an_epoch_are_not_finite():
    steps = SkippedSteps(limit=3)
    for _ in range(3):
        steps.skipped()
        steps.skipped()
        steps.finite()
    with pytest.raises(NonFiniteLossError, match="6 of 9 training steps of this epoch"):
        steps.end_epoch(9)
    steps.end_epoch(12)
    steps.begin_epoch()
    steps.end_epoch(0)


def test_a_short_training_without_a_finite_step_fails_and_saves_nothing(new_trainer, monkeypatch):
    trainer = new_trainer(SHORT)
    trainer.initialize()
    loss = trainer.loss
    monkeypatch.setattr(trainer, "loss", lambda *arguments: loss(*arguments) * torch.nan)
    with pytest.raises(NonFiniteLossError, match="in every training step, and nothing was learned or saved"):
        trainer.run_training()
    assert trainer.current_epoch == 2
    assert not list(Path(trainer.output_folder).glob("*.pth*"))


def test_the_epochs_loss_is_that_of_the_finite_steps(new_trainer, capsys):
    trainer = new_trainer()
    trainer.skipped_steps.finite()
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


def test_half_a_checkpoint_of_a_killed_run_never_replaces_a_whole_one(new_trainer, tmp_path):
    trainer = new_trainer()
    trainer.initialize()
    file, half = tmp_path / "checkpoint_latest.pth", tmp_path / ".part-checkpoint_latest.pth"
    trainer.save_checkpoint(str(file))
    written = file.read_bytes()
    half.write_bytes(b"half")
    trainer.disable_checkpointing = True
    trainer.save_checkpoint(str(file))
    assert file.read_bytes() == written
    trainer.disable_checkpointing = False
    trainer.save_checkpoint(str(file))
    assert torch.load(file, weights_only=False)["trainer_name"] == "MSCSTrainer"
    assert not half.exists()


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
    with pytest.raises(MscsError, match="no space"):
        trainer.save_checkpoint(str(file))
    assert file.read_bytes() == written


def test_two_stages_train_without_deep_supervision(new_trainer):
    """nnU-Net's weights for a single output would be 0 / 0."""
    assert new_trainer().enable_deep_supervision
    trainer = new_trainer(
        strides=[1, [2, 2]],
        kernel_sizes=[3, 3],
        decoder_kernel_sizes=[3, 3],
        features_per_stage=[8, 16],
        decoder_features_per_stage=[8, 16],
        dmsa_kernel_sizes=[[3, 5, 7]] * 2,
    )
    trainer.initialize()
    data = torch.rand(2, 2, *trainer.configuration_manager.patch_size)
    loss = trainer.train_step({"data": data, "target": (data[:, :1] > 0.5).float()})["loss"]
    assert np.isfinite(loss)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains_compiled_in_mixed_precision_and_resumes(new_trainer):
    trainer = new_trainer(SHORT, "3d_fullres", device="cuda")
    trainer.run_training()
    assert trainer.grad_scaler.get_scale() > 0
    assert np.isfinite(trainer.logger.get_value("train_losses", step=None)).all()
    resumed = new_trainer(SHORT, "3d_fullres", device="cuda")
    resumed.load_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
    assert resumed.current_epoch == 2
    resumed.perform_actual_validation()


UNET = "dynamic_network_architectures.architectures.unet.PlainConvUNet"


@pytest.fixture
def on_nnunets_plans(new_trainer):
    """A function that makes a trainer on plans with a U-Net in them, as nnU-Net's default planner writes them."""
    arguments = {
        "n_stages": 3,
        "features_per_stage": [32, 64, 128],
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "kernel_sizes": [[3, 3]] * 3,
        "strides": [[1, 1], [2, 2], [2, 2]],
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    }
    entry = {"network_class_name": UNET, "arch_kwargs": arguments, "_kw_requires_import": ["conv_op", "norm_op"]}
    return lambda trainer_class=SHORT, fold=0: new_trainer(trainer_class, architecture=entry, fold=fold)


@pytest.fixture
def former_trainer(on_nnunets_plans, monkeypatch):
    """A function that makes trainers as they were when the network did not stand in the model's plans."""

    def make(fold: int = 0) -> MSCSTrainer:
        with monkeypatch.context() as patch:
            patch.setattr(MSCSTrainer, "planned_architecture", staticmethod(lambda architecture, *_: architecture))
            return on_nnunets_plans(fold=fold)

    return make


def network_in(plans: dict) -> dict:
    return plans["configurations"]["2d"]["architecture"]


def test_the_network_stands_in_the_models_own_plans(on_nnunets_plans, preprocessed):
    trainer = on_nnunets_plans()
    trainer.run_training()
    folder = Path(trainer.output_folder)
    stored = json.loads((folder.parent / "plans.json").read_text())
    checkpoint = torch.load(folder / "checkpoint_final.pth", weights_only=False)
    for plans in (stored, checkpoint["init_args"]["plans"]):
        assert network_in(plans)["network_class_name"] == "nnunetv2_mscs.network.MSCSNet"
        assert network_in(plans)["arch_kwargs"]["decoder_features_per_stage"] == [24, 48, 48]
        assert network_in(plans)["arch_kwargs"]["stem_features"] > 0


def test_a_model_of_former_plans_predicts_and_goes_on_with_its_own_network(
    former_trainer, on_nnunets_plans, tmp_path, capsys
):
    """Its plans hold a U-Net; the network was, and stays, the paper's design."""
    former = former_trainer()
    former.initialize()
    former.save_checkpoint(str(tmp_path / "former.pth"))
    assert network_in(former.plans_manager.plans)["network_class_name"] == UNET
    assert former.network.decoder.stages[-1][0].conv.out_channels == 8
    manager = PlansManager(former.plans_manager.plans)
    predicting = MSCSTrainer.build_network_architecture(manager, manager.get_configuration("2d"), 2, 2, False)
    predicting.load_state_dict(former.network.state_dict())

    capsys.readouterr()
    resumed = on_nnunets_plans()
    resumed.load_checkpoint(str(tmp_path / "former.pth"))
    said = capsys.readouterr().out
    assert same(weights(former), weights(resumed))
    assert resumed.lr_scheduler.initial_lr == resumed.initial_lr == 0.01
    assert network_in(resumed.plans_manager.plans)["arch_kwargs"]["features_per_stage"] == [8, 16, 32]
    assert "The network is that of the checkpoint" in said
    assert "hold the paper's network" not in said


def test_a_new_fold_has_the_network_of_the_models_former_folds(former_trainer, on_nnunets_plans):
    former_trainer(fold=1).run_training()
    beside = on_nnunets_plans(fold=0)
    beside.run_training()
    assert beside.network.decoder.stages[-1][0].conv.out_channels == 8
    assert beside.lr_scheduler.initial_lr == 0.01
    log = Path(beside.log_file).read_text()
    assert "The network is that of fold_1 of this model" in log
    assert "hold the paper's network" in log
    for fold in (0, 1):
        plans = PlansManager(str(Path(beside.output_folder_base, "plans.json")))
        network = MSCSTrainer.build_network_architecture(plans, plans.get_configuration("2d"), 2, 2, False)
        file = Path(beside.output_folder_base, f"fold_{fold}", "checkpoint_final.pth")
        network.load_state_dict(torch.load(file, weights_only=False)["network_weights"])


def test_the_only_fold_of_a_model_is_trained_anew_with_the_planned_network(former_trainer, on_nnunets_plans, capsys):
    former_trainer().run_training()
    capsys.readouterr()
    again = on_nnunets_plans()
    again.initialize()
    assert again.network.decoder.stages[-1][0].conv.out_channels == 24
    assert again.optimizer.param_groups[0]["lr"] == again.initial_lr == 0.02
    assert "hold the paper's network" not in capsys.readouterr().out


def test_a_new_training_on_former_plans_of_ours_says_that_there_is_a_better_network(new_trainer, on_nnunets_plans):
    planned = on_nnunets_plans()
    former = paper_architecture(network_in(planned.plans_manager.plans), planned.configuration_manager.patch_size)
    trainer = new_trainer(SHORT, architecture=former)
    trainer.initialize()
    assert trainer.network.decoder.stages[-1][0].conv.out_channels == 8
    assert trainer.initial_lr == 0.01
    assert "hold the paper's network" in Path(trainer.log_file).read_text()
    paper = new_trainer(MSCSTrainerPaper, architecture=former)
    paper.initialize()
    assert "hold the paper's network" not in Path(paper.log_file).read_text()
