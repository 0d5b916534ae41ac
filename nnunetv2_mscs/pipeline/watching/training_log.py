"""How far a training is, read from what nnU-Net's command prints."""

import mmap
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean, median
from typing import Any

# Bytes of a command's output that are read: what it says before its first epoch, and its last epochs.
HEAD_BYTES = 64 * 1024
TAIL_BYTES = 64 * 1024
# Epochs whose median is the time that an epoch takes now.
RECENT_EPOCHS = 5

COMMAND = b"$ nnUNetv2_train "
STAMPED = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?): (.*)$")
EPOCH = re.compile(r"Epoch (\d+)\s*$")
PSEUDO_DICE = re.compile(r"Pseudo dice \[(.*)\]")
NUMBER = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?(?:e-?\d+)?)(?![\w.])")
BEST_EMA = re.compile(r"New best EMA pseudo Dice: ([\d.e-]+)")
EPOCH_TIME = re.compile(r"Epoch time: ([\d.]+) s")
EPOCHS_LEFT = re.compile(r"Training epochs (\d+) to (\d+)")
ALL_TRAINED = re.compile(r"All (\d+) epochs are trained")
STEPS = re.compile(r"(?:Checkpoint within epoch \d+|Epoch \d+ goes on) after (\d+) of (\d+) iterations(?! of its)")
SKIPPED = re.compile(r"(\d+) of \d+ training steps were skipped")
START = re.compile(r"(?:.* The training begins anew: |This is )start (\d+) of (\d+)")
PATIENCE = re.compile(r"training ends after (\d+) epochs without a better one")
WITHOUT_BETTER = re.compile(r"for (\d+) of \d+ epochs\.")
VALIDATION_DICE = re.compile(r"Mean Validation Dice:\s+([\d.e-]+)")
VALIDATION_CASES = re.compile(r"\d+ training and (\d+) validation cases")


@dataclass(frozen=True)
class TrainingProgress:
    """What the last attempt at a training says of itself.

    Args:
        epochs: that it will have; None if that is not known.
        epoch: that is trained, or was last; counted from 0 as nnU-Net does; None before the first.
        steps: of that epoch that were done at its last checkpoint within it, and all of them; None if it had none.
        pseudo_dice: of the last epoch that ended, the mean of the labels.
        validation_dice: mean of the fold's validation, once that is over.
        best_ema: the best moving average of the pseudo Dice that this attempt had.
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
    best_ema: float | None = None
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
        begin = max(content.rfind(COMMAND), 0)
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
        if match := STAMPED.match(line):
            self.last_stamp = datetime.fromisoformat(match[1])
            line = match[2]
        if match := EPOCH.match(line):
            self.epoch_began = self.last_stamp
            self.values |= {"epoch": int(match[1]), "steps": None, "skipped_steps": 0}
        elif match := EPOCH_TIME.match(line):
            self.epoch_times.append(float(match[1]))
            self.values["without_better"] = 0
        elif match := PSEUDO_DICE.match(line):
            self._take_up_dice(match[1])
        elif line.startswith("predicting "):
            self.values["validated"] = self.values.get("validated", 0) + 1
        elif line.startswith("Training done"):
            self.values["trained"] = True
        else:
            self._take_up_rare(line)

    def _take_up_dice(self, numbers: str) -> None:
        dices = [float(number) for number in NUMBER.findall(numbers)]
        self.values["pseudo_dice"] = fmean(dices) if dices else None

    def _take_up_rare(self, line: str) -> None:
        if match := BEST_EMA.search(line):
            self.values["best_ema"] = float(match[1])
        elif match := EPOCHS_LEFT.match(line):
            self.epochs = int(match[2]) + 1
            self.values.setdefault("epoch", None)
        elif match := ALL_TRAINED.match(line):
            self.epochs = int(match[1])
            self.values["trained"] = True
        elif match := STEPS.match(line):
            self.values["steps"] = (int(match[1]), int(match[2]))
        elif match := START.match(line):
            if "begins anew" in line:
                self.values |= {"epoch": None, "steps": None, "skipped_steps": 0}
            self._take_up_start(int(match[1]), int(match[2]))
        elif match := SKIPPED.match(line):
            self.values["skipped_steps"] = int(match[1])
        elif match := VALIDATION_CASES.search(line):
            self.values["to_validate"] = int(match[1])
        elif match := VALIDATION_DICE.match(line):
            self.values["validation_dice"] = float(match[1])
        elif match := PATIENCE.search(line):
            self.values["patience"] = int(match[1])
        elif match := WITHOUT_BETTER.search(line):
            self.values["without_better"] = int(match[1])
        elif line.startswith(("Early stopping after epoch", "checkpoint_final.pth and the validation")):
            self.values["trained"] = True

    def _take_up_start(self, number: int, starts: int) -> None:
        if self.values.get("start") != (number, starts):
            for of_the_former in ("pseudo_dice", "best_ema", "without_better"):
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
