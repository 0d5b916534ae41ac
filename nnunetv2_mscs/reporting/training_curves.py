"""The course of a model's training, from the logs that nnU-Net writes for each fold."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
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
FOLD_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
FOLD_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")


@dataclass(frozen=True)
class FoldCurves:
    """The training of one fold; all arrays (epochs,), NaN where a value is not known.

    Args:
        fold: its name, such as "0" or "all".
        source: where the numbers are from.
        epochs: their numbers, ascending.
        train_loss: as nnU-Net means it over an epoch.
        validation_loss: likewise.
        pseudo_dice: mean over the labels, on random patches.
        ema_pseudo_dice: its exponential moving average, by which nnU-Net chooses the best checkpoint.
        learning_rate: at the epoch's beginning.
        seconds: the epoch took.
    """

    fold: str
    source: str
    epochs: np.ndarray
    train_loss: np.ndarray
    validation_loss: np.ndarray
    pseudo_dice: np.ndarray
    ema_pseudo_dice: np.ndarray
    learning_rate: np.ndarray
    seconds: np.ndarray


@dataclass(frozen=True)
class TrainingCurves:
    """All folds of a model.

    Args:
        model: its name.
        folds: those whose training is recorded.
        notes: sentences about what is missing.
    """

    model: str
    folds: tuple[FoldCurves, ...]
    notes: tuple[str, ...] = field(default=())


def read_training_curves(model_folder: Path, *, name: str = "", folds: Sequence[str] = ()) -> TrainingCurves:
    """Read the training of every fold that there is.

    The text logs come first: they are small, and hold every epoch of every restart. Where a fold has none, as in a
    model installed from a zip file, the record in its checkpoint is read.

    Args:
        model_folder: with fold_0, fold_1, ...
        name: of the model; by default the trainer's.
        folds: that there should be; those without a record are named in the notes.

    Raises:
        MscsError: no fold has any record.
    """
    places = fold_folders(model_folder)
    read, notes = [], []
    for fold in (*places, *(fold for fold in folds if fold not in places)):
        try:
            curves = read_fold(places[fold]) if fold in places else None
        except MscsError as error:
            notes.append(f"Fold {fold}: {error}")
            continue
        if curves is None:
            notes.append(f"Fold {fold}: no record of its training.")
        else:
            read.append(curves)
    if not read:
        raise MscsError(
            " ".join([f"{model_folder} holds no record of a training that can be read.", *notes]),
            f"nnU-Net writes {LOGS} into the folder of each fold.",
        )
    return TrainingCurves(name or model_folder.name.split("__")[0], tuple(read), tuple(notes))


def read_fold(folder: Path) -> FoldCurves | None:
    """The training of one fold; None if nothing of it is recorded."""
    fold = folder.name.removeprefix("fold_")
    logs, epochs = read_epochs(folder)
    if epochs:
        source = f"{logs} text log{'s' * (logs != 1)}"
        return _curves(fold, source, epochs)
    for checkpoint in (folder / name for name in MOST_TRAINED_FIRST):
        if checkpoint.is_file() and (recorded := _epochs_of_checkpoint(checkpoint)):
            return _curves(fold, checkpoint.name, recorded)
    return None


def _epochs_of_checkpoint(checkpoint: Path) -> dict[int, dict[str, float]]:
    """Values by epoch as nnU-Net's logger keeps them in a checkpoint, the weights left on the disk."""
    record = _record(checkpoint)
    try:
        return _epochs_of_record(record)
    except (TypeError, ValueError, AttributeError) as error:
        raise _tells_nothing(checkpoint, error) from error


def _epochs_of_record(record: dict[str, Any]) -> dict[int, dict[str, float]]:
    columns = {
        "learning_rate": record.get("lrs", []),
        "train_loss": record.get("train_losses", []),
        "validation_loss": record.get("val_losses", []),
        "pseudo_dice": record.get("mean_fg_dice", []),
        "ema_pseudo_dice": record.get("ema_fg_dice", []),
        "seconds": np.subtract(
            record.get("epoch_end_timestamps", []),
            record.get("epoch_start_timestamps", [])[: len(record.get("epoch_end_timestamps", []))],
        ),
    }
    complete = min(len(values) for name, values in columns.items() if name != "ema_pseudo_dice")
    return {
        epoch: {name: float(values[epoch]) for name, values in columns.items() if epoch < len(values)}
        for epoch in range(complete)
    }


def _record(checkpoint: Path) -> dict[str, Any]:
    try:
        return dict(read_checkpoint(checkpoint)["logging"])
    except (MscsError, KeyError, TypeError, ValueError) as error:
        raise _tells_nothing(checkpoint, error) from error


def _tells_nothing(checkpoint: Path, error: Exception) -> MscsError:
    return MscsError(
        f"{checkpoint} says nothing about its training ({error}).",
        f"Copy {LOGS} of the fold beside it, or take the checkpoint away.",
    )


def _curves(fold: str, source: str, epochs: dict[int, dict[str, float]]) -> FoldCurves:
    numbers = np.array(sorted(epochs))

    def column(name: str) -> np.ndarray:
        return np.array([epochs[epoch].get(name, np.nan) for epoch in numbers], dtype=float)

    dice = column("pseudo_dice")
    ema = column("ema_pseudo_dice")
    return FoldCurves(
        fold=fold,
        source=source,
        epochs=numbers,
        train_loss=column("train_loss"),
        validation_loss=column("validation_loss"),
        pseudo_dice=dice,
        ema_pseudo_dice=_moving_average(dice) if np.isnan(ema).all() else ema,
        learning_rate=column("learning_rate"),
        seconds=column("seconds"),
    )


def _moving_average(values: np.ndarray) -> np.ndarray:
    """nnU-Net's own: a tenth of the new value and nine tenths of the former average; it starts at the first value."""
    average = np.empty_like(values)
    for i, value in enumerate(values):
        average[i] = EMA_KEPT * average[i - 1] + (1 - EMA_KEPT) * value if i else value
    return average


def draw_training_curves(models: Sequence[TrainingCurves]) -> Figure:
    """Loss, pseudo-Dice, learning rate and epoch time over the epochs, one line per fold.

    Of one model every fold has a colour; of several every model has one, and every fold a kind of line.
    """
    with styled():
        figure = Figure(figsize=(8.4, 5.6), layout="constrained")
        (loss, dice), (rate, seconds) = figure.subplots(2, 2, sharex=True)
        drawn = [(m, f, curves) for m, model in enumerate(models) for f, curves in enumerate(model.folds)]
        for m, f, curves in drawn:
            look = _look(m, f, several=len(models) > 1)
            loss.plot(curves.epochs, curves.validation_loss, **look)
            loss.plot(curves.epochs, curves.train_loss, **{**look, "alpha": 0.4, "linewidth": 0.9})
            dice.plot(curves.epochs, curves.pseudo_dice, **{**look, "alpha": 0.35, "linewidth": 0.8})
            dice.plot(curves.epochs, curves.ema_pseudo_dice, **look)
            rate.plot(curves.epochs, curves.learning_rate, **look)
            seconds.plot(curves.epochs, curves.seconds, **look)
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
        return [Line2D([], [], label=f"fold {c.fold}", **_look(0, f, several=False)) for f, c in enumerate(folds)]
    by_model = [Line2D([], [], label=model.model, **_look(m, 0, several=True)) for m, model in enumerate(models)]
    kinds = [{**_look(0, f, several=True), "color": NEUTRAL} for f in range(len(folds))]
    return by_model + [Line2D([], [], label=f"fold {c.fold}", **kind) for c, kind in zip(folds, kinds, strict=True)]


def _look(model: int, fold: int, *, several: bool) -> dict[str, Any]:
    if several:
        return {"color": of_model(model), "linestyle": FOLD_LINES[fold % len(FOLD_LINES)]}
    return {"color": FOLD_COLOURS[fold % len(FOLD_COLOURS)]}


def _finish(axes: Axes, title: str) -> None:
    """Title a panel; an epoch by itself becomes a point, as no line would show it."""
    axes.set_title(title, loc="left")
    lines = [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines]
    if not any(np.isfinite(line).any() for line in lines):
        say_nothing_to_draw(axes, "not recorded")
    for line in axes.lines:
        if len(np.atleast_1d(line.get_xdata())) == 1:
            line.set_marker("o")
