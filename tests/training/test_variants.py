"""Trainers by name."""

import pickle

import pytest
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

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
        ("MSCSTrainerEarlyStopping", 1000, 250, 50),
        ("MSCSTrainerEarlyStopping_5patience_200epochs_50iterations", 200, 50, 10),
        ("MSCSTrainerLesion", 1000, 250, 50),
        ("MSCSTrainerLesion_5epochs_50iterations", 5, 50, 10),
        ("MSCSTrainerPaper", 100, 250, 50),
        ("MSCSTrainerPaper_40epochs", 40, 250, 50),
        ("MSCSTrainerPaper_10patience", 100, 250, 50),
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


@pytest.mark.parametrize(
    ("name", "patience"),
    [
        ("MSCSTrainerEarlyStopping", 70),
        ("MSCSTrainerEarlyStopping_1patience", 1),
        ("MSCSTrainerEarlyStopping_5epochs_2iterations", 70),
        ("MSCSTrainerPaper", 70),
        ("MSCSTrainerPaper_3patience_40epochs_10iterations", 3),
    ],
)
def test_the_name_is_the_patience(name, patience):
    assert trainer_by_name(name).patience == patience


@pytest.mark.parametrize(
    "name",
    [
        "MSCSTrainer_4epochs_2iterations",
        "MSCSTrainerEarlyStopping_9patience",
        "MSCSTrainerLesion",
        "MSCSTrainerLesion_5epochs_50iterations",
        "MSCSTrainerPaper_4epochs",
    ],
)
def test_a_name_gives_one_class_that_pickles(name):
    trainer_class = trainer_by_name(name)
    assert trainer_class is trainer_by_name(name)
    assert recursive_find_trainer_class_by_name(name) is trainer_class
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
        "MSCSTrainer_5patience",
        "MSCSTrainer_5patience_5epochs",
        "MSCSTrainerEarlyStopping_0patience",
        "MSCSTrainerEarlyStopping_5epochs_5patience",
        "MSCSTrainerEarlyStopping_5patience_5iterations",
        "MSCSTrainerEarlyStopping_patience",
        "MSCSTrainerLesion_5patience",
        "MSCSTrainerPaper_5patience_0epochs",
        "MSCSTrainerPaper_5iterations",
        "nnUNetTrainer_5epochs",
        "MSCSPlanner",
    ],
)
def test_other_names_are_no_trainers(name):
    assert trainer_by_name(name) is None
    assert not hasattr(training, name)
