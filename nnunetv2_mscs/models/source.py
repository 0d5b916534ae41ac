"""From what a user calls a model (folder, zip, data set) to the folders and folds that predict."""

import hashlib
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nnunetv2_mscs.errors import MscsError, did_you_mean
from nnunetv2_mscs.models.shipped import SHIPPED, place_of
from nnunetv2_mscs.nnunet_files.best_configuration import BEST_RECORD
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, READER
from nnunetv2_mscs.nnunet_files.environment import RESULTS, folder_if_named
from nnunetv2_mscs.nnunet_files.json_files import read_json
from nnunetv2_mscs.nnunet_files.model_folder import POSTPROCESSING, fold_folder
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.nnunet_files.trained import DATASET_WORD, results_of
from nnunetv2_mscs.scans.words import ADC, B0, DWI
from nnunetv2_mscs.sharing.archive import look_into, opened, unpack
from nnunetv2_mscs.sharing.postprocessing import read_postprocessing
from nnunetv2_mscs.sharing.selecting import Selection, select
from nnunetv2_mscs.sharing.unpacked import check_unpacked

# Models whose reader takes voxels as stored were nearly always trained on files of dcm2niix, which lie so.
USUAL_AXES = "LAS"
# In dataset.json: what a model's makers chose for `mscs predict`.
DEFAULTS, THRESHOLD, MIN_LESION = "mscs_predict", "threshold", "min_lesion_ml"
TAIL_BYTES = 200_000
NAME_A_MODEL = "Name a model folder, or a data set by its id, name or folder."
FIND_AGAIN = "Run nnUNetv2_find_best_configuration once more, or install the model once more."


@dataclass(frozen=True)
class ModelSource:
    """A model found.

    Args:
        selection: models and folders.
        unpacked: the folder of a zip, which lives as long as this does; None for others.
    """

    selection: Selection
    unpacked: "TemporaryDirectory[str] | None" = None

    @property
    def first_folder(self) -> Path:
        return self.selection.folders[self.selection.models.models[0].identifier]

    @property
    def dataset_json(self) -> dict[str, Any]:
        return read_json(self.first_folder / DATASET_JSON)

    @property
    def name(self) -> str:
        """Data set, models and folds, such as Dataset501_Stroke: MSCSTrainer 3d_fullres, folds 0 1 2 3 4."""
        models = self.selection.models
        chosen = " + ".join(f"{one.trainer} {one.plans} {one.configuration}" for one in models.models)
        return f"{models.dataset}: {chosen}, fold{'s' * (len(models.folds) > 1)} {' '.join(models.folds)}"

    @property
    def cross_validated_dice(self) -> float:
        """The mean Dice by which nnU-Net chose it as the best, with postprocessing; NaN if it did not."""
        return self.selection.best.after if self.selection.best else math.nan

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of its channels, in their order; ADC, DWI and B0 in capitals, whatever the model's makers wrote.

        Raises:
            MscsError: there are none, or two of one name.
        """
        description = self.dataset_json
        named = description.get("channel_names") or description.get("modality") or {}
        texts = [str(named[key]) for key in sorted(named, key=int)]
        names = tuple(text.upper() if text.upper() in (ADC, DWI, B0) else text for text in texts)
        if not names or len({name.lower() for name in names}) < len(names):
            raise MscsError(
                f"{DATASET_JSON} of {self.name} names the channels {', '.join(names) or 'not at all'}.",
                "Give each channel a name of its own under channel_names.",
            )
        return names

    @property
    def axes(self) -> str:
        """The axes along which its network sees scans, such as LAS."""
        reader = str(read_json(self.first_folder / PLANS_JSON).get("image_reader_writer", ""))
        return reader.removeprefix(READER) if reader.startswith(READER) else USUAL_AXES

    @property
    def postprocessing(self) -> Path | None:
        """nnU-Net's file of the postprocessing to apply; None if none was found to help.

        Raises:
            MscsError: the file holds anything but nnU-Net's own functions, or is missing though nnU-Net's record of the
                best configuration counts on it.
        """
        file = self.selection.decisions / POSTPROCESSING
        if self.selection.best and not file.is_file():
            raise MscsError(f"{BEST_RECORD} needs {file}, which is not there.", FIND_AGAIN)
        return file if file.is_file() and read_postprocessing(file) else None

    def weights_digest(self, *, fast: bool) -> str:
        """A short digest of plans and weights, by which predictions of another training are told apart."""
        digest = hashlib.sha256()
        models = self.selection.models
        for folder in self.selection.folders.values():
            digest.update((folder / PLANS_JSON).read_bytes())
            for fold in models.folds[:1] if fast else models.folds:
                file = fold_folder(folder, fold) / models.checkpoint
                # The end of a checkpoint is the directory of its zip, with a checksum of every tensor.
                with file.open("rb") as stream:
                    stream.seek(max(file.stat().st_size - TAIL_BYTES, 0))
                    digest.update(stream.read())
        return digest.hexdigest()[:16]

    def default(self, key: str, otherwise: float) -> float:
        """A threshold or volume that the model's dataset.json sets for `mscs predict`."""
        chosen = self.dataset_json.get(DEFAULTS)
        value = chosen.get(key, otherwise) if isinstance(chosen, Mapping) else otherwise
        if not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
            raise MscsError(f"{DATASET_JSON} of {self.name} sets {key} to {value!r}.", "Write a number.")
        return float(value)


def find_model(model: str | Path, *, results: Path | None = None) -> ModelSource:
    """Find a model.

    Args:
        model: a model folder, the folder of a data set's models, a data set's id or name, a zip of `mscs export`, or
            "synthetic", the weights of this package.
        results: the folder of data sets' models; None for nnUNet_results.

    Raises:
        MscsError: there is none, it is incomplete, or the zip is refused as by `mscs install`.
    """
    place = place_of(model)
    if place.is_file():
        return _of_zip(place)
    if not place.is_dir() and not DATASET_WORD.fullmatch(str(model)):
        raise MscsError(
            f"{model} is no folder.{_nearest(str(model), results or folder_if_named(RESULTS))}", NAME_A_MODEL
        )
    if results and not place.is_dir():
        place = results_of(str(model), results)
    return ModelSource(select(str(place)))


def _nearest(model: str, results: Path | None) -> str:
    """ " Did you mean ...?" for the data set that is called so, or the nearest name of a model; "" without one."""
    datasets = [path.name for path in results.glob("Dataset*_*") if path.is_dir()] if results else []
    called_so = next((name for name in datasets if name.partition("_")[2] == model), "")
    return f" Did you mean {called_so}?" if called_so else did_you_mean(model, [*datasets, SHIPPED])


def _of_zip(file: Path) -> ModelSource:
    if not zipfile.is_zipfile(file):
        raise MscsError(f"{file} is no zip file.", "Name a model folder, a zip of mscs export, or a data set.")
    folder = TemporaryDirectory(prefix="mscs-model-", ignore_cleanup_errors=True)
    with opened(file) as (archive, _):
        contents = look_into(archive)
        unpack(archive, contents, Path(folder.name))
        dataset = Path(folder.name) / contents.dataset
        sets, _ = check_unpacked(dataset, contents, dataset, ())
    if not (dataset / BEST_RECORD).is_file() and len(sets) > 1:
        names = ", ".join(models.home for models, _ in sets)
        raise MscsError(f"{file} holds several models: {names}.", "Place it with mscs install, and name one of them.")
    is_ensemble = len(sets[0][0].models) > 1
    chosen = dataset if (dataset / BEST_RECORD).is_file() or is_ensemble else dataset / sets[0][0].home
    return ModelSource(select(str(chosen)), folder)
