"""A stage for every model and fold: training and validation, each by nnU-Net's own command."""

import re
from collections.abc import Sequence

from nnunetv2_mscs.pipeline.commands import nnunet_command
from nnunetv2_mscs.pipeline.graph.data_stages import SPLITS, plan_stage, preprocess_stage
from nnunetv2_mscs.pipeline.graph.models import Model
from nnunetv2_mscs.pipeline.graph.settings import Folders, RunSettings
from nnunetv2_mscs.pipeline.graph.stage import Here, Stage, Training

LENGTH = re.compile(r"_(\d+)epochs?")
CASCADE, LOW_RESOLUTION = "3d_cascade_fullres", "3d_lowres"


def training_stage(model: Model, fold: int) -> str:
    return f"train_{model.folder_name}_fold{fold}"


def training_stages(
    settings: RunSettings, folders: Folders, models: Sequence[Model], *, ensembles: bool
) -> list[Stage]:
    """All trainings; those of a cascade's second stage come after all folds of its first, whose masks they read.

    Args:
        ensembles: whether probabilities are to be kept, from which ensembles are made.
    """
    ordered = sorted(models, key=lambda model: model.configuration == CASCADE)
    return [_train(settings, folders, model, fold, ensembles) for model in ordered for fold in settings.folds]


def _train(settings: RunSettings, folders: Folders, model: Model, fold: int, ensembles: bool) -> Stage:
    folder = model.folder(folders, settings.dataset) / f"fold_{fold}"
    probabilities = ["--npz"] if ensembles else []

    def commands(here: Here) -> Sequence[Sequence[str]]:
        gpus = ["-num_gpus", here.gpus] if here.gpus > 1 else []
        words = [settings.dataset_id, model.configuration, fold, *model.words, *probabilities, *gpus]
        return [nnunet_command("nnUNetv2_train", *words, "-device", here.device, "--c")]

    first_stage: list[str] = []
    if model.configuration == CASCADE:
        low = Model(model.trainer, model.planner, LOW_RESOLUTION)
        first_stage = [training_stage(low, one) for one in settings.folds]
    final = folder / "checkpoint_final.pth"
    return Stage(
        training_stage(model, fold),
        f"train {model.trainer} {model.configuration} fold {fold}",
        commands,
        parameters={"model": model.folder_name, "fold": fold, "probabilities": ensembles},
        needs=(SPLITS, plan_stage(model.plans), preprocess_stage(model.plans), *first_stage),
        makes=(folder,),
        outputs=lambda: [final, folder / "validation"],
        uses_gpu=True,
        resumes=True,
        resumes_from=final,
        training=Training(model.trainer, model.plans, model.configuration, fold, epochs_of(model.trainer), folder),
    )


def epochs_of(trainer: str) -> int | None:
    """The length in a trainer's name; None if it does not say."""
    match = LENGTH.search(trainer)
    return int(match[1]) if match else None
