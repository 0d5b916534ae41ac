"""Trainers by name."""

import pickle

import pytest

from nnunetv2_mscs import training
from nnunetv2_mscs.training.trainer import MSCSTrainer
from nnunetv2_mscs.training.variants import trainer_by_name


@pytest.mark.parametrize(
    ("name", "epochs", "iterations", "validation_iterations"),
    [
        ("MSCSTrainer", 1000, 250, 50),
        ("MSCSTrainer_1epochs", 1, 250, 50),
        ("MSCSTrainer_137epochs", 137, 250, 50),
        ("MSCSTrainer_3epochs_1iterations", 3, 1, 1),
        ("MSCSTrainer_3epochs_25iterations", 3, 25, 5),
        ("MSCSTrainer_3epochs_500iterations", 3, 500, 100),
    ],
)
def test_the_name_is_the_length(new_trainer, name, epochs, iterations, validation_iterations):
    trainer = new_trainer(getattr(training, name))
    assert type(trainer).__name__ == name
    assert trainer.num_epochs == epochs
    assert trainer.num_iterations_per_epoch == iterations
    assert trainer.num_val_iterations_per_epoch == validation_iterations
    assert name in trainer.output_folder
    assert 1 <= trainer.save_every <= max(1, epochs // 10)


def test_a_name_gives_one_class_that_pickles():
    trainer_class = trainer_by_name("MSCSTrainer_4epochs_2iterations")
    assert trainer_class is trainer_by_name("MSCSTrainer_4epochs_2iterations")
    assert issubclass(trainer_class, MSCSTrainer)
    assert pickle.loads(pickle.dumps(trainer_class)) is trainer_class


@pytest.mark.parametrize(
    "name",
    [
        "MSCSTrainer_0epochs",
        "MSCSTrainer_epochs",
        "MSCSTrainer_5epochs_0iterations",
        "MSCSTrainer_5iterations",
        "MSCSTrainer_5epochs_extra",
        "MSCSTrainer5epochs",
        "nnUNetTrainer_5epochs",
        "MSCSPlanner",
    ],
)
def test_other_names_are_no_trainers(name):
    assert trainer_by_name(name) is None
    assert not hasattr(training, name)
