"""The models that a run trains: ours in every configuration, and its rivals in the same."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.errors import MscsError, did_you_mean
from nnunetv2_mscs.nnunet_files.environment import Folders
from nnunetv2_mscs.nnunet_files.model_folder import Model, ModelSet
from nnunetv2_mscs.pipeline.settings import RunSettings

# Trainers whose names begin so train MSCS-Net; all others train networks of nnU-Net's.
MSCS_NET = "MSCS"
OUR_PLANNER, NNUNET_PLANNER = "MSCSPlanner", "ExperimentPlanner"
# Stands for the planner where the plans are those of a model that is adapted; nnU-Net knows no such planner.
TAKEN_OVER = "taken over"
ADAPTED_PLANS, ADAPTING_TRAINER = "MSCSPlansAdapted", "MSCSTrainerAdapt"
# Planner -> name of its plans. Those of other planners are read from their classes.
PLANS = {
    "MSCSPlanner": "MSCSPlans",
    "MSCSPlannerZScore": "MSCSPlansZScore",
    "ExperimentPlanner": "nnUNetPlans",
    "nnUNetPlannerResEncM": "nnUNetResEncUNetMPlans",
    "nnUNetPlannerResEncL": "nnUNetResEncUNetLPlans",
    "nnUNetPlannerResEncXL": "nnUNetResEncUNetXLPlans",
}


@dataclass(frozen=True)
class PlannedModel:
    """A model that a run trains, with the planner that makes its plans."""

    trainer: str
    planner: str
    configuration: str

    @property
    def plans(self) -> str:
        return plans_of(self.planner)

    @property
    def trained(self) -> Model:
        return Model(self.trainer, self.plans, self.configuration)

    def folder(self, folders: Folders, dataset: str) -> Path:
        return folders.results / dataset / self.trained.identifier


def own_models(settings: RunSettings) -> list[PlannedModel]:
    """Our models, which compete for the best configuration, in the order of the configurations."""
    trainer = with_length(settings.trainer, settings.epochs)
    planner = TAKEN_OVER if settings.adapt else settings.planner or planner_for(trainer)
    return [PlannedModel(trainer, planner, configuration) for configuration in settings.configurations]


def planner_for(trainer: str) -> str:
    """The planner that a trainer gets if the user names none: that of its network."""
    return OUR_PLANNER if trainer.startswith(MSCS_NET) else NNUNET_PLANNER


def rival_models(settings: RunSettings) -> list[PlannedModel]:
    """The models that ours are compared with: every rival in every configuration."""
    rivals = []
    for text in settings.compare:
        trainer, _, planner = text.partition(":")
        if trainer.startswith(MSCS_NET) and settings.trainer.startswith(MSCS_NET):
            planner = planner or settings.planner or ""
        planner = planner or planner_for(trainer)
        rivals += [PlannedModel(with_length(trainer, settings.epochs), planner, one) for one in settings.configurations]
    return rivals


def with_length(trainer: str, epochs: int | None) -> str:
    """The trainer's name with its number of epochs, as in the names of nnU-Net's own variants and ours."""
    return trainer if epochs is None else f"{trainer}_{epochs}epoch{'' if _is_singular(trainer, epochs) else 's'}"


def _is_singular(trainer: str, epochs: int) -> bool:
    return epochs == 1 and not trainer.startswith(MSCS_NET)  # nnUNetTrainer_1epoch, but MSCSTrainer_1epochs


def plans_of(planner: str) -> str:
    """The name that a planner gives its plans.

    Raises:
        MscsError: nnU-Net finds no such planner.
    """
    if planner == TAKEN_OVER:
        return ADAPTED_PLANS
    if planner not in PLANS:
        PLANS[planner] = inspect.signature(planner_class(planner)).parameters["plans_name"].default
    return PLANS[planner]


def planner_class(name: str) -> type:
    """The class that nnU-Net's commands take for a planner's name."""
    import nnunetv2
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    from nnunetv2_mscs.nnunet_shims import run

    run.make_findable()
    folder = Path(nnunetv2.__path__[0]) / "experiment_planning"
    found = recursive_find_python_class(str(folder), name, current_module="nnunetv2.experiment_planning")
    if found is None:
        remedy = did_you_mean(name, PLANS) or f"Known are {', '.join(PLANS)}."
        raise MscsError(f"nnU-Net finds no planner {name}.", remedy.strip())
    return found


def model_set(settings: RunSettings, models: Sequence[PlannedModel]) -> ModelSet:
    """One of a run's models, or several as an ensemble, with all folds of the run."""
    return ModelSet(settings.dataset, tuple(model.trained for model in models), tuple(map(str, settings.folds)))
