"""The demo's stages: the commands that a person would type, in order; all paths are relative to the demo's folder."""

from pathlib import Path

from nnunetv2_mscs.demo.settings import DemoSettings
from nnunetv2_mscs.nnunet_files.checkpoints import FINAL_CHECKPOINT
from nnunetv2_mscs.nnunet_files.commands import nnunet_command
from nnunetv2_mscs.nnunet_files.dataset import IMAGES_TS, LABELS_TS, dataset_name
from nnunetv2_mscs.nnunet_files.environment import PREPROCESSED, RAW, RESULTS, VARIABLES, Folders, process_variables
from nnunetv2_mscs.nnunet_files.model_folder import VALIDATION, Model, fold_folder
from nnunetv2_mscs.nnunet_files.plans import preprocessed_folder
from nnunetv2_mscs.pipeline.commands import mscs_command
from nnunetv2_mscs.pipeline.stage import Stage, Training, all_of
from nnunetv2_mscs.workplace.resources import default_processes

PLANNER, PLANS = "MSCSPlanner", "MSCSPlans"
DATASET_ID, NAME = 1, "Phantoms"
DATASET = dataset_name(DATASET_ID, NAME)
FIRST_SCAN, FIRST_MASK = "first_scan", "first_mask"
PHANTOMS, PREDICTIONS = "phantoms", "predictions"
# The first scan is none of those that are trained on or predicted afterwards.
FIRST_SEED = 1_000_003
EVALUATION, REPORT = "evaluation", "report.html"
MODEL_NAME, REPORT_TITLE = "MSCS-Net", "Demo: unseen phantoms"
FOLD = 0
WAIT_ASLEEP = {"OMP_WAIT_POLICY": "passive"}


def demo_stages(folder: Path, settings: DemoSettings) -> list[Stage]:
    """The stages of the demo in a folder."""
    return [
        _first_scan(folder, settings),
        _first_mask(folder),
        _phantoms(folder, settings),
        _convert(folder, settings),
        _plan(folder, settings),
        _train(folder, settings),
        _predict(folder),
        _evaluate(folder),
        _report(folder),
    ]


def _first_scan(folder: Path, settings: DemoSettings) -> Stage:
    """One phantom with a lesion."""
    seed = settings.seed + FIRST_SEED
    words = (
        *(FIRST_SCAN, "--cases", 1, "--seed", seed, "--lesion-free", 0),
        *("--size", *settings.size, "--spacing", *settings.spacing_mm),
    )
    return Stage(
        "first_scan",
        "one scan",
        lambda here: [mscs_command("phantom", *words)],
        parameters={"seed": seed, "size": list(settings.size), "spacing_mm": list(settings.spacing_mm)},
        makes=(folder / FIRST_SCAN,),
    )


def _first_mask(folder: Path) -> Stage:
    """Its mask by the weights that come with this package, before anything is trained."""
    words = (f"{FIRST_SCAN}/images", "-o", FIRST_MASK)
    return Stage(
        "first_mask",
        "mask by the weights of this package",
        lambda here: [mscs_command("predict", *words, "--device", here.device)],
        parameters={},
        needs=all_of("first_scan"),
        makes=(folder / FIRST_MASK,),
    )


def _phantoms(folder: Path, settings: DemoSettings) -> Stage:
    words = (
        *(PHANTOMS, "--cases", settings.cases, "--seed", settings.seed),
        *("--size", *settings.size, "--spacing", *settings.spacing_mm),
    )
    return Stage(
        "phantoms",
        "phantoms",
        lambda here: [mscs_command("phantom", *words, "-np", here.workers)],
        parameters={
            "seed": settings.seed,
            "cases": settings.cases,
            "size": list(settings.size),
            "spacing_mm": list(settings.spacing_mm),
        },
        makes=(folder / PHANTOMS,),
    )


def _convert(folder: Path, settings: DemoSettings) -> Stage:
    words = (PHANTOMS, DATASET_ID, NAME, "--test-fraction", settings.unseen_fraction, "--seed", settings.seed)
    return Stage(
        "convert",
        "convert",
        lambda here: [mscs_command("convert", *words, "-np", here.workers)],
        parameters={"seed": settings.seed, "unseen_fraction": settings.unseen_fraction},
        needs=all_of("phantoms"),
        makes=(folder / RAW / DATASET,),
    )


def _plan(folder: Path, settings: DemoSettings) -> Stage:
    words = (
        *("-d", DATASET_ID, "-pl", PLANNER, "-c", settings.configuration),
        *("-gpu_memory_target", settings.memory_target_gb),
    )
    made = folder / PREPROCESSED / DATASET
    return Stage(
        "plan",
        "plan and preprocess",
        lambda here: [
            nnunet_command("nnUNetv2_plan_and_preprocess", *words, "-np", here.workers, "-npfp", here.workers)
        ],
        parameters={"configuration": settings.configuration, "memory_target_gb": settings.memory_target_gb},
        needs=all_of("convert"),
        makes=(made,),
        checked=(made / f"{PLANS}.json", made / preprocessed_folder(PLANNER, PLANS, settings.configuration)),
    )


def _train(folder: Path, settings: DemoSettings) -> Stage:
    words = (DATASET_ID, settings.configuration, FOLD, "-tr", settings.trainer, "-p", PLANS)
    model = Model(settings.trainer, PLANS, settings.configuration)
    fold = fold_folder(folder / RESULTS / DATASET / model.identifier, FOLD)
    final = fold / FINAL_CHECKPOINT
    return Stage(
        "train",
        "train",
        lambda here: [nnunet_command("nnUNetv2_train", *words, "-device", here.device, "--c")],
        parameters={"trainer": settings.trainer},
        needs=all_of("plan"),
        makes=(folder / RESULTS / DATASET,),
        checked=(final, fold / VALIDATION),
        training=Training(settings.trainer, PLANS, final),
    )


def _predict(folder: Path) -> Stage:
    words = (f"{RAW}/{DATASET}/{IMAGES_TS}", "-m", DATASET_ID, "-o", PREDICTIONS)
    return Stage(
        "predict",
        "predict unseen cases",
        lambda here: [mscs_command("predict", *words, "--device", here.device)],
        parameters={},
        needs=all_of("convert", "train"),
        makes=(folder / PREDICTIONS,),
    )


def _evaluate(folder: Path) -> Stage:
    words = (PREDICTIONS, f"{RAW}/{DATASET}/{LABELS_TS}", "-o", EVALUATION, "--names", MODEL_NAME)
    return Stage(
        "evaluate",
        "evaluate",
        lambda here: [mscs_command("evaluate", *words, "-np", here.workers)],
        parameters={"model": MODEL_NAME},
        needs=all_of("convert", "predict"),
        makes=(folder / EVALUATION,),
    )


def _report(folder: Path) -> Stage:
    words = (EVALUATION, "-o", REPORT, "--title", REPORT_TITLE)
    return Stage(
        "report",
        "report",
        lambda here: [mscs_command("report", *words, "-np", here.workers)],
        parameters={"title": REPORT_TITLE},
        needs=all_of("convert", "predict", "evaluate"),
        makes=(folder / REPORT,),
    )


def environment(folder: Path) -> dict[str, str]:
    """Variables that the commands need: nnU-Net's folders, and few workers where there are few cores.

    Threads that wait sleep instead of spinning: beside other work a training is many times faster with it.
    """
    workers = 1 if default_processes() <= 4 else 4
    return {
        **WAIT_ASLEEP,
        **process_variables(augmenting=workers, others=workers),
        **Folders(*(folder / name for name in VARIABLES)).environment,
    }
