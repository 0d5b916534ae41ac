"""MSCSTrainerAdapt begins with the weights beside its plans, gently, also where it begins anew."""

import pytest
import torch

from nnunetv2_mscs.nnunet_files.plans import weights_beside
from nnunetv2_mscs.training import MSCSTrainer
from nnunetv2_mscs.training.adapting_trainer import LEARNING_RATE, WARM_UP_STEPS
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
    torch.save({"network_weights": weights}, file)
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
        trainer.reset_training(seed=1)
        assert all(torch.equal(weights[name], tensor) for name, tensor in trainer.network.state_dict().items())
    finally:
        file.unlink()


def test_the_name_has_the_length():
    plain = trainer_by_name("MSCSTrainerAdapt")
    assert (plain.epochs, plain.patience) == (100, 20)
    other = trainer_by_name("MSCSTrainerAdapt_5patience_30epochs_50iterations")
    assert (other.patience, other.epochs, other.iterations) == (5, 30, 50)
