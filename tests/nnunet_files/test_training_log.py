"""What is read from a line of a training."""

import pytest

from nnunetv2_mscs.nnunet_files.training_log import read_line

STAMP = "2026-11-23 16:30:26.123456"


@pytest.mark.parametrize(
    ("line", "kind", "numbers"),
    [
        ("Epoch 12 ", "epoch", (12,)),
        ("Current learning rate: 1e-05 ", "learning_rate", (1e-5,)),
        ("train_loss -0.1234", "train_loss", (-0.1234,)),
        ("val_loss nan", "validation_loss", (float("nan"),)),
        ("Epoch time: 31.25 s", "seconds", (31.25,)),
        ("predicting case_001", "case", ()),
        ("Training done.", "trained", ()),
        ("This split has 40 training and 10 validation cases.", "to_validate", (10,)),
        ("Mean Validation Dice:  0.62 ", "validation_dice", (0.62,)),
        ("Training epochs 3 to 999", "epochs", (999,)),
        ("Epoch 3 goes on after 120 of 250 iterations", "steps", (120, 250)),
        ("Checkpoint within epoch 3 after 20 of 50 iterations of its validation", "", ()),
        ("Start 1 of 3 failed. The training begins anew: start 2 of 3, seed 4", "new_start", (2, 3)),
        ("This is start 2 of 3. ", "start", (2, 3)),
        ("patience", "", ()),
    ],
)
@pytest.mark.parametrize("stamp", ["", STAMP])
def test_kinds_of_lines(stamp, line, kind, numbers):
    read = read_line(f"{stamp}: {line}" if stamp else line)

    assert (read.stamp, read.kind) == (stamp, kind)
    assert read.numbers == pytest.approx(numbers, nan_ok=True)


@pytest.mark.parametrize(
    ("dices", "mean"),
    [
        ("[np.float32(0.2), np.float32(0.4)]", 0.3),
        ("[0.2, 0.4]", 0.3),
        ("[np.float32(nan), np.float64(0.4)]", 0.4),
        ("[np.float32(nan)]", float("nan")),
        ("[np.float32(1e-04)]", 1e-4),
        ("[np.float64(0.0)]", 0.0),
    ],
)
def test_the_pseudo_dice_is_the_mean_of_the_labels_that_have_one(dices, mean):
    assert read_line(f"Pseudo dice {dices} ").numbers == pytest.approx((mean,), nan_ok=True)
