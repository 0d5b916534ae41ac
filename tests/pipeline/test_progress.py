"""The bar follows what nnU-Net's commands print."""

import io

import pytest
from tqdm import tqdm

from nnunetv2_mscs.pipeline import progress
from nnunetv2_mscs.pipeline.progress import COUNTED, CommandBar, command_bar


def test_epochs_of_a_training():
    with command_bar("train", epochs=20) as bar:
        bar.line("2026-11-23 16:30:26.1: Epoch 3 ")
        bar.line("2026-11-23 16:30:26.1: Pseudo dice [np.float32(0.6521)] ")
        assert bar.bar.n == 3
        assert "0.65" in bar.bar.postfix
        bar.line("2026-11-23 16:30:26.1: Training done.")
        assert bar.bar.n == 20


def test_counts_of_other_commands(capsys):
    with command_bar("preprocess") as bar:
        assert "?" not in str(bar.bar)
        bar.line(" 25%|##        | 10/40 [00:01<00:03,  9.9it/s]")
        assert (bar.bar.n, bar.bar.total) == (10, 40)
        bar.line("folder a/b 1/2")
        assert (bar.bar.n, bar.bar.total) == (10, 40)
        assert "10/40" in str(bar.bar)
    assert "0/?" not in capsys.readouterr().err


def test_a_bar_that_never_counts_shows_the_time_alone(capsys):
    with command_bar("evaluate"):
        pass
    assert capsys.readouterr().err.strip().splitlines()[-1].split("\r")[-1] == "evaluate: [00:00]"


def test_predicting_counts_cases_not_their_slices():
    seen = []
    with command_bar("predict unseen cases") as bar:
        bar.line("There are 3 cases that I would like to predict")
        for case in "abc":
            bar.line(f"Predicting {case}:")
            bar.line(" 50%|#####     | 6/12 [00:01<00:03,  9.9it/s]")
            bar.line(f"done with {case}")
            seen.append((bar.bar.n, bar.bar.total))
        bar.line("Collecting results: 100%|##########| 3/3 [00:00<00:00]")
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(("within", "left"), [(0.0, "03:20"), (0.5, "06:40")])
def test_a_resumed_training_is_timed_by_its_own_epochs(within, left, monkeypatch):
    """Two epochs are left after one that took 100 s, from its beginning or from its middle."""
    clock = [1000.0]
    monkeypatch.setattr(progress.time, "time", lambda: clock[0])
    with tqdm(total=8, initial=5, bar_format=COUNTED, file=io.StringIO(), mininterval=0.5) as shown:
        shown._time = lambda: clock[0]
        shown.start_t = shown.last_print_t = clock[0]
        bar = CommandBar(shown)
        assert "5/8" in str(shown)
        clock[0] += 40  # imports and a compilation, say
        bar.line("Epoch 5")
        if within:
            bar.line(f"Epoch 5 goes on after {int(100 * within)} of 100 iterations")
        clock[0] += 100
        bar.line("Epoch 6")
        assert "6/8" in str(shown)
        assert f"<{left}" in str(shown)
