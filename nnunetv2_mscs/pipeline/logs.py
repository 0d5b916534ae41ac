"""What the log of a stage shows of its last command: how far a training is, and the last lines."""

import mmap
import re
from dataclasses import dataclass
from datetime import datetime
from math import isnan
from pathlib import Path
from statistics import median

from nnunetv2_mscs.nnunet_files.training_log import read_line
from nnunetv2_mscs.pipeline.progress import CASE_PREDICTED, CASES_TO_PREDICT, COUNT
from nnunetv2_mscs.workplace.running import LAST_LINES

# Bytes of a command's output that are read: what it says before its first epoch, and its last epochs.
HEAD_BYTES = TAIL_BYTES = 64 * 1024
# Epochs whose median is the time that an epoch takes now.
RECENT_EPOCHS = 5
COMMAND = b"\n$ "


@dataclass
class TrainingProgress:
    """What the last attempt at a training says of itself.

    Args:
        epochs: that it will have; None if that is not known.
        epoch: the current or last one, counted from 0 as nnU-Net does; None before the first.
        steps: how many of how many steps of that epoch its last checkpoint within it holds; None without one.
        pseudo_dice: of the last epoch that ended, the mean of the labels.
        validation_dice: mean of the fold's validation, once that is over.
        seconds_per_epoch: median of the last epochs.
        epochs_end: when the last epoch is expected to end, in seconds since 1970; the validation comes after it.
        patience: epochs after which early stopping ends the training if none of them was better; None without it.
        without_better: epochs since the best one, if early stopping has said so.
        skipped_steps: steps of the last epoch that were skipped for NaN or Inf.
        start: its number, and how many there may be, if the training has begun anew; None in its first start.
        trained: whether all epochs are over.
        validated: number of cases predicted since.
        to_validate: number of cases of the fold's validation.
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
        """Whether early stopping may end the training before `epochs_end`."""
        return self.patience is not None and not self.trained


def read_progress(log: Path, *, epochs: int | None = None) -> TrainingProgress | None:
    """The progress of the last training in a log; None if it has not said anything.

    Args:
        log: of a training stage; it may hold several attempts.
        epochs: number of the training's epochs, if its name says it.
    """
    try:
        text = "\n".join(_last_command(log))
        written = log.stat().st_mtime
    except OSError:
        return None
    reader = _Reader(TrainingProgress(epochs))
    for line in text.splitlines():
        reader.read(line)
    return reader.progress_at(written) if reader.has_read else None


def last_attempt(log: Path) -> str:
    """The end of what the last command printed, with progress bars in their last state."""
    try:
        return re.sub(r"[^\n]*\r(?!\n)", "", _last_command(log)[1])
    except OSError:
        return ""


def last_lines(printed: str) -> tuple[str, ...]:
    """The last lines that are not empty."""
    return tuple(line.rstrip() for line in printed.splitlines() if line.strip())[-LAST_LINES:]


def last_count(log: Path) -> tuple[int, int] | None:
    """How many of how many cases the last command has predicted, or else its last progress bar shows; None without."""
    try:
        head, tail = _last_command(log)
        if match := CASES_TO_PREDICT.search(head or tail):
            return _count_in_last_command(log, f"\n{CASE_PREDICTED}".encode()), int(match[1])
    except OSError:
        return None
    for line in reversed(re.split(r"[\r\n]", tail)):
        if match := COUNT.search(line):
            return int(match[1]), int(match[2])
    return None


def _last_command(log: Path) -> tuple[str, str]:
    """The beginning and the end of what the last command printed; the beginning is empty if the end is all."""
    if not log.stat().st_size:
        return "", ""
    with log.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        begin = content.rfind(COMMAND) + 1
        tail_begin = max(begin, len(content) - TAIL_BYTES)
        head = content[begin : min(tail_begin, begin + HEAD_BYTES)]
        return head.decode(errors="replace"), content[tail_begin:].decode(errors="replace")


def _count_in_last_command(log: Path, text: bytes) -> int:
    with log.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        position, count = content.rfind(COMMAND) + 1, 0
        while (position := content.find(text, position) + 1) > 0:
            count += 1
        return count


class _Reader:
    """Reads a training's lines into its progress."""

    def __init__(self, progress: TrainingProgress):
        self.progress = progress
        self.has_read = False
        self.epoch_times: list[float] = []
        self.last_stamp: datetime | None = None
        self.epoch_began: datetime | None = None

    def read(self, line: str) -> None:
        stamp, kind, numbers = read_line(line)
        progress = self.progress
        self.has_read |= bool(stamp or kind)
        if stamp:
            self.last_stamp = datetime.fromisoformat(stamp)
        if kind == "epoch":
            self.epoch_began = self.last_stamp
            progress.epoch, progress.steps, progress.skipped_steps = int(numbers[0]), None, 0
        elif kind == "seconds":
            self.epoch_times.append(numbers[0])
            progress.without_better = 0
        elif kind == "case":
            progress.validated += 1
        elif kind == "trained":
            progress.trained = True
        elif kind == "epochs":
            progress.epochs = int(numbers[0]) + 1
        elif kind == "all_trained":
            progress.epochs, progress.trained = int(numbers[0]), True
        elif kind == "steps":
            progress.steps = (int(numbers[0]), int(numbers[1]))
        elif kind in ("new_start", "start"):
            start = (int(numbers[0]), int(numbers[1]))
            if kind == "new_start":
                progress.epoch, progress.steps, progress.skipped_steps = None, None, 0
            if progress.start != start:
                progress.pseudo_dice, progress.without_better, progress.start = None, 0, start
        elif kind in ("pseudo_dice", "validation_dice"):
            setattr(progress, kind, None if isnan(numbers[0]) else numbers[0])
        elif kind in ("skipped_steps", "to_validate", "patience", "without_better"):
            setattr(progress, kind, int(numbers[0]))

    def progress_at(self, written: float) -> TrainingProgress:
        """The progress, with its expected end by the time at which the log was last written.

        The stamps in the log may be of another machine's time zone.
        """
        progress = self.progress
        if self.epoch_times:
            progress.seconds_per_epoch = median(self.epoch_times[-RECENT_EPOCHS:])
            if progress.epochs and progress.epoch is not None and not progress.trained and self.epoch_began:
                assert self.last_stamp is not None
                began = written - (self.last_stamp - self.epoch_began).total_seconds()
                progress.epochs_end = began + (progress.epochs - progress.epoch) * progress.seconds_per_epoch
        return progress
