"""Progress bars for commands, read from the lines that they print."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from nnunetv2_mscs.nnunet_files.training_log import read_line

COUNT = re.compile(r"\b(\d+)/(\d+)\b.*\[")
# Seconds between two states of a bar that nobody watches, as in a log file.
UNWATCHED_INTERVAL_S = 30


class CommandBar:
    """A bar that follows what a command prints: bars of its own, and nnU-Net's epochs."""

    def __init__(self, bar: tqdm):
        self.bar = bar
        self.epochs = bar.total

    def line(self, line: str) -> None:
        """Read a line of the command's output."""
        if self.epochs:
            self._follow_training(line)
        elif match := COUNT.search(line):
            done, total = int(match[1]), int(match[2])
            self.bar.total = total
            self._move_to(done)

    def _follow_training(self, line: str) -> None:
        _, kind, numbers = read_line(line)
        if kind == "epoch":
            self._move_to(int(numbers[0]))
        elif kind == "pseudo_dice":
            self.bar.set_postfix_str(f"pseudo Dice {numbers[0]:.2f}", refresh=False)
        elif kind == "trained":
            self._move_to(self.epochs)
            self.bar.set_postfix_str("validating")

    def _move_to(self, done: int) -> None:
        self.bar.n = done
        self.bar.update(0)
        if sys.stderr.isatty():
            self.bar.refresh()


@contextmanager
def command_bar(title: str, epochs: int | None = None) -> Iterator[CommandBar]:
    """A bar for one command; with `epochs`, for a training by nnU-Net."""
    interval = 0.5 if sys.stderr.isatty() else UNWATCHED_INTERVAL_S
    layout = "{desc}: {percentage:3.0f}%|{bar:24}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
    with tqdm(
        total=epochs, desc=title, unit="epoch" if epochs else "case", mininterval=interval, bar_format=layout
    ) as bar:
        yield CommandBar(bar)
