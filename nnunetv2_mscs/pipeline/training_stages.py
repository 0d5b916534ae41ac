"""A stage for every model and fold: training and validation, each by nnU-Net's own command."""

import re
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_mscs.nnunet_files.checkpoints import FINAL_CHECKPOINT
from nnunetv2_mscs.nnunet_files.commands import nnunet_command
from nnunetv2_mscs.nnunet_files.environment import Folders
from nnunetv2_mscs.nnunet_files.model_folder import VALIDATION, fold_folder
from nnunetv2_mscs.nnunet_files.plans import CASCADE, LOW_RESOLUTION
from nnunetv2_mscs.pipeline.data_stages import REFERENCES_STAGE, SPLITS, plan_stage, preprocess_stage
from nnunetv2_mscs.pipeline.models import PlannedModel
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.stage import Here, Stage, Training

LENGTH = re.compile(r"_(\d+)epochs?")


def training_stage(model: PlannedModel, fold: int) -> str:
    return f"train_{model.trained.identifier}_fold{fold}"


def training_stages(
    settings: RunSettings, folders: Folders, ours: Sequence[PlannedModel], rivals: Sequence[PlannedModel]
) -> list[Stage]:
    """All trainings; those of a cascade's second stage come after all folds of its first, whose masks they read.

    Where several configurations of ours compete, so do their ensembles, which are made from probabilities.
    """
    ordered = sorted([*ours, *rivals], key=lambda model: model.configuration == CASCADE)
    ensembled = set(ours) if len(ours) > 1 else set()
    return [_train(settings, folders, model, fold, model in ensembled) for model in ordered for fold in settings.folds]


def _train(settings: RunSettings, folders: Folders, model: PlannedModel, fold: int, ensembled: bool) -> Stage:
    folder = fold_folder(model.folder(folders, settings.dataset), fold)
    validation = folder / VALIDATION
    probabilities = ["--npz"] if ensembled else []

    def commands(here: Here) -> Sequence[Sequence[str]]:
        gpus = ["-num_gpus", here.gpus] if here.gpus > 1 else []
        names = ["-tr", model.trainer, "-p", model.plans]
        words = [settings.dataset_id, model.configuration, fold, *names, *probabilities, *gpus]
        return [nnunet_command("nnUNetv2_train", *words, "-device", here.device, "--c")]

    first_stage: list[str] = []
    if model.configuration == CASCADE:
        low = PlannedModel(model.trainer, model.planner, LOW_RESOLUTION)
        first_stage = [training_stage(low, one) for one in settings.folds]
    final = folder / FINAL_CHECKPOINT
    return Stage(
        training_stage(model, fold),
        f"train {model.trainer} {model.configuration} fold {fold}",
        commands,
        parameters={"model": model.trained.identifier, "fold": fold},
        needs=(SPLITS, *_data_of(model), *first_stage),
        makes=(folder,),
        outputs=lambda: [final, validation],
        uses_gpu=True,
        resumes=True,
        resumes_from=final,
        training=Training(model.trainer, model.plans, model.configuration, fold, epochs_of(model.trainer), folder),
        # The validation alone is done again for them: the training itself goes on from its end.
        lacks=lambda: "no probabilities for ensembles" if ensembled and not _has(validation, "*.npz") else "",
    )


def _data_of(model: PlannedModel) -> tuple[str, ...]:
    return (REFERENCES_STAGE, plan_stage(model.plans), preprocess_stage(model.plans, model.configuration))


def _has(folder: Path, pattern: str) -> bool:
    return next(folder.glob(pattern), None) is not None


def epochs_of(trainer: str) -> int | None:
    """The length in a trainer's name; None if it does not say."""
    match = LENGTH.search(trainer)
    return int(match[1]) if match else None
