"""Folders of trained models, named TRAINER__PLANS__CONFIGURATION, with a folder for each fold; sets of such models."""

import re
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.nnunet_files.checkpoints import FINAL_CHECKPOINT
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON

FOLD_FOLDER = re.compile(r"fold_(0|[1-9][0-9]{0,2}|all)")
# A part of a model folder's name. No word of a command may look like an option.
MODEL_PART = re.compile(r"\w[\w.+-]*")
# In a fold's folder.
VALIDATION, DEBUG_JSON = "validation", "debug.json"
# In the folder of a validation, of all folds' validations together, and of any evaluation by nnU-Net.
SUMMARY = "summary.json"
ENSEMBLES, POSTPROCESSING = "ensembles", "postprocessing.pkl"


@dataclass(frozen=True)
class Model:
    """A trained model.

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
        """The name of its folder, in the data set's folder of nnUNet_results."""
        return f"{self.trainer}__{self.plans}__{self.configuration}"

    @property
    def earlier(self) -> "Model | None":
        """The model of the previous stage."""
        return Model(self.trainer, self.plans, self.previous_stage) if self.previous_stage else None


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
    checkpoint: str = FINAL_CHECKPOINT

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
            if model.earlier:
                found.setdefault(model.earlier.identifier, model.earlier)
            found.setdefault(model.identifier, model)
        return tuple(found.values())


def model_of(identifier: str, previous_stage: str = "") -> Model | None:
    """The model that a folder is named after; None if nnU-Net names no folder so."""
    parts = identifier.split("__")
    if len(parts) != 3 or not all(MODEL_PART.fullmatch(part) for part in parts):
        return None
    trainer, plans, configuration = parts
    return Model(trainer, plans, configuration, previous_stage)


def is_model_folder(folder: Path) -> bool:
    """Whether nnU-Net's training wrote a folder: it holds plans.json and folds."""
    return (folder / PLANS_JSON).is_file() and any(folder.glob("fold_*"))


def fold_order(fold: str) -> tuple[bool, int]:
    """A key that sorts folds by number, "all" last."""
    return (fold == "all", 0 if fold == "all" else int(fold))


def fold_folder(model: Path, fold: int | str) -> Path:
    """The folder of a fold of a model."""
    return model / f"fold_{fold}"


def fold_folders(model: Path, *, numbered: bool = False) -> dict[str, Path]:
    """The folders that a model has of its folds, by fold; those of numbered folds alone if so wanted."""
    found = {match[1]: path for path in model.glob("fold_*") if (match := FOLD_FOLDER.fullmatch(path.name))}
    return {fold: found[fold] for fold in sorted(found, key=fold_order) if not (numbered and fold == "all")}


def validated_fold(folder: Path) -> int | None:
    """The numbered fold whose validation a folder holds; None for any other folder."""
    fold = FOLD_FOLDER.fullmatch(folder.parent.name) if folder.name == VALIDATION else None
    return int(fold[1]) if fold and fold[1] != "all" else None
