"""From a folder of scans to preprocessed data: convert, fingerprint, splits, references, plan, preprocess."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnunetv2_mscs.dataset_conversion.options import ConversionOptions
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.models.shipped import place_of
from nnunetv2_mscs.nnunet_files.commands import nnunet_command
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, FINGERPRINT, IMAGES_TR, LABELS_TR, REFERENCES, SPLITS
from nnunetv2_mscs.nnunet_files.environment import Folders
from nnunetv2_mscs.nnunet_files.plans import preprocessed_configuration, preprocessed_folder, weights_beside
from nnunetv2_mscs.pipeline.commands import module_command, mscs_command
from nnunetv2_mscs.pipeline.models import TAKEN_OVER, PlannedModel
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.source import Source
from nnunetv2_mscs.pipeline.stage import ADOPTED, REPLACED, Here, Stage, all_of
from nnunetv2_mscs.pipeline.write_splits import check_splits
from nnunetv2_mscs.workplace.options import recorded, typed_words

CONVERT_STAGE, FINGERPRINT_STAGE, SPLITS_STAGE, REFERENCES_STAGE = "convert", "fingerprint", "splits", "references"
TRAINING_DATA = (DATASET_JSON, IMAGES_TR, LABELS_TR)


def plan_stage(plans: str) -> str:
    """The stage that plans."""
    return f"plan_{plans}"


def preprocess_stage(plans: str, configuration: str) -> str:
    """The stage that makes a configuration's preprocessed data."""
    return f"preprocess_{plans}_{preprocessed_configuration(configuration)}"


def data_stages(settings: RunSettings, folders: Folders, source: Source, models: Sequence[PlannedModel]) -> list[Stage]:
    """Each set of plans is a stage, so that a rival added later changes nothing that ours was trained on."""
    preprocessed = folders.preprocessed / settings.dataset
    plans = {model.planner: model.plans for model in models}
    stages = [] if source.is_raw else [_convert(settings, source)]
    stages += [
        _fingerprint(settings, source, preprocessed),
        _splits(settings, source, preprocessed),
        _references(settings, source, preprocessed),
        *(_plan(settings, source, preprocessed, planner, name) for planner, name in plans.items()),
    ]
    made_by: dict[Path, str] = {}
    for planner, name in plans.items():
        for configuration in dict.fromkeys(map(preprocessed_configuration, settings.configurations)):
            place = preprocessed / preprocessed_folder(planner, name, configuration)
            stages.append(_preprocess(settings, source, name, configuration, place, made_by.get(place)))
            made_by.setdefault(place, stages[-1].name)
    return stages


def of_raw(source: Source, *parts: str, needs: Sequence[str] = (), beside: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The arguments `needs` and `sources` of a stage that reads parts of the data set in nnUNet_raw, and others."""
    places = tuple(source.raw / part for part in parts)
    if source.is_raw:
        return {"needs": all_of(*needs), "sources": (*places, *beside)}
    return {"needs": {CONVERT_STAGE: places, **all_of(*needs)}, "sources": beside}


def _convert(settings: RunSettings, source: Source) -> Stage:
    options = recorded(settings, ConversionOptions)
    arguments = [settings.source, settings.dataset_id, settings.name, *typed_words(options)]

    def commands(here: Here) -> Sequence[Sequence[str]]:
        overwrite = ["--overwrite"] if source.raw.exists() else []
        return [mscs_command("convert", *arguments, *overwrite, "-np", here.workers)]

    return Stage(
        CONVERT_STAGE,
        "convert",
        commands,
        parameters={"SOURCE": settings.source, **options},
        sources=tuple(Path(folder) for folder in (settings.source, settings.unlabelled) if folder),
        makes=(source.raw,),
        former=REPLACED,
    )


def _fingerprint(settings: RunSettings, source: Source, preprocessed: Path) -> Stage:
    words = ("-d", settings.dataset_id, "--verify_dataset_integrity", "--clean")
    return Stage(
        FINGERPRINT_STAGE,
        "fingerprint",
        lambda here: [nnunet_command("nnUNetv2_extract_fingerprint", *words, "-np", here.workers)],
        parameters={},
        **of_raw(source, *TRAINING_DATA),
        makes=(preprocessed / FINGERPRINT,),
    )


def _splits(settings: RunSettings, source: Source, preprocessed: Path) -> Stage:
    file = preprocessed / SPLITS
    return Stage(
        SPLITS_STAGE,
        "splits",
        lambda here: [module_command("nnunetv2_mscs.pipeline.write_splits", settings.dataset)],
        parameters={},
        **of_raw(source, DATASET_JSON, LABELS_TR, SPLITS, needs=(FINGERPRINT_STAGE,)),
        makes=(file,),
        former=ADOPTED,
        verify=lambda: check_splits(file, source.raw, settings.folds),
    )


def _references(settings: RunSettings, source: Source, preprocessed: Path) -> Stage:
    return Stage(
        REFERENCES_STAGE,
        "copy reference masks",
        lambda here: [module_command("nnunetv2_mscs.pipeline.write_references", settings.dataset)],
        parameters={},
        **of_raw(source, DATASET_JSON, LABELS_TR, needs=(FINGERPRINT_STAGE,)),
        makes=(preprocessed / REFERENCES,),
    )


def _plan(settings: RunSettings, source: Source, preprocessed: Path, planner: str, plans: str) -> Stage:
    file = preprocessed / f"{plans}.json"
    if planner == TAKEN_OVER:
        return _taken_plans(settings, source, file)
    target = settings.gpu_memory_target_gb
    memory = [] if target is None else ["-gpu_memory_target", target]
    words = ("-d", settings.dataset_id, "-pl", planner, *memory)
    return Stage(
        plan_stage(plans),
        f"plan {plans}",
        lambda here: [nnunet_command("nnUNetv2_plan_experiment", *words)],
        parameters={"planner": planner, "gpu_memory_target_gb": target},
        **of_raw(source, DATASET_JSON, needs=(FINGERPRINT_STAGE, SPLITS_STAGE)),
        makes=(file,),
        verify=lambda: _check_configurations(file, settings.configurations),
    )


def _taken_plans(settings: RunSettings, source: Source, file: Path) -> Stage:
    """Plans and weights of the model that is adapted."""
    model = str(settings.adapt)
    words = (settings.dataset, model, file.stem)
    return Stage(
        plan_stage(file.stem),
        f"take over plans and weights of {Path(model).name}",
        lambda here: [module_command("nnunetv2_mscs.pipeline.take_plans", *words)],
        parameters={"model": model},
        **of_raw(source, DATASET_JSON, needs=(FINGERPRINT_STAGE, SPLITS_STAGE), beside=(place_of(model),)),
        makes=(file, weights_beside(file.parent, file.stem)),
        verify=lambda: _check_configurations(file, settings.configurations),
    )


def _check_configurations(file: Path, wanted: Sequence[str]) -> None:
    """Raise MscsError if the plans lack a configuration: nnU-Net plans a low resolution for large scans only."""
    planned = json.loads(file.read_text())["configurations"]
    if lacking := [name for name in wanted if name not in planned]:
        raise MscsError(
            f"{file.name} has no configuration {lacking[0]}: nnU-Net plans that for large scans only.",
            f"Choose --configurations among {', '.join(planned)}.",
        )


def _preprocess(
    settings: RunSettings, source: Source, plans: str, configuration: str, place: Path, made_by: str | None
) -> Stage:
    """Preprocess for a configuration; no command where the stage `made_by` makes the same data for other plans."""
    words = ("-d", settings.dataset_id, "-plans_name", plans, "-c", configuration)

    def commands(here: Here) -> Sequence[Sequence[str]]:
        return [] if made_by else [nnunet_command("nnUNetv2_preprocess", *words, "-np", here.workers)]

    before = (plan_stage(plans), REFERENCES_STAGE, *([made_by] if made_by else []))
    return Stage(
        preprocess_stage(plans, configuration),
        f"preprocess {plans} {configuration}",
        commands,
        parameters={"plans": plans, "configuration": configuration, "made_by": made_by or ""},
        **of_raw(source, IMAGES_TR, needs=before),
        makes=() if made_by else (place,),
        checked=(place,),
    )
