"""How much a training loses that is killed: checkpoints within epochs and between them, and what is resumed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.training.nnUNetTrainer.variants.training_length.nnUNetTrainer_Xepochs import nnUNetTrainer_5epochs

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.checkpoints import LATEST_CHECKPOINT
from nnunetv2_mscs.training import timely as module
from nnunetv2_mscs.training.early_stopping_trainer import MSCSTrainerEarlyStopping
from nnunetv2_mscs.training.timely import MINUTES, TimelyCheckpoints, timely
from nnunetv2_mscs.training.variants import trainer_by_name

OURS = trainer_by_name("MSCSTrainer_3epochs_10iterations")  # and 2 of validation


class Stock(nnUNetTrainer):
    """A trainer that knows nothing of ours."""

    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 3, 10, 2


@pytest.fixture
def start(new_trainer):
    """A function that makes a trainer, new or resumed, which keeps the losses of its training and validation steps."""

    def make(trainer_class=OURS, *, resume: bool = False) -> nnUNetTrainer:
        trainer = new_trainer(trainer_class)
        trainer.configuration_manager.configuration["batch_size"] = 2
        maybe_load_checkpoint(trainer, continue_training=resume, validation_only=False)
        trainer.plot_network_architecture = lambda: None
        trainer.losses = {"train_step": [], "validation_step": []}
        for name, losses in trainer.losses.items():
            setattr(trainer, name, _recorded(getattr(trainer, name), losses))
        return trainer

    return make


def _recorded(step, losses: list[float]):
    def recorded(batch):
        output = step(batch)
        losses.append(float(output["loss"]))
        return output

    return recorded


def killed(trainer: nnUNetTrainer, *, step: int) -> nnUNetTrainer:
    """The trainer after it was broken off within its step of that number; training and validation count alike."""
    steps = iter(range(step))

    def breaks_off(*_):
        if next(steps, None) is None:
            raise KeyboardInterrupt

    if not trainer.was_initialized:
        trainer.initialize()
    trainer.network.register_forward_pre_hook(breaks_off)
    with pytest.raises(KeyboardInterrupt):
        trainer.run_training()
    return trainer


def checkpoint(trainer: nnUNetTrainer, name: str = LATEST_CHECKPOINT) -> dict:
    return torch.load(Path(trainer.output_folder) / name, weights_only=False)


def log_of(trainer: nnUNetTrainer) -> str:
    return "".join(file.read_text() for file in sorted(Path(trainer.output_folder).glob("training_log*.txt")))


def history(trainer: nnUNetTrainer, name: str) -> list[float]:
    return trainer.logger.get_value(name, step=None)


@pytest.mark.parametrize("trainer_class", [OURS, timely(Stock)], ids=["ours", "stock"])
def test_a_training_killed_within_an_epoch_makes_the_steps_that_are_left(start, monkeypatch, trainer_class):
    monkeypatch.setenv(MINUTES, "0")
    first = killed(start(trainer_class), step=12 + 7)
    assert history(first, "epoch_end_timestamps")[1:] == []
    resumed = start(trainer_class, resume=True)
    assert resumed.current_epoch == 1
    for name, tensor in checkpoint(first)["network_weights"].items():
        assert torch.equal(tensor, first.network.state_dict()[name])
    resumed.run_training()
    assert [len(losses) for losses in first.losses.values()] == [17, 2]
    assert [len(losses) for losses in resumed.losses.values()] == [3 + 10, 2 + 2]
    losses = [*first.losses["train_step"], *resumed.losses["train_step"]]
    assert history(resumed, "train_losses") == pytest.approx(np.reshape(losses, (3, 10)).mean(axis=1))
    assert all(len(values) == 3 for values in resumed.logger.get_checkpoint().values())
    assert checkpoint(resumed, "checkpoint_final.pth")["current_epoch"] == 3
    log = log_of(resumed)
    for line in (
        "Training epochs 0 to 2",
        "Training epochs 1 to 2",
        "Epoch 1 goes on after 7 of 10 iterations",
        "Checkpoint within epoch 1 after 8 of 10 iterations",
        "Checkpoint within epoch 2 after 1 of 2 iterations of its validation",
    ):
        assert f"{line} \n" in log


def test_a_training_killed_within_a_validation_goes_on_there(start, monkeypatch):
    monkeypatch.setenv(MINUTES, "0")
    first = killed(start(), step=11)
    resumed = start(resume=True)
    killed(resumed, step=1)
    assert resumed.losses["train_step"] == []
    losses = first.losses["validation_step"] + resumed.losses["validation_step"]
    assert history(resumed, "val_losses") == pytest.approx([np.mean(losses)])
    assert history(resumed, "train_losses") == pytest.approx([np.mean(first.losses["train_step"])])
    assert "Epoch 0 goes on after 1 of 2 iterations of its validation" in log_of(resumed)


def test_an_epochs_time_is_that_of_its_training(start, monkeypatch):
    now = [1000.0]
    for place in ("nnunetv2.training.nnUNetTrainer.nnUNetTrainer", module.__name__):
        monkeypatch.setattr(f"{place}.time", lambda: now[0])
    monkeypatch.setenv(MINUTES, "0")

    def a_second(*_):
        now[0] += 1

    for resume in (False, True):
        trainer = start(resume=resume)
        if not resume:
            trainer.initialize()
        trainer.network.register_forward_pre_hook(a_second)
        killed(trainer, step=8)
        now[0] += 3600  # the queue
    seconds = history(trainer, "epoch_end_timestamps")[0] - history(trainer, "epoch_start_timestamps")[0]
    # Of the first training 8 seconds were saved: its ninth step was begun, and lost.
    assert seconds == 12


@pytest.mark.parametrize("seconds_a_step", [1, 24, 31])
def test_no_more_than_the_limit_and_a_step_are_ever_lost(start, monkeypatch, seconds_a_step):
    now = [0.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "time", lambda: now[0])
    monkeypatch.setattr("nnunetv2.training.nnUNetTrainer.nnUNetTrainer.time", lambda: now[0])
    trainer = start()
    trainer.initialize()
    trainer.save_every = 1000
    saved_s, save = [0.0], trainer.save_checkpoint

    def recorded(filename):
        save(filename)
        if Path(filename).name != "checkpoint_best.pth":
            saved_s.append(now[0])

    def step(*_):
        now[0] += seconds_a_step

    monkeypatch.setattr(trainer, "save_checkpoint", recorded)
    trainer.network.register_forward_pre_hook(step)
    trainer.run_training()
    assert np.diff(saved_s).max() <= 300 + seconds_a_step
    assert ("Checkpoint within epoch" in log_of(trainer)) == (12 * seconds_a_step > 300)
    # Short epochs: at the end alone. Epochs of nearly the limit: after each of the three.
    assert len(saved_s) - 1 == {1: 1, 24: 3}.get(seconds_a_step, len(saved_s) - 1)


def test_stock_nnunet_begins_the_epoch_anew_and_ours_goes_on_from_a_stock_checkpoint(start, monkeypatch):
    monkeypatch.setenv(MINUTES, "0")
    killed(start(timely(Stock)), step=12 + 7)
    stock = start(Stock, resume=True)
    assert stock.current_epoch == 1
    stock.save_every = 1
    killed(stock, step=12 + 3)
    assert len(stock.losses["train_step"]) == 13
    ours = start(timely(Stock), resume=True)
    assert (ours.current_epoch, ours.resumed) == (2, None)
    ours.run_training()
    assert len(ours.losses["train_step"]) == 10
    assert len(history(ours, "train_losses")) == 3


def test_the_mixed_trainer_has_the_stock_ones_name_and_length(start):
    trainer = start(timely(nnUNetTrainer_5epochs))
    assert isinstance(trainer, TimelyCheckpoints)
    assert trainer.num_epochs == 5
    assert Path(trainer.output_folder).parent.name == "nnUNetTrainer_5epochs__MSCSPlans__2d"
    assert timely(nnUNetTrainer_5epochs) is type(trainer)
    assert timely(OURS) is OURS
    assert issubclass(timely(nnUNetTrainer), nnUNetTrainer)


def test_steps_skipped_before_the_kill_count_in_the_epoch(start, monkeypatch):
    monkeypatch.setenv(MINUTES, "0")
    first = start()
    first.initialize()
    batches = iter(range(100))

    def poisoned(network, arguments):
        return arguments[0] * (torch.nan if next(batches) == 2 else 1)

    first.network.register_forward_pre_hook(poisoned)
    killed(first, step=5)
    resumed = start(resume=True)
    killed(resumed, step=5 + 2)
    losses = np.array(first.losses["train_step"] + resumed.losses["train_step"])
    assert np.isnan(losses).tolist() == [step == 2 for step in range(10)]
    assert history(resumed, "train_losses") == pytest.approx([np.nanmean(losses)])
    assert "1 of 10 training steps were skipped" in log_of(resumed)


def test_weights_within_an_epoch_are_never_kept_as_the_best(start, monkeypatch):
    """Neither where checkpoint_best.pth was lost, and the next checkpoint is one within an epoch."""
    monkeypatch.setenv(MINUTES, "0")
    trainer_class = trainer_by_name("MSCSTrainerEarlyStopping_2patience_3epochs_10iterations")
    first = killed(start(trainer_class), step=12 + 2)
    assert isinstance(first, MSCSTrainerEarlyStopping)
    best = Path(first.output_folder) / "checkpoint_best.pth"
    assert checkpoint(first, best.name)["current_epoch"] == 1
    best.unlink()
    resumed = killed(start(trainer_class, resume=True), step=3)
    assert "Checkpoint within epoch 1 after 5 of 10" in log_of(resumed)
    assert not best.exists()


def test_halves_of_checkpoints_are_swept_away_and_wholes_are_not(start, monkeypatch):
    monkeypatch.setenv(MINUTES, "0")
    first = killed(start(), step=4)
    folder = Path(first.output_folder)
    whole = (folder / LATEST_CHECKPOINT).read_bytes()
    for name in (LATEST_CHECKPOINT, "checkpoint_final.pth"):
        (folder / f".part-{name}").write_bytes(whole[:1000])
    resumed = start(resume=True)
    assert (folder / LATEST_CHECKPOINT).read_bytes() == whole
    killed(resumed, step=0)
    assert not list(folder.glob(".part*"))
    assert checkpoint(resumed)["current_epoch"] == 0
    assert not (folder / "checkpoint_final.pth").exists()


def test_nothing_is_written_where_checkpoints_are_disabled(start, monkeypatch):
    monkeypatch.setenv(MINUTES, "0")
    trainer = start()
    trainer.disable_checkpointing = True
    killed(trainer, step=14)
    assert not list(Path(trainer.output_folder).glob("*.pth"))


@pytest.mark.parametrize("minutes", ["often", "-1", "nan"])
def test_a_limit_that_is_none_is_refused(start, monkeypatch, minutes):
    monkeypatch.setenv(MINUTES, minutes)
    with pytest.raises(MscsError, match=MINUTES):
        start().run_training()
