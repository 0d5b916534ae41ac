"""Predict with what nnUNetv2_find_best_configuration chose: a configuration or an ensemble, then its postprocessing."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.best_configuration import BEST_RECORD, read_best_record
from nnunetv2_mscs.nnunet_files.checkpoints import FINAL_CHECKPOINT
from nnunetv2_mscs.nnunet_files.commands import nnunet_command, prediction_steps
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, dataset_name
from nnunetv2_mscs.nnunet_files.environment import Folders
from nnunetv2_mscs.nnunet_files.json_files import read_json
from nnunetv2_mscs.nnunet_files.model_folder import POSTPROCESSING, ModelSet, fold_folder
from nnunetv2_mscs.nnunet_files.new_scans import fitting_scans, scans_by_case
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.pipeline.commands import as_typed, environment
from nnunetv2_mscs.pipeline.progress import command_bar
from nnunetv2_mscs.pipeline.stored_together import stored_together
from nnunetv2_mscs.scans.plain_folder import plain_scans
from nnunetv2_mscs.sharing.postprocessing import read_postprocessing
from nnunetv2_mscs.sharing.selecting import with_previous_stage
from nnunetv2_mscs.workplace.result_folder import ResultFolder
from nnunetv2_mscs.workplace.running import run_command

PREDICTIONS = ResultFolder("a folder of predictions", (DATASET_JSON, PLANS_JSON), ".mscs-predict-best-")
FIND_AGAIN = "Run nnUNetv2_find_best_configuration once more, or install the model once more."


@dataclass(frozen=True)
class Best:
    """What was chosen by cross-validation.

    Args:
        models: one, or those of an ensemble, with the folds whose networks predict together.
        folder: the data set's folder in nnUNet_results.
        dice: mean of the cross-validation, with the postprocessing; NaN if the record lacks it.
    """

    models: ModelSet
    folder: Path
    dice: float

    @property
    def postprocessing(self) -> Path:
        """nnU-Net's file, which holds nothing but nnU-Net's own functions."""
        return self.folder / self.models.decisions / POSTPROCESSING


def read_best(folders: Folders, dataset_id: int) -> Best:
    """Read what nnUNetv2_find_best_configuration wrote.

    Raises:
        MscsError: it has not been run for this data set, or what it chose is missing or not nnU-Net's.
    """
    found = sorted(folders.results.glob(f"{dataset_name(dataset_id, '*')}/{BEST_RECORD}"))
    if not found:
        raise MscsError(
            f"No {BEST_RECORD} of data set {dataset_id} in {folders.results}.",
            "Train all folds, then run nnUNetv2_find_best_configuration, or mscs run.",
        )
    folder, record = found[0].parent, read_best_record(found[0])
    models = tuple(with_previous_stage(model, folder / model.identifier) for model in record.models)
    best = Best(ModelSet(folder.name, models, record.folds), folder, record.after)
    members = [folder / member.identifier for member in best.models.members]
    checkpoints = [fold_folder(member, fold) / FINAL_CHECKPOINT for member in members for fold in record.folds]
    missing = next((file for file in (best.postprocessing, *checkpoints) if not file.is_file()), None)
    if missing:
        raise MscsError(f"{found[0]} needs {missing}, which is not there.", FIND_AGAIN)
    # nnU-Net unpickles it: any code that it names would run.
    read_postprocessing(best.postprocessing)
    return best


def predict_with_best(
    best: Best, folders: Folders, images: Path, out: Path, *, device: str, workers: int, overwrite: bool
) -> None:
    """Predict all scans of a folder in nnU-Net's format; the folder `out` appears as a whole, or not at all.

    Raises:
        MscsError: the place is taken, a scan is named otherwise or cannot be read, or a command fails; all that the
            commands printed is then in `out`.log.
    """
    PREDICTIONS.check(out, overwrite=overwrite)
    if not images.is_dir() or not any(images.iterdir()):
        raise MscsError(f"{images} holds no scans.", "Give a folder such as imagesTs.")
    model = best.folder / best.models.models[0].identifier
    description = read_json(model / DATASET_JSON)
    scans_by_case(images, description)
    variables = environment(folders, training_workers=workers, workers=workers)
    out = out.absolute()
    log = out.with_name(f"{out.name}.log")
    log.unlink(missing_ok=True)
    with PREDICTIONS.staged(out, overwrite=overwrite) as new:
        steps = new.parent / "steps"
        turned = new.parent / "turned"
        for folder in (steps, turned):
            folder.mkdir()
        plain = plain_scans(images, new.parent / "plain", processes=workers)
        scans = fitting_scans(plain.resolve(), description, new.parent / "scans")
        planned = prediction_steps(
            best.models,
            stored_together(scans, model, turned),
            new,
            best.folder,
            postprocess=True,
            between=f"{steps}/",
            device=device,
            workers=workers,
        )
        for title, command in planned:
            words = nnunet_command(*command)
            print(f"$ {as_typed(words)}", flush=True)
            with command_bar(title) as bar:
                run_command(
                    words,
                    typed=as_typed(words),
                    folder=steps,
                    log=log,
                    state=steps,
                    environment=variables,
                    on_line=bar.line,
                )
        for name in (DATASET_JSON, PLANS_JSON):
            shutil.copy(model / name, new)
    log.unlink()
