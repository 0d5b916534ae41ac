"""Trained models as nnU-Net names them, and the commands that predict with them."""

import re
from dataclasses import dataclass

from nnunetv2_mscs.evaluation.sources import DATASET_JSON, PLANS_JSON

DATASET_NAME = re.compile(r"Dataset[0-9]{3}_[\w.+-]+")
FOLD_FOLDER = re.compile(r"fold_(0|[1-9][0-9]{0,2}|all)")
# No word of a command may look like an option.
MODEL_PART = re.compile(r"\w[\w.+-]*")
CHECKPOINT = "checkpoint_final.pth"
# Those that nnU-Net writes, the first there is predicted with.
CHECKPOINTS = (CHECKPOINT, "checkpoint_best.pth", "checkpoint_latest.pth")
ENSEMBLES = "ensembles"
POSTPROCESSING = "postprocessing.pkl"


@dataclass(frozen=True)
class Model:
    """One model folder of nnU-Net's: TRAINER__PLANS__CONFIGURATION in the data set's folder.

    Args:
        trainer: class name.
        plans: their identifier, such as "MSCSPlans".
        configuration: such as "3d_fullres".
        previous_stage: the configuration whose predictions it refines; empty but for a cascade.
    """

    trainer: str
    plans: str
    configuration: str
    previous_stage: str = ""

    @property
    def identifier(self) -> str:
        return f"{self.trainer}__{self.plans}__{self.configuration}"

    @property
    def options(self) -> str:
        """As nnU-Net's commands have them."""
        return f"-tr {self.trainer} -p {self.plans} -c {self.configuration}"


@dataclass(frozen=True)
class ModelSet:
    """Models that predict together.

    Args:
        dataset: nnU-Net's name, such as "Dataset501_Stroke".
        models: one, or the members of an ensemble.
        folds: whose weights are averaged in each: numbers, or "all".
        checkpoint: which of each fold's.
    """

    dataset: str
    models: tuple[Model, ...]
    folds: tuple[str, ...]
    checkpoint: str = CHECKPOINT

    @property
    def home(self) -> str:
        """The folder in the data set's folder that is this set's own: of its model, or of nnU-Net's for ensembles."""
        names = [model.identifier for model in self.models]
        return names[0] if len(names) == 1 else f"{ENSEMBLES}/{'___'.join(['ensemble', *names, '_'.join(self.folds)])}"

    @property
    def decisions(self) -> str:
        """The folder in the data set's folder where nnU-Net keeps the postprocessing found and its metrics."""
        return f"{self.home}/crossval_results_folds_{'_'.join(self.folds)}" if len(self.models) == 1 else self.home

    @property
    def members(self) -> tuple[Model, ...]:
        """All models that prediction needs: before each cascade the model of its previous stage."""
        found: dict[str, Model] = {}
        for model in self.models:
            if model.previous_stage:
                earlier = Model(model.trainer, model.plans, model.previous_stage)
                found.setdefault(earlier.identifier, earlier)
            found.setdefault(model.identifier, model)
        return tuple(found.values())


def model_of(identifier: str, previous_stage: str = "") -> Model | None:
    """The model that a folder is named after; None if its name is none of nnU-Net's."""
    parts = identifier.split("__")
    if len(parts) != 3 or not all(MODEL_PART.fullmatch(part) for part in parts):
        return None
    trainer, plans, configuration = parts
    return Model(trainer, plans, configuration, previous_stage)


def fold_order(fold: str) -> tuple[bool, int]:
    """A key that sorts folds by number, "all" last."""
    return (fold == "all", 0 if fold == "all" else int(fold))


def predict_commands(models: ModelSet, *, postprocess: bool) -> list[str]:
    """What to type to predict, in order; SCANS and MASKS stand for the user's folders.

    Args:
        models: what is installed.
        postprocess: nnU-Net found a postprocessing that helps, which is installed with them.
    """
    last = "MASKS_RAW" if postprocess else "MASKS"
    if len(models.models) == 1:
        lines = _predict(models, models.models[0], last)
    else:
        parts = [f"MASKS_{number}" for number in range(1, len(models.models) + 1)]
        lines = [
            line
            for model, part in zip(models.models, parts, strict=True)
            for line in _predict(models, model, f"{part} --save_probabilities")
        ]
        lines.append(f"nnUNetv2_ensemble -i {' '.join(parts)} -o {last}")
    if postprocess:
        lines.append(f"nnUNetv2_apply_postprocessing -i {last} -o MASKS {_postprocessing(models)}")
    return lines


def _postprocessing(models: ModelSet) -> str:
    """Its options; an ensemble's predictions have no plans beside them, and those of any member serve."""
    place = f'"$nnUNet_results"/{models.dataset}'
    member = f"{place}/{models.models[0].identifier}"
    pickled = f"-pp_pkl_file {place}/{models.decisions}/{POSTPROCESSING}"
    return f"{pickled} -plans_json {member}/{PLANS_JSON} -dataset_json {member}/{DATASET_JSON}"


def _predict(models: ModelSet, model: Model, masks: str) -> list[str]:
    common = f"nnUNetv2_predict -d {models.dataset} -i SCANS"
    folds = f"-f {' '.join(models.folds)}"
    if models.checkpoint != CHECKPOINT:
        folds += f" -chk {models.checkpoint}"
    if not model.previous_stage:
        return [f"{common} -o {masks} {model.options} {folds}"]
    earlier = Model(model.trainer, model.plans, model.previous_stage)
    return [
        f"{common} -o MASKS_OF_{earlier.configuration} {earlier.options} {folds}",
        f"{common} -o {masks} {model.options} {folds} -prev_stage_predictions MASKS_OF_{earlier.configuration}",
    ]
