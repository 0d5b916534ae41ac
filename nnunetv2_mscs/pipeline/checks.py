"""What cannot succeed is reported before a run begins, all of it at once."""

import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from itertools import combinations
from pathlib import Path
from typing import TypeVar

from nnunetv2_mscs.dataset_conversion.options import ConversionOptions
from nnunetv2_mscs.errors import MscsError, did_you_mean
from nnunetv2_mscs.models.light_imports import import_for_prediction
from nnunetv2_mscs.nnunet_files.dataset import FOLDS, SPLITS
from nnunetv2_mscs.nnunet_files.environment import Folders
from nnunetv2_mscs.nnunet_files.plans import CASCADE, CONFIGURATIONS, LOW_RESOLUTION
from nnunetv2_mscs.pipeline.data_stages import SPLITS_STAGE
from nnunetv2_mscs.pipeline.disk import GIGABYTE, check_disks, estimate
from nnunetv2_mscs.pipeline.models import ADAPTING_TRAINER, TAKEN_OVER, own_models, planner_class, rival_models
from nnunetv2_mscs.pipeline.run import LOCAL, Execution, Run
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.source import Scans, measure_scans
from nnunetv2_mscs.pipeline.state import read_record
from nnunetv2_mscs.pipeline.take_plans import model_to_adapt
from nnunetv2_mscs.pipeline.training_stages import LENGTH
from nnunetv2_mscs.pipeline.write_splits import check_splits
from nnunetv2_mscs.scans.findings import Finding, Findings
from nnunetv2_mscs.scans.findings_table import findings_table
from nnunetv2_mscs.workplace.devices import look_for_gpus
from nnunetv2_mscs.workplace.options import flag_of, options_of
from nnunetv2_mscs.workplace.resources import (
    SHARED_MEMORY,
    free_memory_bytes,
    lack_of_shared_memory,
    shared_memory_bytes,
    write_failure,
)

# A process of nnU-Net's with torch; and for each value of a scan ten copies in float32, as resampling makes them.
PROCESS_BYTES, BYTES_PER_VALUE = 0.7e9, 40

Seen = TypeVar("Seen")


class EarlyChecksFailed(MscsError):
    """A run was not begun; `findings` says why."""

    def __init__(self, findings: Sequence[Finding]):
        self.findings = list(findings)
        count = sum(finding.severity == "error" for finding in findings)
        super().__init__(
            f"{count} {'reason' if count == 1 else 'reasons'} not to begin; nothing was changed.",
            "Correct what the table names.",
        )


def early_checks(run: Run) -> None:
    """Print a table of what was found on stderr, if anything was.

    Raises:
        EarlyChecksFailed: there are errors among the findings.
    """
    found = early_findings(run)
    if found:
        print(findings_table(found, [], wrap=sys.stderr.isatty()), file=sys.stderr)
    if any(finding.severity == "error" for finding in found):
        raise EarlyChecksFailed(found)


def early_findings(run: Run) -> list[Finding]:
    """All that speaks against a run, errors and warnings."""
    settings, folders, execution, findings = run.settings, run.folders, run.execution, Findings()
    _check_folders(settings, folders, findings)
    _found(findings, partial(_check_name, settings, folders))
    scans = _found(findings, partial(measure_scans, settings, folders))
    if scans is not None and not findings.errors:
        if scans.is_raw:
            _check_nothing_to_convert(settings, findings)
        _found(findings, partial(_check_folds, run, scans))
        needed = _found(findings, partial(estimate, settings, scans, at_a_time=execution.trainings))
        if needed is not None:
            check_disks(needed, folders, settings.dataset, findings)
    if execution.executor == LOCAL:  # the nodes of a cluster have other devices and memory
        _check_device(settings, execution, findings)
        _check_memory(execution.processes, scans, findings)
    _check_configurations(settings.configurations, findings)
    _check_distinct("--folds", settings.folds, findings)
    if not settings.folds or not set(settings.folds) <= set(FOLDS):
        findings.error(f"--folds {_shown(settings.folds)}: the folds are 0 to 4", "Choose among these.")
    _check_distinct("--compare", settings.compare, findings)
    _check_models(settings, findings)
    return list(dict.fromkeys(findings.items))


def _found(findings: Findings, look: Callable[[], Seen]) -> Seen | None:
    """What was looked for; None if that ends in a finding."""
    try:
        return look()
    except MscsError as error:
        findings.error(error.finding, error.remedy, file=getattr(error, "file", ""))
        return None


def _check_folders(settings: RunSettings, folders: Folders, findings: Findings) -> None:
    places = {name: Path(place) for name, place in folders.environment.items()}
    for name, place in places.items():
        if place.exists() and not place.is_dir():
            findings.error(f"{name} is a file, not a folder", f"Set {name} to a folder.", file=place)
        elif reason := write_failure(place):
            findings.error(f"{name} cannot be written to: {reason}", "Check its owner, rights and quota.", file=place)
    for (first, place), (second, other) in combinations(places.items(), 2):
        if _overlap(place, other):
            findings.error(f"{first} and {second} lie in each other", "Give each a folder of its own.", file=place)
    source = Path(settings.source).resolve()
    if not source.is_relative_to(folders.raw.resolve()):
        for name, place in places.items():
            if _overlap(place, source):
                findings.error(f"the scans and {name} lie in each other", "Keep the scans elsewhere.", file=place)


def _overlap(one: Path, other: Path) -> bool:
    one, other = one.resolve(), other.resolve()
    return one.is_relative_to(other) or other.is_relative_to(one)


def _check_name(settings: RunSettings, folders: Folders) -> None:
    """Raise MscsError if the id belongs to a data set of another name: nnU-Net goes by the id alone."""
    from nnunetv2_mscs.dataset_conversion.destination import Destination, refuse_namesakes

    refuse_namesakes(Destination(folders.raw, settings.dataset), [folders.raw, folders.preprocessed, folders.results])


def _check_nothing_to_convert(settings: RunSettings, findings: Findings) -> None:
    """Options of the conversion change nothing in a data set that is taken as it is."""
    for option in options_of(ConversionOptions):
        if getattr(settings, option.name) != option.default:
            text = f"{flag_of(option)}, but SOURCE is in nnU-Net's raw format already"
            findings.error(text, "Leave it out.")


def _check_folds(run: Run, scans: Scans) -> None:
    """Raise MscsError if a fold does not exist, by a user's splits or by the number of cases.

    Splits that an earlier call of `mscs run` wrote do not count: they are made again if they no longer fit.
    """
    settings, folders = run.settings, run.folders
    raw = folders.raw / settings.dataset
    own = folders.preprocessed / settings.dataset / SPLITS
    file = next((file for file in (own, raw / SPLITS) if file.is_file()), None)
    if scans.is_raw and file is not None:
        if read_record(run.folder, SPLITS_STAGE) is None:
            check_splits(file, raw, settings.folds)
    elif lacking := [fold for fold in settings.folds if scans.labelled <= fold < len(FOLDS)]:
        cases = "One case" if scans.labelled == 1 else f"{scans.labelled} cases"
        raise MscsError(
            f"{cases} to train on cannot be split so that there is a fold {lacking[0]}.",
            "Give more cases, or choose --folds.",
        )


def _check_device(settings: RunSettings, execution: Execution, findings: Findings) -> None:
    if execution.device != "cuda":
        if execution.gpus_per_fold > 1:
            text = f"{execution.gpus_per_fold} GPUs for one training on {execution.device}"
            findings.error(text, "That takes --device cuda.")
        return
    gpus = look_for_gpus()
    if not gpus.found:
        findings.error(f"there is no GPU: {gpus.words}", "Choose --device cpu, or see mscs doctor and nvidia-smi.")
        return
    found = {gpu.index: gpu for gpu in gpus.found}
    there = f"There are {', '.join(found)}."
    for index in execution.gpus:
        if index not in found:
            findings.error(f"there is no GPU {index}", there)
    target = settings.gpu_memory_target_gb or 0.0
    for gpu in found.values():
        if gpu.memory_bytes < target * GIGABYTE and gpu.index in execution.gpus:
            text = f"GPU {gpu.index} ({gpu.name}) has {gpu.memory_bytes / GIGABYTE:.0f} GB, less than {target:g}"
            findings.warning(text, "Choose a smaller --gpu-memory-target.")


def _check_memory(processes: int, scans: Scans | None, findings: Findings) -> None:
    each = PROCESS_BYTES + BYTES_PER_VALUE * (scans.values if scans else 0.0)
    free = free_memory_bytes()
    if free < processes * each:
        text = f"{free / GIGABYTE:.3g} GB of memory are free for {processes} processes of {each / GIGABYTE:.2g} GB"
        findings.warning(text, f"Choose -np {max(int(free / each), 1)}, or end other programs.")
    if lack := lack_of_shared_memory(shared_memory_bytes(), processes):
        findings.warning(*lack, file=SHARED_MEMORY)


def _check_configurations(configurations: Sequence[str], findings: Findings) -> None:
    _check_distinct("--configurations", configurations, findings)
    if not configurations or not set(configurations) <= set(CONFIGURATIONS):
        unknown = [name for name in configurations if name not in CONFIGURATIONS]
        near = did_you_mean(unknown[0], CONFIGURATIONS) if unknown else ""
        names = f"nnU-Net plans {', '.join(CONFIGURATIONS)}; several are separated by spaces.{near}"
        findings.error(f"--configurations {_shown(configurations)}", names)
    if CASCADE in configurations and LOW_RESOLUTION not in configurations:
        findings.error(f"{CASCADE} needs the masks of {LOW_RESOLUTION}", f"Add {LOW_RESOLUTION} to --configurations.")


def _check_distinct(option: str, values: Sequence[object], findings: Findings) -> None:
    if twice := [value for value in dict.fromkeys(values) if values.count(value) > 1]:
        findings.error(f"{option} names {twice[0]} twice", "Name each once.")


def _shown(values: Sequence[object]) -> str:
    return " ".join(map(str, values)) or "(none)"


def _check_models(settings: RunSettings, findings: Findings) -> None:
    """Whether nnU-Net finds the planners and trainers; this imports torch, but little of what they train with."""
    before = len(findings.errors)
    named = dict.fromkeys([settings.trainer, *(rival.partition(":")[0] for rival in settings.compare)])
    with_length = [trainer for trainer in named if LENGTH.search(trainer)] if settings.epochs is not None else []
    for trainer in with_length:
        text = f"--epochs {settings.epochs}, but {trainer} has a length in its name"
        plain = LENGTH.sub("", trainer)
        findings.error(text, "Drop --epochs." if "iterations" in plain else f"Drop --epochs, or write {plain}.")
    unknown = len(findings.errors)
    if settings.adapt:
        _check_adapting(settings, findings)
    with redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_for_prediction()  # to find classes takes no more of nnU-Net than to predict
        models = [*own_models(settings), *rival_models(settings)]
        for planner in dict.fromkeys(model.planner for model in models if model.planner != TAKEN_OVER):
            _found(findings, partial(planner_class, planner))
        if len(findings.errors) == unknown and not with_length:
            for trainer in dict.fromkeys(model.trainer for model in models):
                _found(findings, partial(_find_trainer, trainer))
    if len(findings.errors) == before:
        ours = set(own_models(settings))
        for rival in dict.fromkeys(model.trainer for model in rival_models(settings) if model in ours):
            findings.error(f"--compare {rival} is what is trained anyway", "Name another trainer or planner.")


def _check_adapting(settings: RunSettings, findings: Findings) -> None:
    model = _found(findings, partial(model_to_adapt, str(settings.adapt)))
    if settings.planner:
        findings.error("--planner beside --adapt: the plans are the model's", "Leave --planner out.")
    if not settings.trainer.startswith(ADAPTING_TRAINER):
        text = f"--trainer {settings.trainer} does not start from the weights of --adapt"
        findings.error(text, f"Leave it out, or take {ADAPTING_TRAINER} or {ADAPTING_TRAINER}_30epochs.")
    own = model and (model.selection.models.models[0].configuration,)
    if own and settings.configurations != own:
        findings.error(f"--configurations {_shown(settings.configurations)}: the model has {own[0]}", "Leave it out.")


def _find_trainer(name: str) -> type:
    """The class that nnU-Net's commands would take. Raises MscsError if there is none."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    from nnunetv2_mscs.nnunet_shims.run import make_findable
    from nnunetv2_mscs.training.variants import names_like, trainer_by_name

    make_findable()
    try:
        return trainer_by_name(name) or recursive_find_trainer_class_by_name(name)
    except RuntimeError:
        near = did_you_mean(name, [*names_like(name), "nnUNetTrainer"])
        remedy = near or " nnU-Net's own come in few lengths (_5epochs, _100epochs, ...), MSCSTrainer_<N>epochs in any."
        raise MscsError(f"nnU-Net finds no trainer {name}.", remedy.strip()) from None
