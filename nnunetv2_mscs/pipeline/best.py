"""Predict with what nnUNetv2_find_best_configuration chose: a configuration or an ensemble, then its postprocessing."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.commands import as_typed, nnunet_command, prediction_words, run_command
from nnunetv2_mscs.pipeline.executors.environment import environment
from nnunetv2_mscs.pipeline.graph.settings import Folders
from nnunetv2_mscs.pipeline.progress import command_bar
from nnunetv2_mscs.workplace.result_folder import ResultFolder

INFORMATION = "inference_information.json"
PREDICTIONS = ResultFolder("a folder of predictions", ("dataset.json", "plans.json"), ".mscs-predict-best-")


@dataclass(frozen=True)
class Best:
    """What was chosen by cross-validation.

    Args:
        dataset: full name.
        folds: whose networks predict together.
        models: one, or those of an ensemble, as nnU-Net describes them.
        postprocessing: nnU-Net's file.
        dice: mean of the cross-validation, with the postprocessing.
    """

    dataset: str
    folds: tuple[int, ...]
    models: tuple[dict[str, str], ...]
    postprocessing: Path
    dice: float


def read_best(folders: Folders, dataset_id: int) -> Best:
    """Read what nnUNetv2_find_best_configuration wrote.

    Raises:
        MscsError: it has not been run for this data set.
    """
    found = sorted(folders.results.glob(f"Dataset{dataset_id:03d}_*/{INFORMATION}"))
    if not found:
        raise MscsError(
            f"No {INFORMATION} of data set {dataset_id} in {folders.results}.",
            "Train all folds, then run nnUNetv2_find_best_configuration, or mscs run.",
        )
    content: dict[str, Any] = json.loads(found[0].read_text())
    best = content["best_model_or_ensemble"]
    return Best(
        found[0].parent.name,
        tuple(content["folds"]),
        tuple(best["selected_model_or_models"]),
        Path(best["postprocessing_file"]),
        best["result_on_crossval_post_pp"],
    )


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
    log.unlink()


def _commands(
    best: Best, images: Path, steps: Path, new: Path, device: str, workers: int
) -> Iterator[tuple[str, Sequence[str]]]:
    several = len(best.models) > 1
    dataset_id = int(best.dataset[7:10])
    folders = []
    for number, model in enumerate(best.models):
        words = ["-tr", model["trainer"], "-p", model["plans_identifier"], "-f", *map(str, best.folds)]
        common = ["-i", images, "-d", dataset_id, *words, *prediction_words(device, workers)]
        former: list[object] = []
        if model["configuration"] == "3d_cascade_fullres":
            low = steps / f"low_resolution_{number}"
            yield "low resolution", nnunet_command("nnUNetv2_predict", *common, "-c", "3d_lowres", "-o", low)
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
    chosen = best.postprocessing
    yield (
        "postprocess",
        nnunet_command(
            "nnUNetv2_apply_postprocessing",
            *("-i", predicted, "-o", new, "-pp_pkl_file", chosen, "-plans_json", chosen.with_name("plans.json")),
            *("-dataset_json", chosen.with_name("dataset.json"), "-np", workers),
        ),
    )
