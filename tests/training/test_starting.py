"""Starts that fail: the trap is forced upon the full-resolution head, and seen, left, and in the end given up."""

import re
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.run.run_training import maybe_load_checkpoint
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_mscs.nnunet_files.checkpoints import BEST_CHECKPOINT, LATEST_CHECKPOINT
from nnunetv2_mscs.reporting.report.notices import notices_of_starts, starts_of
from nnunetv2_mscs.training.starting import StartFailedError
from nnunetv2_mscs.training.starts import START, Start
from nnunetv2_mscs.training.timely import MINUTES
from nnunetv2_mscs.training.trainer import MSCSTrainer
from nnunetv2_mscs.training.variants import trainer_by_name

OURS = trainer_by_name("MSCSTrainer_3epochs_2iterations")
PAPER = trainer_by_name("MSCSTrainerPaper_2patience_4epochs_2iterations")
ALWAYS = range(1, 100)
TRAPPED = "The full-resolution head predicts no foreground and is at its bias-only value."


def set_trap(trainer: MSCSTrainer) -> None:
    """The lesion's weights, less the background's, are negative over features that never are; as is the bias."""
    head = trainer._bare_network().decoder.seg_layers[-1]
    with torch.no_grad():
        head.weight[0], head.weight[1] = 1.0, -1.0
        head.bias[0], head.bias[1] = 4.0, -4.0


def speak(trainer: MSCSTrainer) -> None:
    """Predict foreground everywhere."""
    with torch.no_grad():
        trainer._bare_network().decoder.seg_layers[-1].bias[1] = 50.0


@pytest.fixture
def begin(new_trainer) -> Callable[..., MSCSTrainer]:
    """A function that makes a trainer, new or resumed, which is trapped in some starts, or when a function says so."""

    def make(
        trapped: Collection[int] | Callable[[MSCSTrainer], bool] = (1,),
        trainer_class=OURS,
        *,
        resume: bool = False,
        steps: int = 4,
        **options,
    ) -> MSCSTrainer:
        # The trap needs features that are never negative.
        trainer = new_trainer(trainer_class, **({"decoder_nonlin": "relu"} | options))
        trainer.configuration_manager.configuration["batch_size"] = 2
        trainer.steps_without_foreground = steps
        maybe_load_checkpoint(trainer, continue_training=resume, validation_only=False)
        if not trainer.was_initialized:
            trainer.initialize()
        trainer.plot_network_architecture = lambda: None
        trainer.print_plans = lambda: None

        def force(*_):
            inside = trapped(trainer) if callable(trapped) else trainer.start.number in trapped
            (set_trap if inside else speak)(trainer)

        trainer.network.register_forward_pre_hook(force)
        return trainer

    return make


def checkpoint(trainer: MSCSTrainer, name: str) -> dict:
    return torch.load(Path(trainer.output_folder) / name, weights_only=False)


def log_of(trainer: MSCSTrainer) -> str:
    return "".join(file.read_text() for file in sorted(Path(trainer.output_folder).glob("training_log*.txt")))


def history(trainer: MSCSTrainer, name: str) -> list[float]:
    return trainer.logger.get_value(name, step=None)


def test_a_trap_is_seen_and_the_training_begins_anew_and_goes_on_to_its_end(begin, monkeypatch):
    made = []
    get_dataloaders = nnUNetTrainer.get_dataloaders
    monkeypatch.setattr(nnUNetTrainer, "get_dataloaders", lambda t: (made.append(1), get_dataloaders(t))[1])
    trainer = begin()
    failed_weights = []
    start_over = trainer.start_over

    def recorded(seed):
        failed_weights.append({k: v.clone() for k, v in trainer.network.state_dict().items()})
        assert (Path(trainer.output_folder) / BEST_CHECKPOINT).is_file()
        start_over(seed)
        written = checkpoint(trainer, LATEST_CHECKPOINT)
        assert written["current_epoch"] == trainer.current_epoch == 0
        assert not any(written["logging"].values())
        assert written["_best_ema"] is None
        assert not written["optimizer_state"]["state"]
        assert written["init_args"][START] == {
            "number": 2,
            "steps_without_foreground": 0,
            "initial_lr": pytest.approx(0.006),
        }
        assert not (Path(trainer.output_folder) / BEST_CHECKPOINT).exists()
        state = trainer.network.state_dict()
        assert not any(torch.equal(state[k], v) for k, v in failed_weights[0].items() if k.endswith("conv.weight"))

    trainer.start_over = recorded
    trainer.run_training()
    seed = Start(2).seed(0)
    log = log_of(trainer)
    assert (
        "Start 1 of 3 failed: no foreground in 4 training steps. The training begins anew: start 2 of 3, "
        f"seed {seed}, initial learning rate 0.006. \n"
    ) in log
    assert log.count(TRAPPED) == 2
    assert "No foreground for 2 training steps; a start has failed after 4." in log
    assert re.findall(r"Epoch (\d) \n", log) == ["0", "1", "0", "1", "2"]
    assert log.count("This is start 2 of 3.") == 3
    assert len(failed_weights) == len(made) == 1
    assert history(trainer, "lrs")[0] == pytest.approx(0.006)
    assert all(len(values) == 3 for values in trainer.logger.get_checkpoint().values())
    final = checkpoint(trainer, "checkpoint_final.pth")
    assert (final["current_epoch"], final["init_args"][START]["number"]) == (3, 2)
    assert checkpoint(trainer, BEST_CHECKPOINT)["init_args"][START]["number"] == 2
    fold = Path(trainer.output_folder)
    assert starts_of(fold) == 2
    assert [n.finding for n in notices_of_starts("ours", fold.parent)] == [
        "ours: the training of fold 0 needed 2 starts."
    ]


def test_the_line_of_heads_is_nnunets_pseudo_dice_at_full_resolution(begin):
    trainer = begin(trapped=())
    trainer.run_training()
    lines = re.findall(
        r"Heads, full resolution first: Dice ([\d. ]+); largest foreground probability ([\d. ]+) \n", log_of(trainer)
    )
    assert len(lines) == 3
    # The lowest head is not trained by nnU-Net's loss.
    trained = len(trainer._get_deep_supervision_scales()) - 1
    for (dices, largest), pseudo in zip(lines, history(trainer, "mean_fg_dice"), strict=True):
        assert float(dices.split()[0]) == pytest.approx(pseudo, abs=0.006)
        assert float(largest.split()[0]) == 1
        assert len(dices.split()) == len(largest.split()) == trained


@pytest.mark.parametrize("dataset_id", [601, 602], ids=["labels", "regions and ignore label"])
def test_lower_heads_are_named_by_their_resolution(begin, dataset_id):
    trainer = begin(ALWAYS, dataset_id=dataset_id)
    trainer.on_train_start()
    lower = trainer.network.decoder.seg_layers[-2]
    with torch.no_grad():
        lower.weight.zero_()
        lower.bias[:] = -6.0
        lower.bias[0] = 6.0 if dataset_id == 601 else -6.0
        trainer.on_validation_epoch_end([trainer.validation_step(next(trainer.dataloader_val)) for _ in range(4)])
    assert [head.is_silent for head in trainer.heads[:2]] == [dataset_id == 601, True]
    assert trainer.heads[1].at_bias
    assert "The head at 1/2 resolution predicts no foreground and is at its bias-only value." in log_of(trainer)


def test_it_gives_up_after_the_third_start(begin):
    trainer = begin(ALWAYS)
    with pytest.raises(StartFailedError, match=r"All 3 starts of the training failed: .* 4 training steps") as e:
        trainer.run_training()
    assert "labels" in e.value.remedy
    rates = re.findall(r"begins anew: start (\d) of 3, seed \d+, initial learning rate ([\d.e-]+)\. ", log_of(trainer))
    assert rates == [("2", "0.006"), ("3", "0.0018")]
    assert not (Path(trainer.output_folder) / "checkpoint_final.pth").exists()


def test_weights_of_a_start_follow_from_fold_and_number_alone(begin):
    first, second = begin(), begin()
    for trainer, seed in ((first, 5), (second, 5)):
        trainer.reset_training(seed)
    same = [torch.equal(a, b) for a, b in zip(first.network.parameters(), second.network.parameters(), strict=True)]
    assert all(same)
    torch.manual_seed(9)
    drawn = torch.rand(1)
    torch.manual_seed(9)
    second.reset_training(6)
    assert torch.equal(torch.rand(1), drawn)
    assert not torch.equal(next(first.network.parameters()), next(second.network.parameters()))
    assert len({Start(number).seed(fold) for number in (2, 3) for fold in (0, 1, 2, 3, 4, "all")}) == 12


def break_off(trainer: MSCSTrainer, *, step: int) -> None:
    """Train until within a step, of training or validation, in the place of kill -9."""
    steps = iter(range(step))

    def breaks_off(*_):
        if next(steps, None) is None:
            raise KeyboardInterrupt

    trainer.network.register_forward_pre_hook(breaks_off)
    with pytest.raises(KeyboardInterrupt):
        trainer.run_training()


@pytest.mark.parametrize("step", [2, 6, 8])
def test_a_killed_training_counts_on_and_keeps_the_gentler_rate(begin, monkeypatch, step):
    """An epoch has two steps of training and one of validation; the first start fails after the sixth."""
    monkeypatch.setenv(MINUTES, "0")
    break_off(begin(), step=step)
    resumed = begin(resume=True)
    assert resumed.start.number == (1 if step < 6 else 2)
    assert resumed.initial_lr == resumed.lr_scheduler.initial_lr == pytest.approx(0.02 if step < 6 else 0.006)
    resumed.run_training()
    log = log_of(resumed)
    assert log.count("Start 1 of 3 failed: no foreground in 4 training steps.") == 1
    assert "Start 2" not in log
    assert checkpoint(resumed, "checkpoint_final.pth")["init_args"][START]["number"] == 2
    assert history(resumed, "lrs")[0] == pytest.approx(0.006)
    assert all(len(values) == 3 for values in resumed.logger.get_checkpoint().values())


def test_a_start_that_had_failed_before_the_kill_is_left_before_another_epoch(begin, monkeypatch):
    first = begin()
    monkeypatch.setattr(first, "_begin_anew", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        first.run_training()
    first.current_epoch -= 1
    first.save_checkpoint(str(Path(first.output_folder) / LATEST_CHECKPOINT))
    resumed = begin(resume=True)
    assert (resumed.current_epoch, resumed.start.steps_without_foreground) == (2, 4)
    resumed.run_training()
    assert re.findall(r"Epoch (\d) \n", log_of(resumed)) == ["0", "1", "0", "1", "2"]


def test_a_resumed_validation_counts_the_steps_before(begin, monkeypatch):
    """Of two validation steps the first saw foreground predicted, and the training was killed before the second."""
    monkeypatch.setenv(MINUTES, "0")
    trainer_class = trainer_by_name("MSCSTrainer_1epochs_10iterations")
    break_off(begin((), trainer_class, steps=10), step=11)
    resumed = begin(ALWAYS, trainer_class, resume=True, steps=10)
    assert len(resumed.resumed["outputs"][0][1]) == 1
    resumed.run_training()
    assert resumed.start == Start(1, 0)
    assert resumed.heads[0].predicted_voxels > 0
    assert "Start 1" not in log_of(resumed)


def test_checkpoints_of_older_versions_are_those_of_a_first_start(begin):
    trainer = begin(ALWAYS, steps=100)
    trainer.run_training()
    file = Path(trainer.output_folder) / "checkpoint_final.pth"
    old = checkpoint(trainer, file.name)
    assert old["init_args"].pop(START)["steps_without_foreground"] == 6
    torch.save(old, file)
    assert starts_of(file.parent) == 1
    assert notices_of_starts("ours", file.parent.parent) == []
    resumed = begin(resume=True)
    assert (resumed.start, resumed.initial_lr) == (Start(), 0.02)


@pytest.mark.parametrize("established", [True, False])
def test_a_start_that_was_established_is_not_left(begin, established):
    trainer = begin(lambda t: t.current_epoch > 0, trainer_by_name("MSCSTrainer_4epochs_2iterations"))
    trainer.established_dice = 1e-6 if established else 1.1
    if not established:
        trainer.max_starts = 1
        with pytest.raises(StartFailedError):
            trainer.run_training()
        assert "any more" not in log_of(trainer)
        return
    trainer.run_training()
    assert trainer.start == Start(1, 6)
    warning = "WARNING: the network predicts no foreground any more, after a pseudo Dice of 0."
    assert log_of(trainer).count(warning) == 3
    assert "checkpoint_best.pth holds weights from before." in log_of(trainer)


def test_epochs_without_foreground_in_the_references_count_neither_way(begin, monkeypatch):
    get_dataloaders = nnUNetTrainer.get_dataloaders
    lesions = iter([True, False, False, True])  # one of validation in an epoch

    def some_without(trainer):
        training, validation = get_dataloaders(trainer)

        def batches():
            for batch in validation:
                there = next(lesions)
                for target in batch["target"]:
                    target.zero_()
                    target[..., :9, :9] = float(there)
                yield batch

        return training, batches()

    monkeypatch.setattr(nnUNetTrainer, "get_dataloaders", some_without)
    trainer = begin(ALWAYS, trainer_by_name("MSCSTrainer_4epochs_2iterations"), steps=5)
    trainer.run_training()
    assert trainer.start == Start(1, 4)
    log = log_of(trainer)
    assert log.count("Heads, full resolution first: Dice nan ") == 2
    assert log.count(TRAPPED) == 2
    assert "begins anew" not in log


def test_start_counts_steps():
    start = Start().after_epoch(250, in_references=True, predicted=False)
    start = start.after_epoch(250, in_references=False, predicted=False)
    assert start.steps_without_foreground == 250
    assert start.after_epoch(250, in_references=True, predicted=False).steps_without_foreground == 500
    assert start.after_epoch(250, in_references=True, predicted=True).steps_without_foreground == 0
    assert start.after_epoch(250, in_references=False, predicted=True).steps_without_foreground == 0
    assert start.next() == Start(2, 0)


def test_the_papers_trainer_with_its_single_head_begins_anew_with_a_new_patience(begin):
    trainer = begin(trainer_class=PAPER)
    kept = []
    reset_training = trainer.reset_training
    trainer.reset_training = lambda seed: (kept.append(trainer.kept), reset_training(seed), kept.append(trainer.kept))
    trainer.run_training()
    before, after = kept
    assert before is not None
    assert after is None
    log = log_of(trainer)
    assert "initial learning rate 3e-05." in log
    assert isinstance(trainer.optimizer, torch.optim.Adam)
    assert len(trainer.heads) == 1
    progress = trainer.progress
    assert len(history(trainer, "val_losses")) == min(progress.best_epoch + 3, 4)
    assert f"take the weights of epoch {progress.best_epoch}, " in log
    assert checkpoint(trainer, BEST_CHECKPOINT)["init_args"][START]["number"] == 2


def test_short_trainings_are_left_alone(begin):
    trainer = begin(ALWAYS, trainer_by_name("MSCSTrainer_2epochs_2iterations"), steps=OURS.steps_without_foreground)
    trainer.run_training()
    assert OURS.steps_without_foreground == 500
    assert trainer.start == Start(1, 4)
    assert checkpoint(trainer, "checkpoint_final.pth")["current_epoch"] == 2
    warning = "WARNING: the training ends without a network that predicts foreground: none in its last 4 steps"
    assert warning in Path(trainer.log_file).read_text()


def test_nothing_is_written_or_removed_where_checkpoints_are_disabled(begin):
    trainer = begin()
    best = Path(trainer.output_folder) / BEST_CHECKPOINT
    best.write_bytes(b"of another training")
    trainer.disable_checkpointing = True
    trainer.run_training()
    assert trainer.start.number == 2
    assert best.read_bytes() == b"of another training"


@pytest.mark.parametrize("scaler", [False, True], ids=["no scaler", "scaler"])
def test_a_new_start_skips_steps_that_are_not_finite_as_the_first(new_trainer, scaler):
    trainer = new_trainer()
    if scaler:
        trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    trainer.initialize()
    trainer.skipped_steps.skipped()
    trainer.reset_training(1)
    assert not trainer.skipped_steps.nothing_trained
    assert (trainer.grad_scaler.get_scale() if scaler else 65536.0) == 65536.0
    hook = next(trainer.network.parameters()).register_hook(lambda gradient: gradient * torch.inf)
    data = torch.rand(2, 2, *trainer.configuration_manager.patch_size)
    sizes = [[round(n * s) for n, s in zip(data.shape[2:], scale, strict=True)] for scale in _scales(trainer)]
    batch = {"data": data, "target": [(torch.rand(2, 1, *size) > 0.5).float() for size in sizes]}
    before = [p.clone() for p in trainer.network.parameters()]
    trainer.train_step(batch)
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True))
    hook.remove()
    trainer.train_step(batch)
    assert not all(torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True))


def _scales(trainer: MSCSTrainer) -> list:
    return trainer._get_deep_supervision_scales()


def test_a_compiled_network_is_watched_and_reset_in_place(new_trainer):
    trainer = new_trainer()
    trainer.configuration_manager.configuration["batch_size"] = 2
    trainer.initialize()
    bare = trainer.network
    trainer.network = torch.compile(bare, backend="eager")
    trainer.on_train_start()
    set_trap(trainer)
    with torch.no_grad():
        trainer.on_validation_epoch_start()
        output = trainer.validation_step(next(trainer.dataloader_val))
    trainer.on_validation_epoch_end([output])
    assert trainer.heads[0].at_bias
    assert trainer.heads[0].predicted_voxels == 0
    assert np.isfinite(trainer.heads[0].largest_probability)
    trainer.reset_training(3)
    assert trainer._bare_network() is bare
    assert {id(p) for g in trainer.optimizer.param_groups for p in g["params"]} == {id(p) for p in bare.parameters()}
