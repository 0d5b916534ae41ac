"""The logs of nnU-Net's trainings as curves: restarts, killed epochs, several labels, missing folds, checkpoints."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.reporting.figures import svg
from nnunetv2_mscs.reporting.training_curves import draw_training_curves, read_fold, read_training_curves


def write_log(file: Path, first: int, losses: list[float], *, dice: str = "[np.float32(0.5)]", killed: bool = False):
    """A log as nnU-Net writes one; if killed, the last epoch has begun and not ended."""
    lines = ["", "#######", "MSCS-Net with 8,474,238 parameters ", stamp("The split file contains 5 splits.")]
    for epoch, loss in enumerate(losses, start=first):
        lines += [stamp(""), stamp(f"Epoch {epoch}"), stamp(f"Current learning rate: {0.01 * 0.9**epoch:.5f}")]
        if killed and loss is losses[-1]:
            break
        lines += [stamp(f"train_loss {loss}"), stamp(f"val_loss {loss / 2}"), stamp(f"Pseudo dice {dice}")]
        lines += [stamp(f"Epoch time: {10 + epoch}.25 s"), stamp("Yayy! New best EMA pseudo Dice: 0.08")]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def stamp(text: str) -> str:
    return f"2026-01-01 10:00:00.123456: {text} "


def log_of(fold: Path, number: int) -> Path:
    return fold / f"training_log_2026_1_{number}_10_00_00.txt"


def test_values_of_every_epoch(tmp_path):
    write_log(log_of(tmp_path / "fold_0", 1), 0, [0.5, -0.25, -1e-05])
    curves = read_fold(tmp_path / "fold_0")
    assert curves.index.tolist() == [0, 1, 2]
    assert curves["train_loss"].tolist() == [0.5, -0.25, -1e-05]
    assert curves["validation_loss"].tolist() == [0.25, -0.125, -5e-06]
    assert curves["seconds"].tolist() == [10.25, 11.25, 12.25]
    assert curves["learning_rate"].tolist() == pytest.approx([0.01, 0.009, 0.0081])
    assert curves["pseudo_dice"].tolist() == [0.5, 0.5, 0.5]


def test_a_training_that_goes_on_replaces_the_epochs_it_repeats(tmp_path):
    fold = tmp_path / "fold_1"
    write_log(log_of(fold, 1), 0, [1.0, 2.0, 3.0, 4.0, 9.0], killed=True)
    write_log(log_of(fold, 2), 2, [30.0, 40.0, 50.0])
    assert read_fold(fold)["train_loss"].tolist() == [1.0, 2.0, 30.0, 40.0, 50.0]


def test_a_training_that_starts_over_forgets_the_former(tmp_path):
    fold = tmp_path / "fold_1"
    write_log(log_of(fold, 1), 0, [1.0, 2.0, 3.0, 4.0])
    write_log(log_of(fold, 2), 0, [10.0, 20.0])
    assert read_fold(fold)["train_loss"].tolist() == [10.0, 20.0]


def test_logs_follow_each_other_by_date_not_by_spelling(tmp_path):
    fold = tmp_path / "fold_1"
    write_log(log_of(fold, 9), 0, [1.0, 2.0, 3.0])
    write_log(log_of(fold, 10), 2, [30.0, 40.0])
    assert read_fold(fold)["train_loss"].tolist() == [1.0, 2.0, 30.0, 40.0]


def test_a_validation_alone_changes_nothing(tmp_path):
    fold = tmp_path / "fold_1"
    write_log(log_of(fold, 1), 0, [1.0, 2.0])
    log_of(fold, 2).write_text(stamp("predicting case_001") + "\n" + stamp("Mean Validation Dice:  0.62") + "\n")
    assert read_fold(fold)["train_loss"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("dice", "expected"),
    [
        ("[np.float32(0.8), np.float32(0.4)]", 0.6),
        ("[0.8, 0.4]", 0.6),
        ("[np.float32(nan), np.float64(0.4)]", 0.4),
        ("[np.float32(nan)]", float("nan")),
        ("[np.float32(1e-04)]", 1e-4),
    ],
)
def test_pseudo_dice_is_the_mean_over_the_labels(tmp_path, dice, expected):
    write_log(log_of(tmp_path / "fold_0", 1), 0, [1.0], dice=dice)
    assert read_fold(tmp_path / "fold_0")["pseudo_dice"].tolist() == pytest.approx([expected], nan_ok=True)


def test_nan_losses_stay_nan(tmp_path):
    write_log(log_of(tmp_path / "fold_0", 1), 0, [1.0, float("nan"), float("inf")])
    curves = read_training_curves(tmp_path)
    assert np.isnan(curves.folds["0"]["train_loss"][1])
    assert svg(draw_training_curves([curves]))


def test_what_nnunet_itself_writes_is_read(tmp_path):
    """Its own method and logger, called as its trainer calls them."""
    from nnunetv2.training.logging.nnunet_logger import LocalLogger, MetaLogger
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    fold = tmp_path / "fold_0"
    fold.mkdir()
    trainer = SimpleNamespace(local_rank=0, log_file=str(log_of(fold, 1)))
    logger = MetaLogger(str(fold), False)
    assert isinstance(logger.local_logger, LocalLogger)
    dices = [0.1, 0.7, 0.4, 0.9]
    for epoch, dice in enumerate(dices):
        nnUNetTrainer.print_to_log_file(trainer, f"Epoch {epoch}")
        nnUNetTrainer.print_to_log_file(trainer, f"Current learning rate: {np.round(0.01, decimals=5)}")
        nnUNetTrainer.print_to_log_file(trainer, "train_loss", np.round(np.float32(-0.123456), decimals=4))
        nnUNetTrainer.print_to_log_file(trainer, "val_loss", np.round(np.float64(1e-9), decimals=4))
        nnUNetTrainer.print_to_log_file(trainer, "Pseudo dice", [np.round(np.float32(dice), decimals=4)])
        nnUNetTrainer.print_to_log_file(trainer, f"Epoch time: {np.round(3.14159, decimals=2)} s")
        logger.log("mean_fg_dice", dice, epoch)
    curves = read_fold(fold)
    assert curves["pseudo_dice"].tolist() == pytest.approx(dices)
    assert curves["ema_pseudo_dice"].tolist() == pytest.approx(list(logger.get_value("ema_fg_dice", None)))
    assert curves["train_loss"].tolist() == pytest.approx([-0.1235] * 4)
    assert curves["validation_loss"].tolist() == pytest.approx([0] * 4)
    assert curves["seconds"].tolist() == pytest.approx([3.14] * 4)


def test_without_logs_the_checkpoint_is_read(tmp_path):
    import torch

    fold = tmp_path / "fold_0"
    fold.mkdir()
    record = {
        "mean_fg_dice": [np.float32(0.2), np.float64(0.4)],
        "ema_fg_dice": [0.2, 0.22],
        "dice_per_class_or_region": [[np.float32(0.2)], [np.float32(0.4)]],
        "train_losses": [np.float32(-0.1), np.float32(-0.3)],
        "val_losses": [np.float64(-0.2), np.float64(-0.4)],
        "lrs": [0.01, 0.009, 0.008],
        "epoch_start_timestamps": [100.0, 130.0, 170.0],
        "epoch_end_timestamps": [120.0, 160.0],
    }
    torch.save({"network_weights": {"w": torch.zeros(3)}, "logging": record}, fold / "checkpoint_final.pth")
    curves = read_fold(fold)
    assert curves["train_loss"].tolist() == pytest.approx([-0.1, -0.3])
    assert curves["seconds"].tolist() == pytest.approx([20, 30])
    assert curves["ema_pseudo_dice"].tolist() == pytest.approx([0.2, 0.22])
    (fold / "checkpoint_final.pth").write_bytes(b"damaged")
    with pytest.raises(MscsError, match="checkpoint_final"):
        read_fold(fold)


def test_missing_folds_are_named(tmp_path):
    model = tmp_path / "MSCSTrainer__MSCSPlans__2d"
    write_log(log_of(model / "fold_0", 1), 0, [1.0, 2.0])
    (model / "fold_2").mkdir()
    curves = read_training_curves(model)
    assert curves.model == "MSCSTrainer"
    assert list(curves.folds) == ["0"]
    assert curves.notes == ("Fold 2: no record of its training.",)
    figure = draw_training_curves([curves])
    assert "fold 2" in figure.get_suptitle()


def test_a_damaged_fold_is_named_and_the_others_are_drawn(tmp_path):
    import torch

    write_log(log_of(tmp_path / "fold_0", 1), 0, [1.0, 2.0])
    for fold, content in ((1, None), (2, {"logging": {"lrs": 3}}), (3, {"logging": {"lrs": ["x"]}})):
        (tmp_path / f"fold_{fold}").mkdir()
        file = tmp_path / f"fold_{fold}" / "checkpoint_final.pth"
        file.write_bytes(b"damaged") if content is None else torch.save(content, file)
    curves = read_training_curves(tmp_path)
    assert list(curves.folds) == ["0"]
    assert [note.split(":")[0] for note in curves.notes] == ["Fold 1", "Fold 2", "Fold 3"]
    assert svg(draw_training_curves([curves]))


def test_a_folder_without_training_is_refused(tmp_path):
    with pytest.raises(MscsError, match="no record"):
        read_training_curves(tmp_path)


def test_panels_hold_one_line_per_fold_and_model(tmp_path):
    models = []
    for name, folds in (("A", 3), ("B", 2)):
        for fold in range(folds):
            write_log(log_of(tmp_path / name / f"fold_{fold}", 1), 0, [1.0, 0.5, 0.25])
        models.append(read_training_curves(tmp_path / name))
    loss, dice, rate, seconds = draw_training_curves(models).axes
    assert (len(loss.lines), len(dice.lines), len(rate.lines), len(seconds.lines)) == (10, 10, 5, 5)
    assert len({line.get_color() for line in rate.lines}) == 2
    assert len(draw_training_curves(models[:1]).axes[2].lines) == 3


def test_a_single_epoch_is_a_point(tmp_path):
    write_log(log_of(tmp_path / "fold_0", 1), 0, [1.0])
    figure = draw_training_curves([read_training_curves(tmp_path)])
    assert all(line.get_marker() == "o" for axes in figure.axes for line in axes.lines)
