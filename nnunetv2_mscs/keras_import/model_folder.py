"""A model folder as nnU-Net's training leaves it, written as a whole or not at all."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.keras_import.plans import CONFIGURATION
from nnunetv2_mscs.network.keras_weights import OriginalSize, load_keras_weights

FOLD = 0
CHECKPOINT = Path(f"fold_{FOLD}") / "checkpoint_final.pth"
TRAINER = "MSCSTrainerPaper"
# Keras sees x, y, z; nnU-Net reads z, y, x.
SPACE_AXES = (2, 1, 0)


def refuse_taken_folder(folder: Path, *, weights: Path, overwrite: bool) -> None:
    """Raise MscsError unless a model folder may be written to this place.

    Args:
        folder: the place.
        weights: the file that is read, which must not be deleted with a former folder.
        overwrite: whether a former model folder may be replaced.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise MscsError(f"{folder} is a file.", "Name a folder that is new or empty.")
    if not any(folder.iterdir()):
        return
    if not overwrite:
        raise MscsError(f"{folder} is not empty.", "Name another, or replace it with --overwrite.")
    if not all((folder / name).is_file() for name in ("plans.json", "dataset.json")):
        raise MscsError(
            f"{folder} is no model folder (it lacks plans.json or dataset.json), so that --overwrite leaves it alone.",
            "Look what it holds and move it away, or name another.",
        )
    if weights.resolve().is_relative_to(folder.resolve()):
        raise MscsError(f"{weights} lies in {folder}, which --overwrite would delete.", "Move the weights elsewhere.")


def write_model_folder(
    folder: Path,
    *,
    arrays: dict[str, np.ndarray],
    size: OriginalSize,
    plans: dict[str, Any],
    dataset_json: dict[str, Any],
) -> None:
    """Write plans.json, dataset.json and the checkpoint of fold 0, replacing what stood there."""
    checkpoint = {
        "network_weights": state_dict(arrays, size),
        "trainer_name": TRAINER,
        "init_args": {"plans": plans, "configuration": CONFIGURATION, "fold": FOLD, "dataset_json": dataset_json},
        "inference_allowed_mirroring_axes": None,  # the original predicts once
    }
    folder = folder.resolve()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".mscs-import-", dir=folder.parent) as beside:
            new, old = Path(beside) / "new", Path(beside) / "old"
            (new / CHECKPOINT).parent.mkdir(parents=True)
            torch.save(checkpoint, new / CHECKPOINT)
            for name, content in (("plans.json", plans), ("dataset.json", dataset_json)):
                (new / name).write_text(json.dumps(content, indent=4))
            if folder.exists():
                folder.rename(old)
            try:
                new.rename(folder)
            except BaseException:
                if old.exists():
                    old.rename(folder)
                raise
    except OSError as error:
        raise MscsError(f"{folder} cannot be written: {error}.", "Name a folder on a disk with space.") from error


def state_dict(arrays: dict[str, np.ndarray], size: OriginalSize) -> dict[str, torch.Tensor]:
    """The weights as nnU-Net's network has them; heads that the original lacks start as any do, from a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = size.network()
    load_keras_weights(network, arrays, space_axes=SPACE_AXES)
    return {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
