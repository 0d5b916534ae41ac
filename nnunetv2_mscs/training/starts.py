"""How often a training has begun, and when its start has failed; nothing heavy is imported."""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

# A checkpoint's entry, among the trainer's arguments, which a stock nnU-Net passes over.
START = "start"
MAX_STARTS = 3
# Training steps after which a network that predicts no foreground is not expected to learn any more.
STEPS_WITHOUT_FOREGROUND = 500
# A start with an epoch of this pseudo Dice has not failed, whatever comes later.
ESTABLISHED_DICE = 0.1
# What a new start's initial learning rate is, of the one before.
GENTLER = 0.3


@dataclass(frozen=True)
class Start:
    """One beginning of a training.

    Attributes:
        number: from 1.
        steps_without_foreground: training steps since an epoch whose validation predicted foreground. Epochs without
            foreground in the references count neither way.
    """

    number: int = 1
    steps_without_foreground: int = 0

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any] | None) -> "Start":
        """The start that a checkpoint's entry names; the first, if it has none, as those of older versions."""
        return cls(entry["number"], entry["steps_without_foreground"]) if entry else cls()

    def entry(self, initial_lr: float) -> dict[str, Any]:
        """What a checkpoint keeps, in plain numbers."""
        return asdict(self) | {"initial_lr": float(initial_lr)}

    def after_epoch(self, steps: int, *, in_references: bool, predicted: bool) -> "Start":
        """The start after an epoch of so many training steps, by whether its validation had any foreground."""
        if predicted:
            return replace(self, steps_without_foreground=0)
        if in_references:
            return replace(self, steps_without_foreground=self.steps_without_foreground + steps)
        return self

    def next(self) -> "Start":
        return Start(self.number + 1)

    def seed(self, fold: int | str) -> int:
        """Of the initial weights: the same in every process, another for every fold and start."""
        return zlib.crc32(f"fold {fold}, start {self.number}".encode())


def best_dice(pseudo_dices: Sequence[float]) -> float:
    """The best pseudo Dice of a history; 0 without any."""
    return max((dice for dice in pseudo_dices if math.isfinite(dice)), default=0.0)
