"""Durations, moments and progress in few words."""

import time

from nnunetv2_mscs.pipeline.watching.training_progress import TrainingProgress

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


def duration(seconds: float) -> str:
    """Such as 12 s, 7 min, 3 h 20 min, 2 d 4 h."""
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min"
    if whole < DAY_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"
    return f"{whole // DAY_S} d {whole % DAY_S // HOUR_S} h"


def moment(seconds: float, now: float) -> str:
    """A moment in this machine's time: only the hour if it is within half a day."""
    pattern = "%H:%M" if abs(seconds - now) < DAY_S / 2 else "%a %d %b %H:%M"
    return time.strftime(pattern, time.localtime(seconds))


def training_words(progress: TrainingProgress, now: float) -> str:
    """How far a training is: epoch, pseudo Dice, seconds an epoch, expected end."""
    if progress.trained:
        total = "" if progress.to_validate is None else f" of {progress.to_validate}"
        return f"validating case {progress.validated}{total}"
    words = [_epoch_words(progress)] if progress.epoch is not None else ["begins"]
    if progress.pseudo_dice is not None:
        words.append(f"pseudo Dice {progress.pseudo_dice:.2f}")
    if progress.seconds_per_epoch is not None:
        words.append(f"{progress.seconds_per_epoch:.3g} s/epoch")
    if progress.epochs_end is not None:
        words.append(f"ends {'by ' if progress.is_latest_end else ''}{moment(progress.epochs_end, now)}")
    if progress.skipped_steps:
        words.append(f"{progress.skipped_steps} steps skipped (NaN)")
    if progress.start:
        words.append(start_words(progress.start))
    return ", ".join(words)


def start_words(start: tuple[int, int]) -> str:
    return f"start {start[0]} of {start[1]}"


def _epoch_words(progress: TrainingProgress) -> str:
    """Counted from 1, as it is of so many."""
    assert progress.epoch is not None
    words = f"epoch {progress.epoch + 1}{f'/{progress.epochs}' if progress.epochs else ''}"
    if progress.steps:
        words += f" ({100 * progress.steps[0] // progress.steps[1]} %)"
    if progress.patience and progress.without_better:
        words += f" ({progress.without_better}/{progress.patience} without a better one)"
    return words
