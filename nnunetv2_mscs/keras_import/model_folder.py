"""A model folder as nnU-Net's training leaves it, written as a whole or not at all."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.keras_import.keras_weights import OriginalSize, load_keras_weights
from nnunetv2_mscs.keras_import.plans import CONFIGURATION, PLANNER
from nnunetv2_mscs.nnunet_files.checkpoints import FINAL_CHECKPOINT
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON
from nnunetv2_mscs.nnunet_files.model_folder import fold_folder
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.workplace.hidden_places import NEW, clear_leftovers, hidden_place, made, replace_folder

FOLD = 0
CHECKPOINT = fold_folder(Path(), FOLD) / FINAL_CHECKPOINT
TRAINER = "MSCSTrainerPaper"
PREFIX = ".mscs-import-"
# Keras sees x, y, z; nnU-Net reads z, y, x.
SPACE_AXES = (2, 1, 0)


def refuse_taken_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise MscsError unless a model folder may be written to this place.

    Args:
        folder: the place.
        overwrite: whether what an import wrote may be replaced. Any model of nnU-Net's is a folder with plans.json and
            dataset.json; only one with an import's plans and an import's files alone is known to be no training.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise MscsError(f"{folder} is a file.", "Name a folder that is new or empty.")
    if not any(folder.iterdir()):
        return
    if not overwrite:
        raise MscsError(f"{folder} is not empty.", "Name another, or replace it with --overwrite.")
    remedy = "Check what it holds and move it away, or name another."
    if _planner(folder) != PLANNER:
        raise MscsError(
            f"{folder} is not a model folder of an import (its plans.json is missing or not by {PLANNER}), so that "
            "--overwrite leaves it alone.",
            remedy,
        )
    foreign = _foreign(folder)
    if foreign:
        raise MscsError(f"{folder} holds {foreign}, not by an import, so that --overwrite leaves it alone.", remedy)


def _planner(folder: Path) -> Any:
    """The planner that plans.json names; None if it cannot be read."""
    try:
        return json.loads((folder / PLANS_JSON).read_bytes())["experiment_planner_used"]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _foreign(folder: Path) -> Path | None:
    """A file or folder that `write_model_folder` does not write, relative to the model folder."""
    written = {Path(PLANS_JSON), Path(DATASET_JSON), CHECKPOINT.parent, CHECKPOINT}
    return min({path.relative_to(folder) for path in folder.rglob("*")} - written, default=None)


def write_model_folder(
    folder: Path,
    *,
    arrays: dict[str, np.ndarray],
    size: OriginalSize,
    plans: dict[str, Any],
    dataset_json: dict[str, Any],
    overwrite: bool,
    together_with: AbstractContextManager[None],
) -> None:
    """Write plans.json, dataset.json and the checkpoint of fold 0, replacing what an import left there.

    A killed process leaves them hidden beside `folder`; the next run removes them, and puts back what it had set aside.

    Args:
        folder: to be written.
        arrays: the weights by their readable names.
        size: of the network.
        plans: nnU-Net's.
        dataset_json: nnU-Net's.
        overwrite: see `refuse_taken_folder`.
        together_with: what is to be done if the folder comes to its place, and undone if it does not.
    """
    checkpoint = {
        "network_weights": state_dict(arrays, size),
        "trainer_name": TRAINER,
        "init_args": {"plans": plans, "configuration": CONFIGURATION, "fold": FOLD, "dataset_json": dataset_json},
        "inference_allowed_mirroring_axes": None,  # the original predicts once
    }
    folder = folder.resolve()
    try:
        with made(folder.parent):
            clear_leftovers(folder.parent, PREFIX)
            with hidden_place(folder.parent, PREFIX) as place:
                new = place / NEW
                (new / CHECKPOINT).parent.mkdir(parents=True)
                torch.save(checkpoint, new / CHECKPOINT)
                for name, content in ((PLANS_JSON, plans), (DATASET_JSON, dataset_json)):
                    (new / name).write_text(json.dumps(content, indent=4))
                refuse_taken_folder(folder, overwrite=overwrite)
                with together_with:
                    if folder.exists():
                        replace_folder(folder, new, place)
                    else:
                        new.rename(folder)
    except OSError as error:
        raise MscsError(f"{folder} cannot be written: {error}.", "Name a folder on a disk with space.") from error


def state_dict(arrays: dict[str, np.ndarray], size: OriginalSize) -> dict[str, torch.Tensor]:
    """The weights as nnU-Net's network has them; heads that the original lacks start as any do, from a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = size.network()
    load_keras_weights(network, arrays, space_axes=SPACE_AXES)
    return {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
