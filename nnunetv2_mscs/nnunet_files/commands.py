"""nnU-Net's commands as words: how each is started with this Python, and those that predict with trained models."""

import sys

from nnunetv2_mscs.nnunet_files.checkpoints import FINAL_CHECKPOINT
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON
from nnunetv2_mscs.nnunet_files.environment import RESULTS
from nnunetv2_mscs.nnunet_files.model_folder import POSTPROCESSING, Model, ModelSet
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON

STARTER = "nnunetv2_mscs.nnunet_shims.run"
# nnU-Net's own default: each of them holds whole scans, or their probabilities.
MOST_WORKERS_OF_PREDICTION = 3


def nnunet_command(name: str, *arguments: object) -> list[str]:
    """The words that run nnU-Net's command `name` with this Python, whatever PATH says, and with our classes found."""
    return [sys.executable, "-m", STARTER, name, *map(str, arguments)]


def predict_words(models: ModelSet, model: Model, scans: object, masks: object, *options: object) -> list[str]:
    """nnUNetv2_predict from the folder `scans` into the folder `masks`, with one model of a set."""
    checkpoint = [] if models.checkpoint == FINAL_CHECKPOINT else ["-chk", models.checkpoint]
    return [
        *("nnUNetv2_predict", "-d", models.dataset, "-i", str(scans), "-o", str(masks), *map(str, options)),
        *("-tr", model.trainer, "-p", model.plans, "-c", model.configuration, "-f", *models.folds, *checkpoint),
    ]


def device_options(device: str, workers: int) -> list[str]:
    """Where nnUNetv2_predict computes, and how many processes it starts for reading and for writing."""
    processes = str(min(workers, MOST_WORKERS_OF_PREDICTION))
    return ["-device", device, "-npp", processes, "-nps", processes]


def postprocess_words(models: ModelSet, results: object, predictions: object, masks: object) -> list[str]:
    """nnUNetv2_apply_postprocessing of what was found for a set of models; `results` is their data set's folder.

    An ensemble's predictions have no plans beside them, and those of any member serve.
    """
    member = f"{results}/{models.models[0].identifier}"
    return [
        *("nnUNetv2_apply_postprocessing", "-i", str(predictions), "-o", str(masks)),
        *("-pp_pkl_file", f"{results}/{models.decisions}/{POSTPROCESSING}"),
        *("-plans_json", f"{member}/{PLANS_JSON}", "-dataset_json", f"{member}/{DATASET_JSON}"),
    ]


def predict_commands(models: ModelSet, *, postprocess: bool) -> list[str]:
    """What to type to predict with a set of models, in order; SCANS and MASKS stand for the user's folders.

    Args:
        models: to predict with.
        postprocess: whether to apply the postprocessing that nnU-Net found for them.
    """
    results = f'"${RESULTS}"/{models.dataset}'
    last = "MASKS_RAW" if postprocess else "MASKS"
    several = len(models.models) > 1
    parts = [f"MASKS_{number}" for number in range(1, len(models.models) + 1)] if several else [last]
    commands = []
    for model, part in zip(models.models, parts, strict=True):
        options = ["--save_probabilities"] if several else []
        if model.earlier:
            low = f"MASKS_OF_{model.previous_stage}"
            commands.append(predict_words(models, model.earlier, "SCANS", low))
            options += ["-prev_stage_predictions", low]
        commands.append(predict_words(models, model, "SCANS", part, *options))
    if several:
        commands.append(["nnUNetv2_ensemble", "-i", *parts, "-o", last])
    if postprocess:
        commands.append(postprocess_words(models, results, last, "MASKS"))
    return [" ".join(words) for words in commands]
