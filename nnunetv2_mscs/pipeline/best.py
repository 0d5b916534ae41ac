"""Predict with what nnUNetv2_find_best_configuration chose: a configuration or an ensemble, then its postprocessing."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.sources import DATASET_JSON, PLANS_JSON
from nnunetv2_mscs.pipeline.commands import as_typed, nnunet_command, prediction_words, run_command
from nnunetv2_mscs.pipeline.executors.environment import environment
from nnunetv2_mscs.pipeline.graph.settings import Folders
from nnunetv2_mscs.pipeline.progress import command_bar
from nnunetv2_mscs.sharing.best_record import BEST, read_best_record
from nnunetv2_mscs.sharing.models import CHECKPOINT, POSTPROCESSING, ModelSet
from nnunetv2_mscs.sharing.postprocessing import read_postprocessing
from nnunetv2_mscs.sharing.selecting import with_previous_stage
from nnunetv2_mscs.workplace.result_folder import ResultFolder

PREDICTIONS = ResultFolder("a folder of predictions", (DATASET_JSON, PLANS_JSON), ".mscs-predict-best-")
AGAIN = "Run nnUNetv2_find_best_configuration once more, or install the model once more."


@dataclass(frozen=True)
class Best:
    """What was chosen by cross-validation.

    Args:
        dataset: full name.
        folds: whose networks predict together.
        models: one, or those of an ensemble, as nnU-Net describes them, each with its previous_stage, if it has one.
        postprocessing: nnU-Net's file, which holds nothing but nnU-Net's own functions.
        plans: folder with the plans and dataset.json of all of them.
        dice: mean of the cross-validation, with the postprocessing; NaN if nobody noted it.
    """

    dataset: str
    folds: tuple[str, ...]
    models: tuple[dict[str, str], ...]
    postprocessing: Path
    plans: Path
    dice: float


def read_best(folders: Folders, dataset_id: int) -> Best:
    """Read what nnUNetv2_find_best_configuration wrote.

    Raises:
        MscsError: it has not been run for this data set, what it chose is not there, or is not nnU-Net's.
    """
    found = sorted(folders.results.glob(f"Dataset{dataset_id:03d}_*/{BEST}"))
    if not found:
        raise MscsError(
            f"No {BEST} of data set {dataset_id} in {folders.results}.",
            "Train all folds, then run nnUNetv2_find_best_configuration, or mscs run.",
        )
    folder, record = found[0].parent, read_best_record(found[0])
    models = [with_previous_stage(model, folder / model.identifier) for model in record.models]
    chosen = ModelSet(folder.name, tuple(models), record.folds)
    postprocessing = folder / chosen.decisions / POSTPROCESSING
    members = [folder / member.identifier for member in chosen.members]
    checkpoints = [member / f"fold_{fold}" / CHECKPOINT for member in members for fold in chosen.folds]
    missing = next((file for file in (postprocessing, *checkpoints) if not file.is_file()), None)
    if missing:
        raise MscsError(f"{found[0]} needs {missing}, which is not there.", AGAIN)
    # nnU-Net unpickles it: any code that it names would run.
    read_postprocessing(postprocessing)
    described = (
        {
            "trainer": model.trainer,
            "plans_identifier": model.plans,
            "configuration": model.configuration,
            "previous_stage": model.previous_stage,
        }
        for model in models
    )
    plans = folder / models[0].identifier
    return Best(folder.name, chosen.folds, tuple(described), postprocessing, plans, record.after)


def predict_with_best(
    best: Best, folders: Folders, images: Path, out: Path, *, device: str, workers: int, overwrite: bool
) -> None:
    """Predict all scans of a folder in nnU-Net's format; the folder `out` appears as a whole, or not at all.

    Raises:
        MscsError: the place is taken, or a command fails: what all of them printed is then beside `out`, in `out`.log.
    """
    PREDICTIONS.check(out, overwrite=overwrite)
    if not images.is_dir() or not any(images.iterdir()):
        raise MscsError(f"{images} holds no scans.", "Give a folder such as imagesTs.")
    variables = environment(folders, training_workers=workers, workers=workers)
    out = out.absolute()
    log = out.with_name(f"{out.name}.log")
    log.unlink(missing_ok=True)
    with PREDICTIONS.staged(out, overwrite=overwrite) as new:
        steps = new.parent / "steps"
        steps.mkdir()
        for title, words in _commands(best, images.resolve(), steps, new, device, workers):
            print(f"$ {as_typed(words)}", flush=True)
            with command_bar(title) as bar:
                run_command(
                    words,
                    folder=steps,
                    log=log,
                    state=steps,
                    environment=variables,
                    on_line=bar.line,
                )
        for name in (DATASET_JSON, PLANS_JSON):
            shutil.copy(best.plans / name, new)
    log.unlink()


def _commands(
    best: Best, images: Path, steps: Path, new: Path, device: str, workers: int
) -> Iterator[tuple[str, Sequence[str]]]:
    several = len(best.models) > 1
    folders = []
    for number, model in enumerate(best.models):
        words = ["-tr", model["trainer"], "-p", model["plans_identifier"], "-f", *best.folds]
        common = ["-i", images, "-d", best.dataset, *words, *prediction_words(device, workers)]
        former: list[object] = []
        if model["previous_stage"]:
            low = steps / f"low_resolution_{number}"
            yield (
                "low resolution",
                nnunet_command("nnUNetv2_predict", *common, "-c", model["previous_stage"], "-o", low),
            )
            former = ["-prev_stage_predictions", low]
        folders.append(steps / f"model_{number}")
        probabilities = ["--save_probabilities"] if several else []
        yield (
            model["configuration"],
            nnunet_command(
                "nnUNetv2_predict",
                *(*common, "-c", model["configuration"], "-o", folders[-1], *former, *probabilities),
            ),
        )
    predicted = folders[0]
    if several:
        predicted = steps / "ensemble"
        yield "ensemble", nnunet_command("nnUNetv2_ensemble", "-i", *folders, "-o", predicted, "-np", workers)
    yield (
        "postprocess",
        nnunet_command(
            "nnUNetv2_apply_postprocessing",
            *("-i", predicted, "-o", new, "-pp_pkl_file", best.postprocessing, "-np", workers),
            *("-plans_json", best.plans / PLANS_JSON, "-dataset_json", best.plans / DATASET_JSON),
        ),
    )
