"""`python -m nnunetv2_mscs.pipeline.take_plans DATASET MODEL PLANS`: plans and weights of a model, for other scans.

Patch size, voxel size, normalisation and network are those that the weights need. nnU-Net's own function brings the
plans to the other data set, as `nnUNetv2_move_plans_between_datasets` does; the weights lie beside them.
"""

import json
import shutil
import sys
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.models.source import THRESHOLD, ModelSource, find_model
from nnunetv2_mscs.nnunet_files.checkpoints import WEIGHTS, read_checkpoint
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON
from nnunetv2_mscs.nnunet_files.json_files import read_json
from nnunetv2_mscs.nnunet_files.model_folder import fold_folder
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON, WEIGHTS_THRESHOLD, weights_beside
from nnunetv2_mscs.nnunet_shims.run import make_findable
from nnunetv2_mscs.sharing.compatibility import find_trainer


def model_to_adapt(name: str, results: Path | None = None) -> ModelSource:
    """The model, which has to be one network for one stage; `results` as of `find_model`.

    Raises:
        MscsError: there is none, or it is an ensemble, a cascade or no MSCS-Net.
    """
    source = find_model(name, results=results)
    models = source.selection.models.models
    if len(models) > 1 or models[0].earlier:
        raise MscsError(f"{source.name} is an ensemble or a cascade.", "Name the folder of one of its models.")
    if not models[0].trainer.startswith("MSCS"):
        raise MscsError(f"{source.name} is no MSCS-Net.", "Name a model of one of our trainers.")
    return source


def take_plans(dataset: str, model: str, plans_name: str) -> Path:
    """Write plans and weights of a model into the data set's folder of nnUNet_preprocessed; returns the plans' file.

    Raises:
        MscsError: the data set has other channels or labels than the model.
    """
    from nnunetv2.experiment_planning.plans_for_pretraining.move_plans_between_datasets import (
        move_plans_between_datasets,
    )
    from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw

    make_findable()
    source = model_to_adapt(model)
    chosen = source.selection.models.models[0]
    _check_fits(source, Path(nnUNet_raw) / dataset)
    folder = Path(nnUNet_preprocessed) / dataset
    plans = read_json(source.first_folder / PLANS_JSON)
    own = dict(plans["configurations"][chosen.configuration])
    # The network as the weights have it, also where older plans name none; nnU-Net renames the preprocessed data.
    own["architecture"] = find_trainer(chosen.trainer)[0].stored_architecture(own["architecture"], own["patch_size"])
    own["data_identifier"] = f"{plans_name}_from_{chosen.configuration}"
    beside = folder / f"{plans_name}_from.json"
    beside.write_text(json.dumps({**plans, "configurations": {chosen.configuration: own}}))
    try:
        move_plans_between_datasets(dataset, dataset, beside.stem, plans_name)
    finally:
        beside.unlink()
    # As nnU-Net's planners leave it, for the preprocessing.
    shutil.copyfile(Path(nnUNet_raw) / dataset / DATASET_JSON, folder / DATASET_JSON)
    _write_weights(source, weights_beside(folder, plans_name))
    return folder / f"{plans_name}.json"


def _check_fits(source: ModelSource, raw: Path) -> None:
    """Raise MscsError if the data set has other channels or labels than the model."""
    here, there = read_json(raw / DATASET_JSON), source.dataset_json
    for key, what in (("channel_names", "channels"), ("labels", "labels")):
        ours, theirs = (json.dumps(one.get(key), sort_keys=True).upper() for one in (here, there))
        if ours != theirs:
            raise MscsError(
                f"{raw.name} has the {what} {here.get(key)}, {source.name} {there.get(key)}.", "Match them."
            )


def _write_weights(source: ModelSource, file: Path) -> None:
    """The weights of the model's first fold, in single precision, and the threshold that was chosen for them."""
    import torch

    from nnunetv2_mscs.models.predictor import DEFAULT_THRESHOLD

    models = source.selection.models
    weights = read_checkpoint(fold_folder(source.first_folder, models.folds[0]) / models.checkpoint)[WEIGHTS]
    single = {name: tensor.float() for name, tensor in weights.items()}
    torch.save({WEIGHTS: single, WEIGHTS_THRESHOLD: source.default(THRESHOLD, DEFAULT_THRESHOLD)}, file)


if __name__ == "__main__":
    try:
        print(take_plans(*sys.argv[1:]))
    except MscsError as error:
        sys.exit(str(error))
