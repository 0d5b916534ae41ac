"""What the log of a stage shows: how far a training is, and what the last command printed."""

import mmap
import re
from dataclasses import dataclass
from datetime import datetime
from math import isnan
from pathlib import Path
from statistics import median
from typing import Any

from nnunetv2_mscs.nnunet_files.training_log import read_line
from nnunetv2_mscs.pipeline.progress import COUNT
from nnunetv2_mscs.workplace.running import LAST_LINES

# Bytes of a command's output that are read: what it says before its first epoch, and its last epochs.
HEAD_BYTES = 64 * 1024
TAIL_BYTES = 64 * 1024
# Epochs whose median is the time that an epoch takes now.
RECENT_EPOCHS = 5

TRAIN = b"$ nnUNetv2_train "
# Kinds of lines whose number is the value of that name.
COUNTS = ("skipped_steps", "to_validate", "patience", "without_better")
DICES = ("pseudo_dice", "validation_dice")


@dataclass(frozen=True)
class TrainingProgress:
    """What the last attempt at a training says of itself.

    Args:
        epochs: that it will have; None if that is not known.
        epoch: that is trained, or was last; counted from 0 as nnU-Net does; None before the first.
        steps: of that epoch that were done at its last checkpoint within it, and all of them; None if it had none.
        pseudo_dice: of the last epoch that ended, the mean of the labels.
        validation_dice: mean of the fold's validation, once that is over.
        seconds_per_epoch: median of the last epochs.
        epochs_end: when the last epoch is expected to end, in seconds since 1970; the validation comes after it.
        patience: epochs after which early stopping ends the training if none of them was better; None without it.
        without_better: epochs since the best one, if early stopping has said so.
        skipped_steps: of the last epoch, for NaN or Inf.
        start: its number, and how many there may be, if the training has begun anew; None in its first start.
        trained: whether all epochs are over.
        validated: cases that were predicted, once they are.
        to_validate: cases of the fold's validation.
    """

    epochs: int | None = None
    epoch: int | None = None
    steps: tuple[int, int] | None = None
    pseudo_dice: float | None = None
    validation_dice: float | None = None
    seconds_per_epoch: float | None = None
    epochs_end: float | None = None
    patience: int | None = None
    without_better: int = 0
    skipped_steps: int = 0
    start: tuple[int, int] | None = None
    trained: bool = False
    validated: int = 0
    to_validate: int | None = None

    @property
    def is_latest_end(self) -> bool:
        """Whether the training may well end before `epochs_end`."""
        return self.patience is not None and not self.trained


def read_progress(log: Path, *, epochs: int | None = None) -> TrainingProgress | None:
    """The progress that a log shows, of its last command; None if it shows none.

    Args:
        log: of a training stage; it may hold several attempts.
        epochs: of the training, if its name tells.
    """
    try:
        head, tail = _ends_of_last_command(log)
        written = log.stat().st_mtime
    except OSError:
        return None
    return _Reader(epochs).progress(head, tail, written) if tail else None


def _ends_of_last_command(log: Path) -> tuple[str, str]:
    """Beginning and end of what the last command printed; only the end if that is all."""
    if not log.stat().st_size:
        return "", ""
    with log.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        begin = max(content.rfind(TRAIN), 0)
        tail_begin = max(begin, len(content) - TAIL_BYTES)
        head = content[begin : min(tail_begin, begin + HEAD_BYTES)]
        return head.decode(errors="replace"), content[tail_begin:].decode(errors="replace")


class _Reader:
    """Takes up lines, and remembers what it needs."""

    def __init__(self, epochs: int | None):
        self.epochs = epochs
        self.values: dict[str, Any] = {}
        self.epoch_times: list[float] = []
        self.last_stamp: datetime | None = None
        self.epoch_began: datetime | None = None

    def progress(self, head: str, tail: str, written: float) -> TrainingProgress | None:
        for line in [*head.splitlines(), *tail.splitlines()]:
            self._take_up(line)
        if not self.values and self.last_stamp is None:
            return None
        seconds = median(self.epoch_times[-RECENT_EPOCHS:]) if self.epoch_times else None
        return TrainingProgress(
            epochs=self.epochs, seconds_per_epoch=seconds, epochs_end=self._epochs_end(seconds, written), **self.values
        )

    def _take_up(self, line: str) -> None:
        stamp, kind, numbers = read_line(line)
        if stamp:
            self.last_stamp = datetime.fromisoformat(stamp)
        if kind == "epoch":
            self.epoch_began = self.last_stamp
            self.values |= {"epoch": int(numbers[0]), "steps": None, "skipped_steps": 0}
        elif kind == "seconds":
            self.epoch_times.append(numbers[0])
            self.values["without_better"] = 0
        elif kind == "case":
            self.values["validated"] = self.values.get("validated", 0) + 1
        elif kind == "trained":
            self.values["trained"] = True
        elif kind == "epochs":
            self.epochs = int(numbers[0]) + 1
            self.values.setdefault("epoch", None)
        elif kind == "all_trained":
            self.epochs = int(numbers[0])
            self.values["trained"] = True
        elif kind == "steps":
            self.values["steps"] = (int(numbers[0]), int(numbers[1]))
        elif kind in ("new_start", "start"):
            if kind == "new_start":
                self.values |= {"epoch": None, "steps": None, "skipped_steps": 0}
            self._take_up_start(int(numbers[0]), int(numbers[1]))
        elif kind in DICES:
            self.values[kind] = None if isnan(numbers[0]) else numbers[0]
        elif kind in COUNTS:
            self.values[kind] = int(numbers[0])

    def _take_up_start(self, number: int, starts: int) -> None:
        if self.values.get("start") != (number, starts):
            for of_the_former in ("pseudo_dice", "without_better"):
                self.values.pop(of_the_former, None)
        self.values["start"] = (number, starts)

    def _epochs_end(self, seconds: float | None, written: float) -> float | None:
        """By the file's time: the stamps in the log are of another machine's time zone, perhaps."""
        epoch = self.values.get("epoch")
        if epoch is None or seconds is None or self.epochs is None or self.values.get("trained"):
            return None
        if self.epoch_began is None or self.last_stamp is None:
            return None
        began = written - (self.last_stamp - self.epoch_began).total_seconds()
        return began + (self.epochs - epoch) * seconds


READ_BYTES = 64 * 1024
COMMAND = "\n$ "


def last_attempt(log: Path) -> str:
    """What the last command printed, of it no more than the end; progress bars as their last state."""
    try:
        with log.open("rb") as handle:
            handle.seek(max(log.stat().st_size - READ_BYTES, 0))
            text = handle.read().decode(errors="replace")
    except OSError:
        return ""
    begin = text.rfind(COMMAND)
    shown = text[begin + 1 :] if begin >= 0 else text
    return re.sub(r"[^\n]*\r(?!\n)", "", shown)


def last_lines(printed: str, count: int = LAST_LINES) -> tuple[str, ...]:
    """The last lines that are not empty."""
    return tuple(line.rstrip() for line in printed.splitlines() if line.strip())[-count:]


def last_count(printed: str) -> tuple[int, int] | None:
    """How many of how many the last progress bar shows; None without one."""
    for line in reversed(printed.splitlines()):
        if match := COUNT.search(line):
            return int(match[1]), int(match[2])
    return None
