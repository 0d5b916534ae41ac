"""A stage for every model and fold: training and validation, both by nnUNetv2_train."""

import re
from collections.abc import Sequence

from nnunetv2_mscs.nnunet_files.checkpoints import FINAL_CHECKPOINT
from nnunetv2_mscs.nnunet_files.commands import nnunet_command
from nnunetv2_mscs.nnunet_files.environment import Folders
from nnunetv2_mscs.nnunet_files.model_folder import VALIDATION, fold_folder
from nnunetv2_mscs.nnunet_files.plans import CASCADE, LOW_RESOLUTION
from nnunetv2_mscs.pipeline.data_stages import REFERENCES_STAGE, SPLITS_STAGE, plan_stage, preprocess_stage
from nnunetv2_mscs.pipeline.models import PlannedModel
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.stage import Here, Stage, Training, all_of

TRAIN_PREFIX = "train_"
# The number of epochs in a trainer's name.
LENGTH = re.compile(r"_(\d+)epochs?")


def training_stage(model: PlannedModel, fold: int) -> str:
    """The stage that trains a fold of a model."""
    return f"{TRAIN_PREFIX}{model.trained.identifier}_fold{fold}"


def training_stages(
    settings: RunSettings, folders: Folders, ours: Sequence[PlannedModel], rivals: Sequence[PlannedModel]
) -> list[Stage]:
    """All trainings. Those of a cascade's second stage need all folds of its first, whose masks they read.

    If several configurations of ours compete, their ensembles compete as well; these are made from probabilities.
    """
    ordered = sorted([*ours, *rivals], key=lambda model: model.configuration == CASCADE)
    ensembled = set(ours) if len(ours) > 1 else set()
    return [_train(settings, folders, model, fold, model in ensembled) for model in ordered for fold in settings.folds]


def _train(settings: RunSettings, folders: Folders, model: PlannedModel, fold: int, ensembled: bool) -> Stage:
    folder = fold_folder(model.folder(folders, settings.dataset), fold)
    final, validation = folder / FINAL_CHECKPOINT, folder / VALIDATION
    probabilities = ["--npz"] if ensembled else []

    def commands(here: Here) -> Sequence[Sequence[str]]:
        gpus = ["-num_gpus", here.gpus] if here.gpus > 1 else []
        names = ["-tr", model.trainer, "-p", model.plans]
        words = [settings.dataset_id, model.configuration, fold, *names, *probabilities, *gpus]
        return [nnunet_command("nnUNetv2_train", *words, "-device", here.device, "--c")]

    def lacks() -> str:
        return "no probabilities for ensembles" if ensembled and not any(validation.glob("*.npz")) else ""

    prepared = (plan_stage(model.plans), preprocess_stage(model.plans, model.configuration))
    needs = [SPLITS_STAGE, REFERENCES_STAGE, *prepared]
    if model.configuration == CASCADE:
        low = PlannedModel(model.trainer, model.planner, LOW_RESOLUTION)
        needs += [training_stage(low, one) for one in settings.folds]
    return Stage(
        training_stage(model, fold),
        f"train {model.trainer} {model.configuration} fold {fold}",
        commands,
        parameters={"model": model.trained.identifier, "fold": fold},
        needs=all_of(*needs),
        makes=(folder,),
        checked=(final, validation),
        uses_gpu=True,
        training=Training(model.trainer, model.plans, final, lacks),
    )
