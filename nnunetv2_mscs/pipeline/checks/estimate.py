"""What a run will need on disk, in bytes by folder."""

from collections.abc import Sequence
from itertools import combinations

from nnunetv2_mscs.nnunet_files.environment import PREPROCESSED, RAW, RESULTS
from nnunetv2_mscs.nnunet_files.plans import CASCADE
from nnunetv2_mscs.pipeline.checks.scan_sizes import Scans
from nnunetv2_mscs.pipeline.graph.models import PlannedModel, own_models, rival_models
from nnunetv2_mscs.pipeline.graph.settings import RunSettings

# Bytes. Measured on heads in air, 192 x 192 x 20 voxels (phantoms): 0.89, 1.45, 0.0022; brains without a skull take
# half of it, scans with noise in the air more than twice.
RAW_PER_VALUE = 1.0
PREPROCESSED_PER_VALUE = 1.6
MASK_PER_VOXEL = 0.003
PROBABILITY_PER_VALUE = 1.6  # 1.53 after five epochs, 3.1 of a network that has learned nothing
# Weights in float32 and what the optimiser keeps beside each: SGD its momentum, Adam two moments.
SGD_PER_PARAMETER = 8
ADAM_PER_PARAMETER = 12
# nnU-Net keeps checkpoint_best and checkpoint_final, and checkpoint_latest as long as the training runs.
CHECKPOINTS_KEPT = 2
PARAMETERS_MSCS_NET = 37_000_000
PARAMETERS_U_NET = 31_000_000
PARAMETERS_RESIDUAL = 102_000_000
LOGS_PER_TRAINING = 3_000_000
REPORTS = 50_000_000


def estimate(settings: RunSettings, scans: Scans, *, converts: bool = True, at_a_time: int = 1) -> dict[str, float]:
    """What a run will need on disk: bytes in each of nnU-Net's folders, by its variable.

    - Converted: channels are float32 or integers in compressed NIfTI, RAW_PER_VALUE bytes a value; masks
      MASK_PER_VOXEL bytes a voxel.
    - Preprocessed, for each set of plans and configuration: PREPROCESSED_PER_VALUE bytes a value of the labelled scans,
      blosc2 over float32, the mask among it. Spacings are resampled to their median: as many voxels as before.
    - Checkpoints: CHECKPOINTS_KEPT a fold, and one more for each training at a time, of SGD_PER_PARAMETER bytes a
      parameter (ADAM_PER_PARAMETER of MSCSTrainerPaper's).
    - Predicted masks: of every labelled scan for each model, and once more where nnU-Net gathers the folds and
      postprocesses them; of every test scan twice.
    - Probabilities, if several configurations compete: a value a voxel and label, PROBABILITY_PER_VALUE bytes each.

    Args:
        settings: of the run.
        scans: its data set.
        converts: whether the data set is made by the run, or is there already.
        at_a_time: trainings that run side by side.
    """
    ours = own_models(settings)
    models = list(dict.fromkeys([*ours, *rival_models(settings)]))
    raw = scans.values_per_scan * RAW_PER_VALUE + scans.voxels_per_scan * MASK_PER_VOXEL
    results = _checkpoints(models, len(settings.folds), at_a_time) + _predictions(scans, models, len(ours)) + REPORTS
    return {RAW: scans.count * raw if converts else 0, PREPROCESSED: _preprocessed(scans, models), RESULTS: results}


def _preprocessed(scans: Scans, models: Sequence[PlannedModel]) -> float:
    """The cascade's second stage has no data of its own."""
    places = {(model.plans, model.configuration) for model in models if model.configuration != CASCADE}
    each = scans.values_per_scan * PREPROCESSED_PER_VALUE
    return scans.labelled * (len(places) * each + scans.voxels_per_scan * MASK_PER_VOXEL)


def _checkpoints(models: Sequence[PlannedModel], folds: int, at_a_time: int) -> float:
    sizes = [parameters_of(model) * bytes_per_parameter(model) for model in models]
    finished = sum(CHECKPOINTS_KEPT * size + LOGS_PER_TRAINING for size in sizes)
    return folds * finished + at_a_time * max(sizes)


def parameters_of(model: PlannedModel) -> int:
    """Weights of a model's network in 3D, the largest of its configurations, as its planner plans it for stroke MRI."""
    if model.trainer.startswith("MSCS"):
        return PARAMETERS_MSCS_NET
    return PARAMETERS_RESIDUAL if "ResEnc" in model.planner else PARAMETERS_U_NET


def bytes_per_parameter(model: PlannedModel) -> int:
    """Of a checkpoint."""
    return ADAM_PER_PARAMETER if model.trainer.startswith("MSCSTrainerPaper") else SGD_PER_PARAMETER


def _predictions(scans: Scans, models: Sequence[PlannedModel], competing: int) -> float:
    pairs = len(list(combinations(range(competing), 2)))
    masks = scans.labelled * 3 * (len(models) + pairs) + scans.test * 2
    probabilities = len(models) * scans.labelled * scans.labels if competing > 1 else 0
    return scans.voxels_per_scan * (masks * MASK_PER_VOXEL + probabilities * PROBABILITY_PER_VALUE)
