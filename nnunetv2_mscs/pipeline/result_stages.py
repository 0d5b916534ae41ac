"""After the trainings: the best configuration, predictions of the test cases, evaluation and report."""

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from nnunetv2_mscs.models.shipped import place_of
from nnunetv2_mscs.nnunet_files.best_configuration import BEST_INSTRUCTIONS, BEST_RECORD
from nnunetv2_mscs.nnunet_files.commands import device_options, nnunet_command, postprocess_words, predict_words
from nnunetv2_mscs.nnunet_files.dataset import FOLDS, IMAGES_TR, IMAGES_TS, LABELS_TS, REFERENCES, SPLITS
from nnunetv2_mscs.nnunet_files.environment import Folders
from nnunetv2_mscs.pipeline.commands import mscs_command
from nnunetv2_mscs.pipeline.data_stages import REFERENCES_STAGE, SPLITS_STAGE, of_raw
from nnunetv2_mscs.pipeline.models import PlannedModel, model_set
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.source import Source
from nnunetv2_mscs.pipeline.stage import Here, Stage, all_of
from nnunetv2_mscs.pipeline.state import RunFolder
from nnunetv2_mscs.pipeline.training_stages import training_stage

BEST_STAGE, PREDICT_STAGE, BEFORE_STAGE = "best_configuration", "predict", "before"
EVALUATE_STAGE, REPORT_STAGE = "evaluate", "report"
EVALUATE_TEST_STAGE, REPORT_TEST_STAGE = "evaluate_test", "report_test"


def result_stages(
    settings: RunSettings,
    folders: Folders,
    source: Source,
    run: RunFolder,
    ours: Sequence[PlannedModel],
    rivals: Sequence[PlannedModel],
) -> list[Stage]:
    """Predictions only if the source has test cases, and their scores only if these have masks."""
    stages = [_best(settings, folders, ours)]
    if settings.adapt:
        stages.append(_before(settings, folders, source, run))
    if source.has_test_cases:
        stages.append(_predict(settings, folders, source, run, ours))
    stages += [_evaluate(settings, folders, run, ours, rivals), _report(run)]
    if source.has_test_labels:
        stages += [_evaluate_test(settings, source, run, ours), _report_test(source, run)]
    return stages


def _best(settings: RunSettings, folders: Folders, ours: Sequence[PlannedModel]) -> Stage:
    data_set = folders.results / settings.dataset
    competing = [*combinations(ours, 1), *combinations(ours, 2)]
    alone = ["--disable_ensembling"] if len(ours) == 1 else []
    words = [
        *(settings.dataset_id, "-c", *settings.configurations, "-tr", ours[0].trainer, "-p", ours[0].plans),
        *("-f", *settings.folds, *alone),
    ]
    return Stage(
        BEST_STAGE,
        "best configuration and postprocessing",
        lambda here: [nnunet_command("nnUNetv2_find_best_configuration", *words, "-np", here.workers)],
        parameters={
            "trainer": ours[0].trainer,
            "plans": ours[0].plans,
            "configurations": list(settings.configurations),
            "folds": list(settings.folds),
        },
        needs=all_of(*_trained(settings, ours)),
        makes=(
            *(data_set / model_set(settings, models).decisions for models in competing),
            *(data_set / name for name in (BEST_RECORD, BEST_INSTRUCTIONS)),
        ),
    )


def _trained(settings: RunSettings, models: Sequence[PlannedModel]) -> list[str]:
    return [training_stage(model, fold) for model in models for fold in settings.folds]


def _predict(
    settings: RunSettings, folders: Folders, source: Source, run: RunFolder, ours: Sequence[PlannedModel]
) -> Stage:
    images = source.raw / IMAGES_TS

    def commands(here: Here) -> Sequence[Sequence[str]]:
        if len(ours) > 1:
            words = (images, "-m", settings.dataset_id, "-o", run.predictions, "--device", here.device)
            return [mscs_command("predict", *words)]
        models, raw_masks = model_set(settings, ours), run.unprocessed_predictions
        options = device_options(here.device, here.workers)
        predict = predict_words(models, models.models[0], images, raw_masks, *options)
        postprocess = postprocess_words(models, folders.results / settings.dataset, raw_masks, run.predictions)
        return [nnunet_command(*predict), nnunet_command(*postprocess, "-np", here.workers)]

    return Stage(
        PREDICT_STAGE,
        "predict test cases",
        commands,
        parameters={"configurations": list(settings.configurations), "folds": list(settings.folds)},
        **of_raw(source, IMAGES_TS, needs=(BEST_STAGE,)),
        makes=(run.predictions, run.unprocessed_predictions),
        checked=(run.predictions,),
        uses_gpu=True,
    )


def _before(settings: RunSettings, folders: Folders, source: Source, run: RunFolder) -> Stage:
    """Masks of the held-out cases by the model as it was, to compare those of its adaptation with."""
    model, images = str(settings.adapt), source.raw / IMAGES_TR
    splits = folders.preprocessed / settings.dataset / SPLITS

    def commands(here: Here) -> Sequence[Sequence[str]]:
        scans = [images]
        if settings.folds != FOLDS and splits.is_file():
            folds = json.loads(splits.read_text())
            scans = [
                file for fold in settings.folds for case in folds[fold]["val"] for file in images.glob(f"{case}_????.*")
            ]
        return [mscs_command("predict", *sorted(scans), "-m", model, "-o", run.before, "--device", here.device)]

    return Stage(
        BEFORE_STAGE,
        "predict with the model as it was",
        commands,
        parameters={"model": model, "folds": list(settings.folds)},
        **of_raw(source, IMAGES_TR, needs=(SPLITS_STAGE,), beside=(place_of(model),)),
        makes=(run.before,),
        uses_gpu=True,
    )


def _evaluate(
    settings: RunSettings,
    folders: Folders,
    run: RunFolder,
    ours: Sequence[PlannedModel],
    rivals: Sequence[PlannedModel],
) -> Stage:
    """Compare all models on the cross-validation: ours in every configuration, their ensembles, and the rivals."""
    models = [*ours, *rivals]
    names = _distinct(models, several=len(settings.configurations) > 1)
    places: list[Path] = [model.folder(folders, settings.dataset) for model in models]
    for pair in combinations(ours, 2):
        names.append(f"ensemble {pair[0].configuration} + {pair[1].configuration}")
        places.append(folders.results / settings.dataset / model_set(settings, pair).home)
    if settings.adapt:
        names.append("before")
        places.append(run.before)
    folds = [] if settings.folds == FOLDS else list(settings.folds)
    # The folders of an ensemble and of masks do not record their folds.
    partial = bool(folds) and (len(ours) > 1 or bool(settings.adapt))
    words = [
        *(places[0], folders.preprocessed / settings.dataset / REFERENCES, "-o", run.evaluation),
        *(["--compare", *places[1:], "--names", *names] if len(places) > 1 else []),
        *(["--folds", *folds] if folds else []),
        *(["--partial"] if partial else []),
    ]
    return Stage(
        EVALUATE_STAGE,
        "evaluate cross-validation",
        lambda here: [mscs_command("evaluate", *words, "-np", here.workers)],
        parameters={"models": names, "folds": folds, "partial": partial},
        needs=all_of(
            REFERENCES_STAGE,
            *_trained(settings, models),
            *([BEST_STAGE] if len(ours) > 1 else []),
            *([BEFORE_STAGE] if settings.adapt else []),
        ),
        makes=(run.evaluation,),
    )


def _distinct(models: Sequence[PlannedModel], *, several: bool) -> list[str]:
    """A name each: the trainer's, with the configuration if there are several, and with the plans where needed."""
    names = [f"{model.trainer} {model.configuration}" if several else model.trainer for model in models]
    lower = [name.lower() for name in names]
    return [
        f"{name} {model.plans}" if lower.count(name.lower()) > 1 else name
        for name, model in zip(names, models, strict=True)
    ]


def _report(run: RunFolder) -> Stage:
    return Stage(
        REPORT_STAGE,
        "report cross-validation",
        lambda here: [mscs_command("report", run.evaluation, "-o", run.report, "-np", here.workers)],
        parameters={},
        needs=all_of(EVALUATE_STAGE),
        makes=(run.report,),
    )


def _evaluate_test(settings: RunSettings, source: Source, run: RunFolder, ours: Sequence[PlannedModel]) -> Stage:
    name = f"{ours[0].trainer} best" if len(ours) > 1 else ours[0].trainer
    partial = ["--partial"] if settings.unlabelled else []
    words = [run.predictions, source.raw / LABELS_TS, "-o", run.test_evaluation, "--names", name, *partial]
    return Stage(
        EVALUATE_TEST_STAGE,
        "evaluate test cases",
        lambda here: [mscs_command("evaluate", *words, "-np", here.workers)],
        parameters={"model": name, "partial": bool(partial)},
        **of_raw(source, LABELS_TS, needs=(PREDICT_STAGE,)),
        makes=(run.test_evaluation,),
    )


def _report_test(source: Source, run: RunFolder) -> Stage:
    words = [run.test_evaluation, "-o", run.test_report, "--images", source.raw / IMAGES_TS]
    return Stage(
        REPORT_TEST_STAGE,
        "report test cases",
        lambda here: [mscs_command("report", *words, "-np", here.workers)],
        parameters={},
        **of_raw(source, IMAGES_TS, needs=(EVALUATE_TEST_STAGE,)),
        makes=(run.test_report,),
    )
