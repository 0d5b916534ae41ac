"""The lines that a training prints, and the files training_log_*.txt in a fold's folder that hold them."""

import re
from math import isnan, nan
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from nnunetv2_mscs.errors import MscsError

LOGS = "training_log_*.txt"
STAMP = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?): ")
NUMBER = r"(nan|-?inf|[-+]?\d+\.?\d*(?:e[-+]?\d+)?)"
# Kind of a line -> what it is like, with its numbers in groups. The first that fits counts.
KINDS = {
    "epoch": re.compile(r"Epoch (\d+)\s*$"),
    "learning_rate": re.compile(rf"Current learning rate: {NUMBER}\s*$"),
    "train_loss": re.compile(rf"train_loss {NUMBER}\s*$"),
    "validation_loss": re.compile(rf"val_loss {NUMBER}\s*$"),
    "pseudo_dice": re.compile(r"Pseudo dice \[(.*)\]\s*$"),
    "seconds": re.compile(rf"Epoch time: {NUMBER} s\s*$"),
    "case": re.compile(r"predicting "),
    "trained": re.compile(r"Training done|Early stopping after epoch|checkpoint_final\.pth and the validation"),
    "to_validate": re.compile(r".*\d+ training and (\d+) validation cases"),
    "validation_dice": re.compile(rf"Mean Validation Dice:\s+{NUMBER}"),
    # Lines of this package's trainers.
    "epochs": re.compile(r"Training epochs \d+ to (\d+)"),
    "all_trained": re.compile(r"All (\d+) epochs are trained"),
    "steps": re.compile(
        r"(?:Checkpoint within epoch \d+|Epoch \d+ goes on) after (\d+) of (\d+) iterations(?! of its)"
    ),
    "new_start": re.compile(r".* The training begins anew: start (\d+) of (\d+)"),
    "start": re.compile(r"This is start (\d+) of (\d+)"),
    "skipped_steps": re.compile(r"(\d+) of \d+ training steps were skipped"),
    "patience": re.compile(r".*training ends after (\d+) epochs without a better one"),
    "without_better": re.compile(r".*for (\d+) of \d+ epochs\."),
}
# What of an epoch is drawn as curves.
CURVES = ("learning_rate", "train_loss", "validation_loss", "pseudo_dice", "seconds")


class LogLine(NamedTuple):
    """A line of a training's log.

    Args:
        stamp: date and time at its beginning, as they stand there; empty if there are none.
        kind: one of `KINDS`; empty for any other line.
        numbers: in it. The pseudo Dice is the mean over the labels, NaN if it is not known of any.
    """

    stamp: str
    kind: str
    numbers: tuple[float, ...]


def read_line(line: str) -> LogLine:
    """Read a line that nnUNetv2_train prints, or writes into its log."""
    stamp = STAMP.match(line)
    text = line[stamp.end() :] if stamp else line
    for kind, pattern in KINDS.items():
        if match := pattern.match(text):
            numbers = (_mean(match[1]),) if kind == "pseudo_dice" else tuple(map(float, match.groups()))
            return LogLine(stamp[1] if stamp else "", kind, numbers)
    return LogLine(stamp[1] if stamp else "", "", ())


def _mean(dices: str) -> float:
    """The mean of a list of numbers as Python or NumPy prints it."""
    numbers = [float(number) for number in re.findall(NUMBER, re.sub(r"(np\.)?float\d+\(", "", dices))]
    return fmean(known) if (known := [number for number in numbers if not isnan(number)]) else nan


def read_epochs(fold: Path) -> dict[int, dict[str, float]]:
    """The values of `CURVES` of every complete epoch in the logs of a fold's folder.

    A training that continues or starts over begins at an epoch that may be in the log already: what the log says of
    this epoch and later ones no longer counts.

    Raises:
        MscsError: a log cannot be read.
    """
    epochs: dict[int, dict[str, float]] = {}
    for log in sorted(fold.glob(LOGS), key=_when):
        current: dict[str, float] = {}
        for line in map(read_line, _text(log).splitlines()):
            if line.kind == "epoch":
                begun = int(line.numbers[0])
                epochs = {epoch: values for epoch, values in epochs.items() if epoch < begun}
                current = epochs[begun] = {}
            elif line.kind in CURVES:
                current[line.kind] = line.numbers[0]
    return {epoch: values for epoch, values in epochs.items() if "seconds" in values}


def _when(log: Path) -> tuple[int, ...]:
    """The date and time in a log's name, which nnU-Net writes without leading zeros."""
    return tuple(int(number) for number in re.findall(r"\d+", log.stem))


def _text(log: Path) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise MscsError(f"{log} cannot be read ({error.strerror}).", "Take it away, or make it readable.") from error
