"""MSCSTrainerAdapt begins with the weights beside its plans, gently, also where it begins anew."""

import math
from pathlib import Path

import pytest
import torch

from nnunetv2_mscs.nnunet_files.plans import weights_beside
from nnunetv2_mscs.training import MSCSTrainer
from nnunetv2_mscs.training.adapting_trainer import LEARNING_RATE, WARM_UP_STEPS, go_half_way_back, shift_threshold
from nnunetv2_mscs.training.variants import trainer_by_name

SHORT = trainer_by_name("MSCSTrainerAdapt_2epochs_3iterations")


def test_weights_warm_up_and_a_start_anew(new_trainer, preprocessed):
    base = new_trainer(MSCSTrainer)
    base.initialize()
    weights = {name: tensor.clone() for name, tensor in base.network.state_dict().items()}
    trainer = new_trainer(SHORT)
    file = weights_beside(preprocessed(601), trainer.plans_manager.plans_name)
    with pytest.raises(FileNotFoundError, match="plans of mscs adapt alone"):
        trainer.initialize()
    torch.save({"network_weights": weights, "threshold": 0.2}, file)
    try:
        trainer = new_trainer(SHORT)
        trainer.initialize()
        assert all(torch.equal(weights[name], tensor) for name, tensor in trainer.network.state_dict().items())
        rates = []
        trainer.optimizer.register_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
        trainer.run_training()
        falling = [LEARNING_RATE * (1 - step / 6) ** 0.9 for step in range(6)]
        assert rates == pytest.approx([rate * (step + 1) / WARM_UP_STEPS for step, rate in enumerate(falling)])
        assert not all(torch.equal(weights[name], tensor) for name, tensor in trainer.network.state_dict().items())
        _assert_half_way(trainer, weights)
        trainer.on_train_end()  # as where a finished training is started again
        _assert_half_way(trainer, weights)
        trainer.reset_training(seed=1)
        assert all(torch.equal(weights[name], tensor) for name, tensor in trainer.network.state_dict().items())
    finally:
        file.unlink()


def _assert_half_way(trainer, beginning):
    best, final = (
        torch.load(Path(trainer.output_folder, f"checkpoint_{name}.pth"), weights_only=False)["network_weights"]
        for name in ("best", "final")
    )
    assert any(not torch.equal(best[name], beginning[name]) for name in best)
    last = len(trainer.network.decoder.seg_layers) - 1
    bias = f"decoder.seg_layers.{last}.bias"
    for name, tensor in final.items():
        expected = (best[name] + beginning[name]) / 2
        if name == bias:
            expected[1:] += math.log(0.8 / 0.2)
        torch.testing.assert_close(tensor, expected)
        torch.testing.assert_close(trainer.network.state_dict()[name], tensor)


def test_a_network_with_batch_norms_goes_half_way_back():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    beginning = {name: tensor.float() + 1 for name, tensor in network.state_dict().items()}
    trained = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    go_half_way_back(network, beginning)
    for name, tensor in network.state_dict().items():
        added = 0 if name.endswith("num_batches_tracked") else 0.5
        torch.testing.assert_close(tensor, trained[name] + added, check_dtype=False)


def test_half_of_the_new_scale_is_the_threshold_of_the_old():
    torch.manual_seed(0)
    head, features = torch.nn.Conv2d(4, 2, 1), torch.randn(1, 4, 16, 16)
    before = head(features).softmax(1)[:, 1] >= 0.2
    shift_threshold(head, 0.2, regions=False)
    assert torch.equal(head(features).argmax(1) == 1, before)
    assert 0 < before.sum() < before.numel()


def test_the_name_has_the_length():
    plain = trainer_by_name("MSCSTrainerAdapt")
    assert (plain.epochs, plain.patience) == (100, 20)
    other = trainer_by_name("MSCSTrainerAdapt_5patience_30epochs_50iterations")
    assert (other.patience, other.epochs, other.iterations) == (5, 30, 50)
