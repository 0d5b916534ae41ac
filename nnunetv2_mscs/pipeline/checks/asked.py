"""Settings that contradict each other, or name what nnU-Net does not know."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from io import StringIO

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import FOLDS
from nnunetv2_mscs.nnunet_files.plans import CASCADE, CONFIGURATIONS, LOW_RESOLUTION
from nnunetv2_mscs.pipeline.graph.models import own_models, planner_class, rival_models
from nnunetv2_mscs.pipeline.graph.settings import RunSettings
from nnunetv2_mscs.pipeline.graph.training_stages import LENGTH
from nnunetv2_mscs.scans.findings import Findings


def check_settings(settings: RunSettings, findings: Findings) -> None:
    """Add what is wrong with the settings themselves to the findings; imports torch for the names of classes."""
    _check_configurations(settings, findings)
    _check_distinct("--folds", settings.folds, findings)
    if not settings.folds or not set(settings.folds) <= set(FOLDS):
        findings.error(f"--folds {_shown(settings.folds)}: the folds are 0 to 4", "Choose among these.")
    _check_distinct("--compare", settings.compare, findings)
    _check_lengths(settings, findings)
    before = len(findings.errors)
    _check_names(settings, findings)
    if len(findings.errors) == before:
        _check_rivals(settings, findings)


def _check_configurations(settings: RunSettings, findings: Findings) -> None:
    configurations = settings.configurations
    _check_distinct("--configurations", configurations, findings)
    if not configurations or not set(configurations) <= set(CONFIGURATIONS):
        names = f"nnU-Net plans {', '.join(CONFIGURATIONS)}; several are separated by spaces."
        findings.error(f"--configurations {_shown(configurations)}", names)
    if CASCADE in configurations and LOW_RESOLUTION not in configurations:
        findings.error(f"{CASCADE} needs the masks of {LOW_RESOLUTION}", f"Add {LOW_RESOLUTION} to --configurations.")


def _check_distinct(option: str, values: Sequence[object], findings: Findings) -> None:
    if twice := [value for value in dict.fromkeys(values) if values.count(value) > 1]:
        findings.error(f"{option} names {twice[0]} twice", "Name each once.")


def _shown(values: Sequence[object]) -> str:
    return " ".join(map(str, values)) or "(none)"


def _trainers(settings: RunSettings) -> list[str]:
    return [settings.trainer, *(rival.partition(":")[0] for rival in settings.compare)]


def _is_given_twice(settings: RunSettings) -> bool:
    """Whether a length is asked for both by a trainer's name and by --epochs."""
    return settings.epochs is not None and any(LENGTH.search(trainer) for trainer in _trainers(settings))


def _check_lengths(settings: RunSettings, findings: Findings) -> None:
    if settings.epochs is None:
        return
    for trainer in dict.fromkeys(_trainers(settings)):
        if LENGTH.search(trainer):
            text = f"--epochs {settings.epochs}, but {trainer} has a length in its name"
            plain = LENGTH.sub("", trainer)
            findings.error(text, "Drop --epochs." if "iterations" in plain else f"Drop --epochs, or write {plain}.")


def _check_names(settings: RunSettings, findings: Findings) -> None:
    """Whether nnU-Net finds trainers and planners."""
    models = [*own_models(settings), *rival_models(settings)]
    planners = dict.fromkeys(model.planner for model in models)
    unknown = [planner for planner in planners if not _is_known(partial(planner_class, planner), findings)]
    if unknown or _is_given_twice(settings):
        return
    for trainer in dict.fromkeys(model.trainer for model in models):
        _is_known(partial(_find_trainer, trainer), findings)


def _find_trainer(name: str) -> type:
    """The class that nnU-Net's commands would take. Raises MscsError if there is none."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    from nnunetv2_mscs.nnunet_shims.run import make_findable
    from nnunetv2_mscs.training.variants import trainer_by_name

    make_findable()
    try:
        return trainer_by_name(name) or recursive_find_trainer_class_by_name(name)
    except RuntimeError:
        remedy = "nnU-Net's own come in few lengths (_5epochs, _100epochs, ...), MSCSTrainer_<N>epochs in any."
        raise MscsError(f"nnU-Net finds no trainer {name}.", remedy) from None


def _is_known(find: Callable[[], type], findings: Findings) -> bool:
    try:
        with redirect_stdout(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            find()
        return True
    except MscsError as error:
        findings.error(error.finding, error.remedy)
        return False


def _check_rivals(settings: RunSettings, findings: Findings) -> None:
    ours = set(own_models(settings))
    for rival in dict.fromkeys(model.trainer for model in rival_models(settings) if model in ours):
        findings.error(f"--compare {rival} is what is trained anyway", "Name another trainer or planner.")
