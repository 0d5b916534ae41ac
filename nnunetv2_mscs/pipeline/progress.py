"""Progress bars for commands, read from the lines that they print."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from nnunetv2_mscs.nnunet_files.training_log import read_line

COUNT = re.compile(r"\b(\d+)/(\d+)\b.*\[")
# nnUNetv2_predict has a bar of its own for each case, over patches; its cases are counted by these lines.
CASES_TO_PREDICT = re.compile(r"There are (\d+) cases that I would like to predict")
CASE_PREDICTED = "done with "
RESUMED_WITHIN = re.compile(r"Epoch \d+ goes on after (\d+) of (\d+) iterations")
# Seconds between two states of a bar that nobody watches, as in a log file.
UNWATCHED_INTERVAL_S = 30
UNCOUNTED = "{desc}: [{elapsed}{postfix}]"
COUNTED = "{desc}: {percentage:3.0f}%|{bar:24}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


class CommandBar:
    """A bar that follows what a command prints: bars of its own, cases that are predicted, and nnU-Net's epochs.

    Args:
        bar: with a total for a training; its `initial` is where an earlier attempt stopped.
    """

    def __init__(self, bar: tqdm):
        self.bar = bar
        self.epochs = bar.total
        self._began = False
        self._predicts = False
        self._done_before = 0.0

    def line(self, line: str) -> None:
        """Read a line of the command's output."""
        if self.epochs:
            self._follow_training(line)
        elif match := CASES_TO_PREDICT.search(line):
            self._predicts = True
            self._count(0, int(match[1]))
        elif self._predicts:
            if line.startswith(CASE_PREDICTED):
                self._count(self.bar.n + 1, self.bar.total)
        elif match := COUNT.search(line):
            self._count(int(match[1]), int(match[2]))

    def _count(self, done: int, total: int) -> None:
        self.bar.bar_format = COUNTED
        self.bar.total = total
        self._move_to(done)

    def _follow_training(self, line: str) -> None:
        _, kind, numbers = read_line(line)
        if kind == "epoch":
            self._begin_epoch(int(numbers[0]))
        elif kind == "pseudo_dice":
            self.bar.set_postfix_str(f"pseudo Dice {numbers[0]:.2f}", refresh=False)
        elif kind == "trained":
            self._begin_epoch(self.epochs)
            self.bar.set_postfix_str("validating")
        elif match := RESUMED_WITHIN.search(line):
            self._done_before = int(match[1]) / int(match[2])

    def _begin_epoch(self, epoch: int) -> None:
        """Move to an epoch; timed is only what this attempt has trained."""
        if self._began and epoch > self.bar.n:
            before, self._done_before = self._done_before, 0.0
            if before < 1:
                taken = time.time() - self.bar.last_print_t
                self.bar.last_print_t -= taken * before / (1 - before)
                self._move_to(epoch)
                return
        self._began = True
        self.bar.initial = self.bar.n = self.bar.last_print_n = epoch
        self.bar.last_print_t = time.time()
        if sys.stderr.isatty():
            self.bar.refresh()

    def _move_to(self, done: float) -> None:
        self.bar.update(done - self.bar.n)
        if sys.stderr.isatty():
            self.bar.refresh()


@contextmanager
def command_bar(title: str, epochs: int | None = None, *, begun: int = 0) -> Iterator[CommandBar]:
    """A bar for one command; with `epochs`, for a training by nnU-Net.

    Args:
        title: what it shows.
        epochs: of the training.
        begun: epochs that earlier attempts at the training have ended.
    """
    interval = 0.5 if sys.stderr.isatty() else UNWATCHED_INTERVAL_S
    layout = COUNTED if epochs else UNCOUNTED
    with tqdm(
        total=epochs,
        initial=begun,
        desc=title,
        unit="epoch" if epochs else "case",
        mininterval=interval,
        bar_format=layout,
    ) as bar:
        yield CommandBar(bar)
