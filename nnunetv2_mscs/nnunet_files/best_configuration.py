"""inference_information.json, in which nnU-Net notes its best configuration or ensemble: read with mistrust, and made.

It names files by paths of the machine that it was written on. They are never followed: where the files are follows
from the models and folds that were chosen.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.json_files import read_json
from nnunetv2_mscs.nnunet_files.model_folder import FOLD_FOLDER, POSTPROCESSING, Model, ModelSet, model_of
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON

# In the folder of a data set's models; the second is the same in words, with the commands.
BEST_RECORD, BEST_INSTRUCTIONS = "inference_information.json", "inference_instructions.txt"
FIND_BEST = "nnUNetv2_find_best_configuration finds the best, or name one model folder."
MOST_MODELS = 10
SCORES = ("result_on_crossval_pre_pp", "result_on_crossval_post_pp")


@dataclass(frozen=True)
class BestRecord:
    """What was chosen.

    Args:
        models: one, or the members of an ensemble; the stage before a cascade is not recorded.
        folds: of the cross-validation that decided.
        before, after: mean Dice of the cross-validation, without and with postprocessing; NaN if not recorded.
    """

    models: tuple[Model, ...]
    folds: tuple[str, ...]
    before: float = math.nan
    after: float = math.nan

    def as_json(self, models: ModelSet, place: str) -> dict[str, Any]:
        """As nnU-Net writes it, of the data set of `models`, whose folder is at `place`."""
        chosen = [
            {"configuration": one.configuration, "trainer": one.trainer, "plans_identifier": one.plans}
            for one in self.models
        ]
        scores = zip(SCORES, (self.before, self.after), strict=True)
        return {
            "folds": [int(fold) for fold in self.folds],
            "dataset_name_or_id": models.dataset,
            "best_model_or_ensemble": {
                **{key: None if math.isnan(score) else score for key, score in scores},
                "postprocessing_file": f"{place}/{models.decisions}/{POSTPROCESSING}",
                "some_plans_file": f"{place}/{models.models[0].identifier}/{PLANS_JSON}",
                "selected_model_or_models": chosen,
            },
        }


def read_best_record(file: Path) -> BestRecord:
    """Read what nnUNetv2_find_best_configuration wrote.

    Raises:
        MscsError: it does not name models and folds as nnU-Net does.
    """
    record = read_json(file)
    try:
        best = record["best_model_or_ensemble"]
        models = tuple(_model(one) for one in best["selected_model_or_models"])
        folds = tuple(str(fold) for fold in record["folds"] if type(fold) is int)
        if not 0 < len(models) <= MOST_MODELS or not folds or len(folds) != len(record["folds"]):
            raise ValueError("no models or no folds")
        if len(set(folds)) != len(folds) or not all(FOLD_FOLDER.fullmatch(f"fold_{fold}") for fold in folds):
            raise ValueError("folds that are none")
        return BestRecord(models, folds, *(_score(best.get(key)) for key in SCORES))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise MscsError(f"{file} does not say which is best ({error}).", FIND_BEST) from error


def _model(raw: Mapping[str, Any]) -> Model:
    model = model_of("__".join((raw["trainer"], raw["plans_identifier"], raw["configuration"])))
    if model is None:
        raise ValueError("a model without a name of nnU-Net's")
    return model


def _score(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and 0 <= value <= 1 else math.nan
