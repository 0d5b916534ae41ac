"""The demo's stages: the commands that a person would type, and what tells that one is through."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.demo.settings import DemoSettings
from nnunetv2_mscs.nnunet_files.commands import device_options, nnunet_command, predict_words
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, IMAGES_TS, LABELS_TS, dataset_name
from nnunetv2_mscs.nnunet_files.environment import PREPROCESSED, RAW, RESULTS, VARIABLES, Folders, process_variables
from nnunetv2_mscs.nnunet_files.model_folder import SUMMARY, Model, ModelSet
from nnunetv2_mscs.pipeline.commands import mscs_command
from nnunetv2_mscs.workplace.parallel import default_processes

PLANS = "MSCSPlans"
DATASET_ID, NAME = 1, "Phantoms"
DATASET = dataset_name(DATASET_ID, NAME)
PHANTOMS, PREDICTIONS = "phantoms", "predictions"
FOLD = 0


@dataclass(frozen=True)
class DemoStage:
    """One command of the demo.

    Args:
        title: what it does, for the progress bar.
        words: the command.
        makes: what it writes, in the demo's folder; removed before it, or a stage before it, starts anew.
        resumes: whether the command goes on by itself where it was interrupted.
        epochs: of a training, for its progress.
    """

    title: str
    words: Sequence[str]
    makes: str
    resumes: bool = False
    epochs: int | None = None


def stages(settings: DemoSettings, *, device: str, epochs: int) -> list[DemoStage]:
    """The stages in order; all paths are relative to the demo's folder."""
    raw = f"{RAW}/{DATASET}"
    workers = default_processes()
    model = ("-tr", settings.trainer, "-p", PLANS)
    phantom = mscs_command(
        "phantom",
        *(PHANTOMS, "--cases", settings.cases, "--seed", settings.seed),
        *("--size", *settings.size, "--spacing", *settings.spacing_mm, "-np", workers),
    )
    convert = mscs_command(
        "convert",
        *(PHANTOMS, DATASET_ID, NAME),
        *("--test-fraction", settings.unseen_fraction, "--seed", settings.seed, "-np", workers),
    )
    plan = nnunet_command(
        "nnUNetv2_plan_and_preprocess",
        *("-d", DATASET_ID, "-pl", "MSCSPlanner", "-c", settings.configuration),
        *("-gpu_memory_target", settings.memory_target_gb, "-np", workers, "-npfp", workers),
    )
    train = nnunet_command(
        "nnUNetv2_train",
        *(DATASET_ID, settings.configuration, FOLD, *model, "-device", device, "--c"),
    )
    models = ModelSet(DATASET, (Model(settings.trainer, PLANS, settings.configuration),), (str(FOLD),))
    predict = nnunet_command(
        *predict_words(models, models.models[0], f"{raw}/{IMAGES_TS}", PREDICTIONS, *device_options(device, 1))
    )
    evaluate = nnunet_command(
        "nnUNetv2_evaluate_folder",
        *(f"{raw}/{LABELS_TS}", PREDICTIONS, "-djfile", f"{raw}/{DATASET_JSON}"),
        *("-pfile", f"{PREPROCESSED}/{DATASET}/{PLANS}.json", "-o", SUMMARY, "-np", workers),
    )
    return [
        DemoStage("phantoms", phantom, makes=PHANTOMS),
        DemoStage("convert", convert, makes=raw),
        DemoStage("plan and preprocess", plan, makes=f"{PREPROCESSED}/{DATASET}"),
        DemoStage("train", train, makes=f"{RESULTS}/{DATASET}", resumes=True, epochs=epochs),
        DemoStage("predict unseen cases", predict, makes=PREDICTIONS),
        DemoStage("evaluate", evaluate, makes=SUMMARY),
    ]


def environment(folder: Path) -> dict[str, str]:
    """Variables that the commands need: nnU-Net's folders, and few workers where there are few cores."""
    workers = 1 if default_processes() <= 4 else 4
    return {
        **process_variables(augmenting=workers, others=workers),
        **Folders(*(folder / name for name in VARIABLES)).environment,
    }
