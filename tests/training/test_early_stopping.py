"""When training stops, what it keeps, and that a resumed training counts on."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.logging.nnunet_logger import MetaLogger

from nnunetv2_mscs.training.early_stopping import PSEUDO_DICE, VALIDATION_LOSS, moving_average
from nnunetv2_mscs.training.early_stopping_trainer import MSCSTrainerEarlyStopping
from nnunetv2_mscs.training.variants import trainer_by_name

NAN = math.nan
LOSSES = [0.9, 0.5, 0.7, 0.4, 0.6, 0.5, 0.8, 0.3]  # patience 2: best in epoch 3, stops after epoch 5


@pytest.mark.parametrize(
    ("losses", "best_epoch", "since"),
    [
        ([], None, 0),
        ([1.0], 0, 0),
        ([1.0, 0.5, 0.7], 1, 1),
        ([1.0, 1.0, 1.0], 0, 2),
        ([NAN, NAN], None, 2),
        ([NAN, 3.0, NAN, math.inf, -math.inf], 1, 3),
        ([2.0, NAN, 1.0], 2, 0),
    ],
)
def test_progress_is_the_age_of_the_first_best_finite_value(losses, best_epoch, since):
    progress = VALIDATION_LOSS.progress({"val_losses": losses})
    assert (progress.best_epoch, progress.epochs_since_best) == (best_epoch, since)
    assert math.isnan(progress.best) if best_epoch is None else progress.best == losses[best_epoch]


def test_the_moving_average_is_nnunets(tmp_path):
    dices = np.random.default_rng(0).random(30).tolist()
    logger = MetaLogger(tmp_path, False)
    for epoch, dice in enumerate(dices):
        logger.log("mean_fg_dice", dice, epoch)
    assert moving_average(dices) == pytest.approx(logger.get_value("ema_fg_dice", step=None), abs=1e-12)
    progress = PSEUDO_DICE.progress(logger.get_checkpoint())
    assert progress.best_epoch == int(np.argmax(logger.get_value("ema_fg_dice", step=None)))


def test_an_epoch_without_a_dice_leaves_the_moving_average():
    """nnU-Net's stays NaN from such an epoch on, and no later epoch could be the best."""
    assert moving_average([NAN, 0.5, NAN, 0.7]) == pytest.approx([NAN, 0.5, 0.5, 0.52], nan_ok=True)


def with_losses(trainer: MSCSTrainerEarlyStopping, losses: list[float]) -> None:
    """Training as it is, but with these validation losses and Dices of 1 - loss, and weights that tell their epoch."""

    def validation(_outputs):
        epoch = trainer.current_epoch
        with torch.no_grad():
            trainer.network.decoder.seg_layers[-1].bias.fill_(epoch)
        trainer.logger.log("mean_fg_dice", 1 - losses[epoch], epoch)
        trainer.logger.log("dice_per_class_or_region", [1 - losses[epoch]], epoch)
        trainer.logger.log("val_losses", losses[epoch], epoch)

    trainer.on_validation_epoch_end = validation


def epoch_of_weights(state: dict[str, torch.Tensor]) -> int:
    last_head = max(name for name in state if name.endswith(".bias") and "seg_layers" in name)
    return int(state[last_head][0])


def log_of(trainer: MSCSTrainerEarlyStopping) -> str:
    return "".join(file.read_text() for file in sorted(Path(trainer.output_folder).glob("training_log*.txt")))


def checkpoint(trainer: MSCSTrainerEarlyStopping, name: str) -> dict:
    return torch.load(Path(trainer.output_folder) / f"checkpoint_{name}.pth", weights_only=False)


PAPER = trainer_by_name("MSCSTrainerPaper_2patience_20epochs_1iterations")
DICE = trainer_by_name("MSCSTrainerEarlyStopping_2patience_20epochs_1iterations")
LONG = trainer_by_name("MSCSTrainerPaper_2patience_5epochs_1iterations")


def test_training_stops_keeps_the_best_weights_and_says_so(new_trainer):
    trainer = new_trainer(PAPER)
    with_losses(trainer, LOSSES)
    trainer.run_training()
    assert trainer.logger.get_value("val_losses", step=None) == LOSSES[:6]
    assert epoch_of_weights(trainer.network.state_dict()) == 3
    for name in ("best", "final"):
        assert epoch_of_weights(checkpoint(trainer, name)["network_weights"]) == 3
    assert checkpoint(trainer, "best")["current_epoch"] == 4
    assert checkpoint(trainer, "final")["current_epoch"] == 6
    assert not (Path(trainer.output_folder) / "checkpoint_latest.pth").exists()
    log = log_of(trainer)
    assert "Early stopping watches the validation loss: training ends after 2 epochs without a better one" in log
    assert "Early stopping after epoch 5. Best validation loss: 0.4000 in epoch 3; no better one for 2 of 2" in log
    assert "take the weights of epoch 3, the best by validation loss (0.4000)" in log


def test_the_moving_average_decides_where_it_is_watched(new_trainer):
    trainer = new_trainer(DICE)
    with_losses(trainer, [0.9, 0.2, 0.95, 0.95, 0.95, 0.95])
    trainer.run_training()
    # 0.1, then 0.1 * 0.9 + 0.8 * 0.1 = 0.17, then 0.158 and 0.1472
    assert len(trainer.logger.get_value("val_losses", step=None)) == 4
    assert epoch_of_weights(checkpoint(trainer, "final")["network_weights"]) == 1


def test_a_training_of_full_length_ends_with_its_best_weights_too(new_trainer):
    trainer = new_trainer(LONG)
    with_losses(trainer, LOSSES)
    trainer.run_training()
    assert len(trainer.logger.get_value("val_losses", step=None)) == 5
    assert epoch_of_weights(checkpoint(trainer, "final")["network_weights"]) == 3
    assert "Early stopping after" not in log_of(trainer)


def killed_in_epoch(epoch: int, make, trainer_class, losses: list[float] = LOSSES) -> MSCSTrainerEarlyStopping:
    """A training broken off at the end of an epoch's training steps, as it was left on the disk."""
    trainer = make(trainer_class)
    with_losses(trainer, losses)
    on_train_epoch_end = trainer.on_train_epoch_end

    def broken(outputs):
        if trainer.current_epoch == epoch:
            raise KeyboardInterrupt
        on_train_epoch_end(outputs)

    trainer.on_train_epoch_end = broken
    with pytest.raises(KeyboardInterrupt):
        trainer.run_training()
    return trainer


@pytest.mark.parametrize("epoch", [1, 4, 5])
def test_a_resumed_training_stops_where_it_would_have(new_trainer, epoch):
    killed = killed_in_epoch(epoch, new_trainer, PAPER)
    resumed = new_trainer(PAPER)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    assert resumed.current_epoch == killed.current_epoch == epoch
    assert resumed.progress == VALIDATION_LOSS.progress({"val_losses": LOSSES[:epoch]})
    with_losses(resumed, LOSSES)
    resumed.run_training()
    assert resumed.logger.get_value("val_losses", step=None) == LOSSES[:6]
    assert epoch_of_weights(checkpoint(resumed, "final")["network_weights"]) == 3


SPARSE = trainer_by_name("MSCSTrainerPaper_20patience_8epochs_1iterations")


@pytest.mark.parametrize(
    ("losses_of_the_resumed", "kept"),
    [
        # Worse than the broken off run's epoch 3, though better than all that the resumed history knows.
        ([0.9, 0.5, 0.45, 0.44, 0.6, 0.6, 0.6, 0.43], {"epoch": 3, "loss": 0.4, "weights": 1003}),
        # Better than both.
        ([0.9, 0.5, 0.45, 0.44, 0.3, 0.6, 0.6, 0.6], {"epoch": 4, "loss": 0.3, "weights": 4}),
        # Never as good as the history.
        ([0.9, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6], {"epoch": 3, "loss": 0.4, "weights": 1003}),
    ],
    ids=["bar not reached", "better", "worse"],
)
def test_weights_of_an_epoch_after_the_resumed_checkpoint_are_replaced_by_better_ones_alone(
    new_trainer, monkeypatch, losses_of_the_resumed, kept
):
    """checkpoint_latest of epoch 1 (best 0.5), checkpoint_best of epoch 3 (0.4), and the run broke off after it."""
    on_train_start = SPARSE.on_train_start

    def saves_every_second_epoch(trainer):
        on_train_start(trainer)
        trainer.save_every = 100 if trainer.current_epoch else 2

    monkeypatch.setattr(SPARSE, "on_train_start", saves_every_second_epoch)
    killed = killed_in_epoch(3, new_trainer, SPARSE, [0.9, 0.5, 0.7])
    folder = Path(killed.output_folder)
    assert checkpoint(killed, "latest")["current_epoch"] == 2
    best = checkpoint(killed, "best")
    best["logging"]["val_losses"] += [0.7, 0.4]
    best["network_weights"] = {
        name: torch.full_like(tensor, 1003) if "seg_layers" in name else tensor
        for name, tensor in best["network_weights"].items()
    }
    torch.save(best, folder / "checkpoint_best.pth")

    resumed = new_trainer(SPARSE)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    with_losses(resumed, losses_of_the_resumed)
    resumed.run_training()
    assert resumed.logger.get_value("val_losses", step=None) == losses_of_the_resumed
    for name in ("best", "final"):
        assert epoch_of_weights(checkpoint(resumed, name)["network_weights"]) == kept["weights"]
    log = log_of(resumed)
    assert "checkpoint_best.pth holds epoch 3 (0.4000), which the history of the checkpoint resumed from lacks" in log
    assert f"take the weights of epoch {kept['epoch']}, the best by validation loss ({kept['loss']:.4f})" in log
    assert ("it is of a run that broke off, and not in the history" in log) == (kept["weights"] == 1003)


def test_patience_counts_by_the_resumed_history(new_trainer):
    """An epoch that beats the history, but not the lost one in checkpoint_best.pth, begins the count anew."""
    killed = killed_in_epoch(2, new_trainer, PAPER)
    file = Path(killed.output_folder) / "checkpoint_best.pth"
    best = checkpoint(killed, "best")
    best["logging"]["val_losses"] += [0.1]
    torch.save(best, file)
    resumed = new_trainer(PAPER)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    with_losses(resumed, LOSSES)
    resumed.run_training()
    assert resumed.logger.get_value("val_losses", step=None) == LOSSES[:6]
    assert epoch_of_weights(checkpoint(resumed, "final")["network_weights"]) == 1


def test_the_best_weights_of_another_training_are_no_bar(new_trainer):
    """They are still in the folder where no epoch of this training has had a finite value yet."""
    old = killed_in_epoch(1, new_trainer, PAPER)
    killed_in_epoch(1, new_trainer, PAPER, [NAN])
    assert checkpoint(old, "best")["logging"]["val_losses"] == LOSSES[:1]
    resumed = new_trainer(PAPER)
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    losses = [NAN, 2.0, 1.5, 1.6, 1.7]
    with_losses(resumed, losses)
    resumed.run_training()
    assert epoch_of_weights(checkpoint(resumed, "final")["network_weights"]) == 2


def test_a_stopped_training_does_not_go_on(new_trainer, monkeypatch):
    """Neither from checkpoint_final, nor from checkpoint_latest where it was killed between stop and end."""
    trainer = new_trainer(PAPER)
    with_losses(trainer, LOSSES)
    monkeypatch.setattr(trainer, "on_train_end", lambda: None)
    trainer.run_training()
    for name in ("latest", "final"):
        assert sorted(Path(trainer.output_folder).glob(f"checkpoint_{name}.pth"))
        resumed = new_trainer(PAPER)
        maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
        assert resumed.current_epoch == 6
        monkeypatch.setattr(resumed, "train_step", None)
        resumed.run_training()
        assert epoch_of_weights(resumed.network.state_dict()) == 3
        assert checkpoint(resumed, "final")["current_epoch"] == 6


def test_the_best_of_the_epoch_is_kept_before_any_other_checkpoint_knows_of_it(new_trainer, monkeypatch):
    trainer = new_trainer(PAPER)
    written = []
    replace = os.replace
    monkeypatch.setattr(
        os, "replace", lambda a, b: (written.append((Path(b).stem, trainer.current_epoch)), replace(a, b))
    )
    with_losses(trainer, LOSSES)
    trainer.run_training()
    assert [name for name, epoch in written if epoch == 3] == ["checkpoint_best", "checkpoint_latest"]
    assert [epoch for name, epoch in written if name == "checkpoint_best"] == [0, 1, 3]


def test_without_checkpoints_it_stops_and_keeps_the_last_weights(new_trainer):
    folder = Path(new_trainer(PAPER).output_folder)
    (folder / "checkpoint_best.pth").write_bytes(b"of another training")
    trainer = new_trainer(PAPER)
    trainer.disable_checkpointing = True
    with_losses(trainer, LOSSES)
    trainer.run_training()
    assert epoch_of_weights(trainer.network.state_dict()) == 5
    assert "Checkpoints are disabled: the weights stay those of the last epoch" in log_of(trainer)


def test_without_checkpoints_a_resumed_training_keeps_the_last_weights_too(new_trainer):
    killed_in_epoch(1, new_trainer, PAPER)
    resumed = new_trainer(PAPER)
    resumed.disable_checkpointing = True
    maybe_load_checkpoint(resumed, continue_training=True, validation_only=False)
    with_losses(resumed, LOSSES)
    resumed.run_training()
    assert epoch_of_weights(resumed.network.state_dict()) == 5
    assert epoch_of_weights(checkpoint(resumed, "best")["network_weights"]) == 0


@pytest.mark.parametrize("trainer_class", [DICE, PAPER])
def test_nothing_learned_stops_after_the_patience(new_trainer, monkeypatch, trainer_class):
    """Frozen weights and one and the same validation batch: nnU-Net's own validation, whose values never change."""
    trainer = new_trainer(trainer_class)
    trainer.initialize()
    monkeypatch.setattr(trainer.lr_scheduler, "initial_lr", 0.0)
    get_dataloaders = trainer.get_dataloaders

    def same_batches():
        training, validation = get_dataloaders()
        batch = next(validation)
        return training, iter(lambda: dict(batch), None)

    monkeypatch.setattr(trainer, "get_dataloaders", same_batches)
    for module in trainer.network.modules():
        if hasattr(module, "momentum"):
            module.momentum = 0.0
    trainer.run_training()
    assert len(trainer.logger.get_value("val_losses", step=None)) == 3
    assert checkpoint(trainer, "best")["current_epoch"] == 1


def test_prediction_finds_the_best_weights(new_trainer):
    trainer = new_trainer(PAPER)
    with_losses(trainer, LOSSES)
    trainer.run_training()
    predictor = nnUNetPredictor(device=torch.device("cpu"))
    predictor.initialize_from_trained_model_folder(trainer.output_folder_base, (0,))
    assert epoch_of_weights(predictor.list_of_parameters[0]) == 3
    assert predictor.allowed_mirroring_axes is None
