import os

from nnunetv2_mscs.pipeline.logs import TAIL_BYTES, TrainingProgress, last_count, read_progress
from tests.pipeline.training_logs import attempt, command

WRITTEN = 1_800_000_000.0


def _progress(tmp_path, text, **options):
    log = tmp_path / "train.log"
    log.write_text(text)
    os.utime(log, (WRITTEN, WRITTEN))
    return read_progress(log, **options)


def test_epoch_dice_seconds_and_end(tmp_path):
    progress = _progress(tmp_path, attempt(0, 9, dice=0.6, extra=["", "Epoch 10", "Current learning rate: 0.01"]))

    assert (progress.epoch, progress.epochs, progress.pseudo_dice) == (10, 1000, 0.6)
    assert progress.seconds_per_epoch == 30.0
    assert progress.epochs_end == WRITTEN + 990 * 30
    assert not progress.is_latest_end


def test_time_since_the_epoch_began_counts(tmp_path):
    """The last epoch began 30 s before the last line was written."""
    progress = _progress(tmp_path, attempt(0, 9, epochs=11))

    assert progress.epochs_end == WRITTEN - 30 + 2 * 30


def test_the_median_of_the_last_epochs_forgets_a_slow_beginning(tmp_path):
    text = attempt(0, 2, seconds=500.0) + attempt(3, 9, seconds=20.0).removeprefix(command())

    assert _progress(tmp_path, text).seconds_per_epoch == 20.0


def test_only_the_last_attempt_counts(tmp_path):
    text = attempt(0, 40, dice=0.9, extra=["Training done.", "predicting a"]) + attempt(5, 6, dice=0.3)
    progress = _progress(tmp_path, text)

    assert (progress.epoch, progress.pseudo_dice, progress.trained, progress.validated) == (6, 0.3, False, 0)


def test_an_attempt_that_has_said_nothing_yet(tmp_path):
    assert _progress(tmp_path, attempt(0, 40) + command()) is None
    assert _progress(tmp_path, "") is None
    assert read_progress(tmp_path / "none.log") is None


def test_a_long_log_tells_the_same_as_its_ends(tmp_path):
    stopping = "Early stopping watches the pseudo Dice: training ends after 50 epochs without a better one.\n"
    long = attempt(0, 900, extra=["Best pseudo Dice: 0.5 in epoch 888; no better one for 12 of 50 epochs."])
    assert len(long) > 3 * TAIL_BYTES
    progress = _progress(tmp_path, attempt(0, 3) + long.replace("\n", "\n2026-11-23 20:00:00.1: " + stopping, 1))

    assert (progress.epoch, progress.epochs, progress.to_validate) == (900, 1000, 10)
    assert (progress.patience, progress.without_better) == (50, 12)
    assert progress.is_latest_end


def test_steps_within_an_epoch(tmp_path):
    extra = [
        "Epoch 3",
        "Epoch 3 goes on after 120 of 250 iterations",
        "Checkpoint within epoch 3 after 200 of 250 iterations",
    ]

    assert _progress(tmp_path, attempt(0, 2, extra=extra)).steps == (200, 250)
    assert _progress(tmp_path, attempt(0, 2, extra=[*extra, "Epoch 4"])).steps is None


def test_skipped_steps_are_those_of_the_last_epoch(tmp_path):
    extra = ["12 of 250 training steps were skipped: loss or gradients were NaN or Inf. The epoch's loss is the mean."]

    assert _progress(tmp_path, attempt(0, 2, extra=extra)).skipped_steps == 12
    assert _progress(tmp_path, attempt(0, 2, extra=[*extra, "Epoch 3"])).skipped_steps == 0


def test_validation_counts_cases(tmp_path):
    extra = ["Training done.", "predicting a", "a, shape torch.Size([2, 12, 64, 64]), rank 0", "predicting b"]
    progress = _progress(tmp_path, attempt(0, 2, epochs=3, extra=extra))

    assert (progress.trained, progress.validated, progress.to_validate) == (True, 2, 10)
    assert progress.epochs_end is None


def test_a_pseudo_dice_that_is_not_known_is_none(tmp_path):
    assert _progress(tmp_path, attempt(0, 0, extra=["Pseudo dice [np.float32(nan)]"])).pseudo_dice is None


def test_epochs_by_the_trainers_name_where_the_log_does_not_tell(tmp_path):
    text = attempt(0, 1).replace("Training epochs 0 to 999", "")

    assert _progress(tmp_path, text, epochs=5).epochs == 5
    assert _progress(tmp_path, text).epochs_end is None


def test_all_epochs_trained_before(tmp_path):
    text = command() + "2026-11-23 20:00:00.1: All 5 epochs are trained\n2026-11-23 20:00:01.1: Training done.\n"

    assert _progress(tmp_path, text) == TrainingProgress(epochs=5, trained=True)


ANEW = (
    "Start 1 of 3 failed: no foreground in 500 training steps. The training begins anew: start 2 of 3, seed 1234, "
    "initial learning rate 0.003. "
)


def test_a_new_start_counts_from_its_beginning(tmp_path):
    progress = _progress(tmp_path, attempt(0, 1, dice=0.05, extra=[ANEW, "", "Epoch 0", "This is start 2 of 3. "]))

    assert (progress.start, progress.epoch) == ((2, 3), 0)
    assert progress.pseudo_dice is None
    assert _progress(tmp_path, attempt(0, 1)).start is None


def test_a_new_start_that_has_no_epoch_yet_has_none_of_the_former(tmp_path):
    progress = _progress(tmp_path, attempt(2, 1, dice=0.05, extra=[ANEW]))
    assert (progress.start, progress.epoch, progress.epochs_end) == ((2, 3), None, None)


def test_every_epoch_tells_the_start(tmp_path):
    """The line of its beginning is in the middle of a long log, or in the log of an attempt before."""
    extra = ["Epoch 7", "This is start 3 of 3. ", "Pseudo dice [np.float32(0.4)]", "This is start 3 of 3. "]

    progress = _progress(tmp_path, attempt(0, 6, extra=[ANEW]) + attempt(7, 6, extra=extra))
    assert (progress.start, progress.pseudo_dice) == ((3, 3), 0.4)


def test_a_prediction_counts_cases_however_long_its_log_is(tmp_path):
    log = tmp_path / "predict.log"
    cases = "".join(
        f"Predicting {i}:\n{'6/12 [00:01<00:03]' * 200}\rdone with {i}\n".replace("\r", "\n") for i in range(30)
    )
    log.write_text(
        f"$ before\ndone with a\n$ nnUNetv2_predict\nThere are 40 cases that I would like to predict\n{cases}"
    )
    assert log.stat().st_size > TAIL_BYTES
    assert last_count(log) == (30, 40)
    log.write_text("$ nnUNetv2_preprocess\n 25%|##  | 10/40 [00:01<00:03]\r 30%|##  | 12/40 [00:01<00:03]\r")
    assert last_count(log) == (12, 40)
    assert last_count(tmp_path / "none") is None
