"""Which trained model a word of a command means: a folder, or a data set by its id, name or folder of results."""

import re
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.best_configuration import BEST_RECORD, FIND_BEST, read_best_record
from nnunetv2_mscs.nnunet_files.dataset import DATASET_NAME
from nnunetv2_mscs.nnunet_files.environment import RESULTS, folder_if_named
from nnunetv2_mscs.nnunet_files.model_folder import is_model_folder, model_of

DATASET_WORD = re.compile(rf"[0-9]{{1,3}}|{DATASET_NAME.pattern}")


def results_of(name_or_id: str, results: Path | None = None) -> Path:
    """The folder of a data set's trained models in nnUNet_results, or in the folder given instead of it.

    Raises:
        MscsError: nnUNet_results is not set, or holds no such folder, or several of this id.
    """
    results = results or folder_if_named(RESULTS)
    if results is None:
        raise MscsError(f"{RESULTS} is not set, so {name_or_id} cannot be found.", f"export {RESULTS}=FOLDER")
    pattern = f"Dataset{int(name_or_id):03d}_*" if name_or_id.isdecimal() else name_or_id
    found = sorted(path for path in results.glob(pattern) if path.is_dir())
    if len(found) != 1:
        count = f"{len(found)} folders" if found else "No folder"
        raise MscsError(f"{count} of {results} named {pattern}.", "Name the model's folder.")
    return found[0]


def model_folders(results: Path) -> list[Path]:
    """The folders of trained models in a data set's folder of results, by name."""
    return sorted(path for path in results.iterdir() if is_model_folder(path) and model_of(path.name))


def model_meant(place: Path) -> Path:
    """A path as it is; for a data set its one trained model, or the one of which nnU-Net found that it is the best.

    Raises:
        MscsError: a data set is meant that has no trained model, or several of which none was found to be the best.
    """
    word = str(place)
    if not place.exists() and DATASET_WORD.fullmatch(word):
        place = results_of(word)
    elif not DATASET_NAME.fullmatch(place.name):
        return place
    models = model_folders(place)
    if not models and str(place) == word:
        return place  # any folder may be called so, of masks for example
    if len(models) > 1 and (place / BEST_RECORD).is_file():
        best = read_best_record(place / BEST_RECORD).models
        models = [place / best[0].identifier] if len(best) == 1 else models
    if not models:
        raise MscsError(f"{place} holds no trained model.", "Name a model folder.")
    if len(models) > 1:
        raise MscsError(f"{place} holds {len(models)} models: {', '.join(model.name for model in models)}.", FIND_BEST)
    return models[0]
