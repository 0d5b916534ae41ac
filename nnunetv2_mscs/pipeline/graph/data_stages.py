"""From a folder of scans to preprocessed data: convert, fingerprint, plan, preprocess, splits."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.commands import module_command, mscs_command, nnunet_command
from nnunetv2_mscs.pipeline.graph.models import Model
from nnunetv2_mscs.pipeline.graph.settings import Folders, RunSettings
from nnunetv2_mscs.pipeline.graph.source import Source
from nnunetv2_mscs.pipeline.graph.stage import Here, Stage

CONVERT, FINGERPRINT, SPLITS = "convert", "fingerprint", "splits"


def plan_stage(plans: str) -> str:
    return f"plan_{plans}"


def preprocess_stage(plans: str) -> str:
    return f"preprocess_{plans}"


def data_stages(settings: RunSettings, folders: Folders, source: Source, models: Sequence[Model]) -> list[Stage]:
    """Each set of plans is a stage, so that a rival added later changes nothing of what ours was trained on."""
    planners = dict.fromkeys(model.planner for model in models)
    plans = {planner: next(model.plans for model in models if model.planner == planner) for planner in planners}
    stages = [] if source.is_raw else [_convert(settings, source)]
    stages.append(_fingerprint(settings, folders, source))
    stages.append(_splits(settings, folders, source))
    stages += [_plan(settings, folders, planner, name) for planner, name in plans.items()]
    made_by: dict[Path, str] = {}
    for planner, name in plans.items():
        stages.append(_preprocess(settings, folders, planner, name, made_by))
        made_by |= dict.fromkeys(stages[-1].makes, stages[-1].name)
    return stages


def _convert(settings: RunSettings, source: Source) -> Stage:
    options: list[object] = ["--seed", settings.seed]
    values = {
        "--layout": settings.layout,
        "--test-fraction": settings.test_fraction,
        "--patient-pattern": settings.patient_pattern,
        "--unlabelled": settings.unlabelled,
    }
    for option, value in values.items():
        options += [option, value] if value is not None else []
    options += ["--spacing", *settings.spacing] if settings.spacing else []
    options += ["--channels", *settings.channels] if settings.channels else []
    options += ["--resample"] if settings.resample else []
    arguments = [settings.source, settings.dataset_id, settings.name, *options]

    def commands(here: Here) -> Sequence[Sequence[str]]:
        overwrite = ["--overwrite"] if source.raw.exists() else []
        return [mscs_command("convert", *arguments, *overwrite, "-np", here.workers)]

    scans = [Path(settings.source), *([Path(settings.unlabelled)] if settings.unlabelled else [])]
    return Stage(
        CONVERT,
        "convert",
        commands,
        parameters={"arguments": [str(one) for one in arguments]},
        sources=tuple(scans),
        makes=(source.raw,),
        outputs=lambda: [source.raw],
        replaces=True,
    )


def _fingerprint(settings: RunSettings, folders: Folders, source: Source) -> Stage:
    preprocessed = folders.preprocessed / settings.dataset
    file = preprocessed / "dataset_fingerprint.json"
    return Stage(
        FINGERPRINT,
        "fingerprint",
        lambda here: [
            nnunet_command(
                "nnUNetv2_extract_fingerprint",
                *("-d", settings.dataset_id, "-np", here.workers, "--verify_dataset_integrity", "--clean"),
            )
        ],
        parameters={},
        needs=() if source.is_raw else (CONVERT,),
        sources=(source.raw,) if source.is_raw else (),
        # The masks that nnU-Net copies when it preprocesses are of these scans, too, and it does not replace them.
        makes=(file, preprocessed / "gt_segmentations"),
        outputs=lambda: [file],
    )


def _splits(settings: RunSettings, folders: Folders, source: Source) -> Stage:
    file = folders.preprocessed / settings.dataset / "splits_final.json"
    return Stage(
        SPLITS,
        "splits",
        lambda here: [module_command("nnunetv2_mscs.pipeline.write_splits", settings.dataset)],
        parameters={},
        needs=(FINGERPRINT,),
        makes=(file,),
        outputs=lambda: [file],
        verify=lambda: _check_folds(file, settings.folds),
    )


def _check_folds(file: Path, folds: Sequence[int]) -> None:
    """Raise MscsError if a fold is asked for that the splits lack: nnU-Net would make one up."""
    count = len(json.loads(file.read_text()))
    if lacking := [fold for fold in folds if fold >= count]:
        raise MscsError(
            f"The data set is split into {count} folds; there is no fold {lacking[0]}.",
            f"Choose --folds {' '.join(map(str, range(count)))}, or give more patients.",
        )


def _plan(settings: RunSettings, folders: Folders, planner: str, plans: str) -> Stage:
    file = folders.preprocessed / settings.dataset / f"{plans}.json"
    target = settings.gpu_memory_target_gb
    memory = [] if target is None else ["-gpu_memory_target", target]
    return Stage(
        plan_stage(plans),
        f"plan {plans}",
        lambda here: [
            nnunet_command("nnUNetv2_plan_experiment", "-d", settings.dataset_id, "-pl", planner, *memory),
        ],
        parameters={"planner": planner, "gpu_memory_target_gb": target},
        needs=(FINGERPRINT, SPLITS),
        makes=(file,),
        outputs=lambda: [file],
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
    settings: RunSettings, folders: Folders, planner: str, plans: str, made_by: Mapping[Path, str]
) -> Stage:
    """Preprocess what no stage before it makes; its outputs are all data that these plans are trained on."""
    preprocessed = folders.preprocessed / settings.dataset
    places = {name: preprocessed / _data_name(planner, plans, name) for name in _on_disk(settings.configurations)}
    own = {name: place for name, place in places.items() if place not in made_by}
    others = dict.fromkeys(made_by[place] for place in places.values() if place in made_by)

    def commands(here: Here) -> Sequence[Sequence[str]]:
        words = ("-d", settings.dataset_id, "-plans_name", plans, "-c", *own, "-np", *([here.workers] * len(own)))
        return [nnunet_command("nnUNetv2_preprocess", *words)] if own else []

    return Stage(
        preprocess_stage(plans),
        f"preprocess {plans}",
        commands,
        parameters={"plans": plans, "configurations": sorted(own)},
        needs=(plan_stage(plans), *others),
        makes=tuple(own.values()),
        outputs=lambda: list(places.values()),
    )


def _on_disk(configurations: Sequence[str]) -> list[str]:
    """Configurations with data of their own; the cascade's second stage has those of 3d_fullres."""
    return list(dict.fromkeys("3d_fullres" if name == "3d_cascade_fullres" else name for name in configurations))


def _data_name(planner: str, plans: str, configuration: str) -> str:
    """The folder of a configuration's data. nnU-Net's residual encoder planners share theirs with its default one."""
    shared = planner.startswith("nnUNetPlannerResEnc") and configuration in ("2d", "3d_fullres")
    return f"{'nnUNetPlans' if shared else plans}_{configuration}"
