"""When to stop: how long ago the watched value was at its best, as a function of its logged history alone.

nnU-Net keeps the whole history in every checkpoint, and so a resumed training counts on where the checkpoint stands.
"""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PATIENCE = 70
EMA_SHARE = 0.1  # nnU-Net's share of the newest epoch in its moving average


@dataclass(frozen=True)
class Progress:
    """Where a history stands.

    Attributes:
        best_epoch: the first epoch, from 0, with the best value; None as long as there is no finite one.
        best: its value.
        epochs_since_best: finished epochs after it; all of them where there is no best.
    """

    best_epoch: int | None
    best: float
    epochs_since_best: int


@dataclass(frozen=True)
class Watched:
    """A value that decides which epoch is the best.

    Attributes:
        name: as the log calls it.
        history: the value of every finished epoch, from what nnU-Net has logged.
        better: whether its first argument is better than its second.
    """

    name: str
    history: Callable[[dict], Sequence[float]]
    better: Callable[[float, float], bool]

    def progress(self, logged: dict) -> Progress:
        """Where training stands by what nnU-Net has logged. A value that is NaN or Inf is never better than another."""
        history = self.history(logged)
        best_epoch, best = None, math.nan
        for epoch, value in enumerate(history):
            if math.isfinite(value) and (best_epoch is None or self.better(value, best)):
                best_epoch, best = epoch, float(value)
        since = len(history) if best_epoch is None else len(history) - 1 - best_epoch
        return Progress(best_epoch, best, since)


def moving_average(values: Sequence[float]) -> list[float]:
    """Exponential moving average as nnU-Net's `ema_fg_dice`: a_0 = v_0, a_i = 0.9 a_(i-1) + 0.1 v_i.

    An epoch of NaN (nothing to find and nothing found in any of its patches) leaves the average as it was, where
    nnU-Net's stays NaN for the rest of the training.
    """
    averages: list[float] = []
    average = math.nan
    for value in values:
        if math.isfinite(value):
            average = value if math.isnan(average) else (1 - EMA_SHARE) * average + EMA_SHARE * value
        averages.append(average)
    return averages


PSEUDO_DICE = Watched(
    "moving average of the pseudo Dice", lambda logged: moving_average(logged["mean_fg_dice"]), operator.gt
)
VALIDATION_LOSS = Watched("validation loss", lambda logged: logged["val_losses"], operator.lt)
