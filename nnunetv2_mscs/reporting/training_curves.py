"""The course of a model's training, from the logs that nnU-Net writes for each fold."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.checkpoints import MOST_TRAINED_FIRST, read_checkpoint
from nnunetv2_mscs.nnunet_files.model_folder import fold_folders
from nnunetv2_mscs.nnunet_files.training_log import LOGS, read_epochs
from nnunetv2_mscs.reporting.colours import NEUTRAL, of_model
from nnunetv2_mscs.reporting.figures import say_nothing_to_draw, styled

EMA_KEPT = 0.9
# The columns of a fold's curves, and where a checkpoint's record has them; "seconds" is a difference there.
KEYS_IN_CHECKPOINT = {
    "learning_rate": "lrs",
    "train_loss": "train_losses",
    "validation_loss": "val_losses",
    "pseudo_dice": "mean_fg_dice",
    "ema_pseudo_dice": "ema_fg_dice",
}
CURVE_COLUMNS = [*KEYS_IN_CHECKPOINT, "seconds"]
FOLD_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
FOLD_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")


@dataclass(frozen=True)
class TrainingCurves:
    """The training of a model.

    Args:
        model: its name.
        folds: by the fold's name, such as "0" or "all": one row per epoch (its number is the index) with
            `CURVE_COLUMNS`, NaN where a value is unknown.
        notes: sentences about folds without a record.
    """

    model: str
    folds: Mapping[str, pd.DataFrame]
    notes: tuple[str, ...] = ()


def read_training_curves(model_folder: Path, *, name: str = "") -> TrainingCurves:
    """Read the training of every fold that there is.

    The text logs come first: they are small, and hold every epoch of every restart. Where a fold has none, as in a
    model installed from a zip file, the record in its checkpoint is read.

    Raises:
        MscsError: no fold has any record.
    """
    read, notes = {}, []
    for fold, folder in fold_folders(model_folder).items():
        try:
            read[fold] = read_fold(folder)
        except MscsError as error:
            notes.append(f"Fold {fold}: {error}")
    if not read:
        raise MscsError(
            " ".join([f"{model_folder} holds no record of a training that can be read.", *notes]),
            f"nnU-Net writes {LOGS} into the folder of each fold.",
        )
    return TrainingCurves(name or model_folder.name.split("__")[0], read, tuple(notes))


def read_fold(folder: Path) -> pd.DataFrame:
    """The training of one fold as in `TrainingCurves`. Raises MscsError if no record of it can be read."""
    if epochs := read_epochs(folder):
        return _curves(epochs)
    for checkpoint in (folder / name for name in MOST_TRAINED_FIRST):
        if checkpoint.is_file() and (epochs := _epochs_of_checkpoint(checkpoint)):
            return _curves(epochs)
    raise MscsError("no record of its training.")


def _epochs_of_checkpoint(checkpoint: Path) -> dict[int, dict[str, float]]:
    """Values by epoch as nnU-Net's logger keeps them in a checkpoint; the weights are left on the disk."""
    try:
        record = dict(read_checkpoint(checkpoint)["logging"])
        ends = record.get("epoch_end_timestamps", [])
        columns = {column: record.get(key, []) for column, key in KEYS_IN_CHECKPOINT.items()}
        columns["seconds"] = np.subtract(ends, record.get("epoch_start_timestamps", [])[: len(ends)])
        complete = min(len(values) for name, values in columns.items() if name != "ema_pseudo_dice")
        return {
            epoch: {name: float(values[epoch]) for name, values in columns.items() if epoch < len(values)}
            for epoch in range(complete)
        }
    except (MscsError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise MscsError(
            f"{checkpoint} says nothing about its training ({error}).",
            f"Copy {LOGS} of the fold beside it, or take the checkpoint away.",
        ) from error


def _curves(epochs: dict[int, dict[str, float]]) -> pd.DataFrame:
    table = pd.DataFrame.from_dict(epochs, orient="index").reindex(columns=CURVE_COLUMNS).astype(float).sort_index()
    if table["ema_pseudo_dice"].isna().all():
        table["ema_pseudo_dice"] = _moving_average(table["pseudo_dice"].to_numpy())
    return table


def _moving_average(values: np.ndarray) -> np.ndarray:
    """nnU-Net's own: a tenth of the new value and nine tenths of the former average; it starts at the first value."""
    steps = itertools.accumulate(values, lambda average, value: EMA_KEPT * average + (1 - EMA_KEPT) * value)
    return np.array(list(steps))


def draw_training_curves(models: Sequence[TrainingCurves]) -> Figure:
    """Loss, pseudo-Dice, learning rate and epoch time over the epochs, one line per fold.

    The folds of one model differ in colour; with several models each has a colour, and each fold a kind of line.
    """
    with styled():
        figure = Figure(figsize=(8.4, 5.6), layout="constrained")
        (loss, dice), (rate, seconds) = figure.subplots(2, 2, sharex=True)
        drawn = [(m, f, epochs) for m, model in enumerate(models) for f, epochs in enumerate(model.folds.values())]
        for m, f, epochs in drawn:
            look = _look(m, f, several=len(models) > 1)
            loss.plot(epochs["validation_loss"], **look)
            loss.plot(epochs["train_loss"], **{**look, "alpha": 0.4, "linewidth": 0.9})
            dice.plot(epochs["pseudo_dice"], **{**look, "alpha": 0.35, "linewidth": 0.8})
            dice.plot(epochs["ema_pseudo_dice"], **look)
            rate.plot(epochs["learning_rate"], **look)
            seconds.plot(epochs["seconds"], **look)
        _finish(loss, "Loss: validation, pale training")
        _finish(dice, "Pseudo-Dice: moving average, pale raw")
        _finish(rate, "Learning rate")
        _finish(seconds, "Epoch time (s)")
        seconds.set_ylim(bottom=0)
        for axes in (rate, seconds):
            axes.set_xlabel("Epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
        handles = _legend(models)
        figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)))
        if notes := [f"{model.model}, {note[0].lower()}{note[1:]}" for model in models for note in model.notes]:
            figure.suptitle(" ".join(notes), fontsize=8, color=NEUTRAL, wrap=True)
        return figure


def _legend(models: Sequence[TrainingCurves]) -> list[Line2D]:
    """One line per fold; with several models one line per model, and one kind of line per fold."""
    folds = max((model.folds for model in models), key=len)
    if len(models) == 1:
        return [Line2D([], [], label=f"fold {fold}", **_look(0, f, several=False)) for f, fold in enumerate(folds)]
    by_model = [Line2D([], [], label=model.model, **_look(m, 0, several=True)) for m, model in enumerate(models)]
    kinds = [{**_look(0, f, several=True), "color": NEUTRAL} for f in range(len(folds))]
    return by_model + [Line2D([], [], label=f"fold {fold}", **kind) for fold, kind in zip(folds, kinds, strict=True)]


def _look(model: int, fold: int, *, several: bool) -> dict[str, Any]:
    if several:
        return {"color": of_model(model), "linestyle": FOLD_LINES[fold % len(FOLD_LINES)]}
    return {"color": FOLD_COLOURS[fold % len(FOLD_COLOURS)]}


def _finish(axes: Axes, title: str) -> None:
    """Title a panel. A single epoch becomes a point, which a line would not show."""
    axes.set_title(title, loc="left")
    lines = [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines]
    if not any(np.isfinite(line).any() for line in lines):
        say_nothing_to_draw(axes, "not recorded")
    for line in axes.lines:
        if len(np.atleast_1d(line.get_xdata())) == 1:
            line.set_marker("o")
