"""What a run will need on disk: bytes by folder, each with the rule that it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from nnunetv2_mscs.nnunet_files.plans import CASCADE
from nnunetv2_mscs.pipeline.checks.scan_sizes import Scans
from nnunetv2_mscs.pipeline.graph.models import PlannedModel, own_models, rival_models
from nnunetv2_mscs.pipeline.graph.settings import RunSettings

RAW, PREPROCESSED, RESULTS = "raw", "preprocessed", "results"
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
GIGABYTE = 1e9


@dataclass(frozen=True)
class Need:
    """One row of the estimate.

    Args:
        folder: RAW, PREPROCESSED or RESULTS.
        what: files of one kind.
        rule: how the bytes come about, with the numbers put in.
        count_bytes: how many.
    """

    folder: str
    what: str
    rule: str
    count_bytes: float


@dataclass(frozen=True)
class Estimate:
    """What a run will need on disk."""

    needs: tuple[Need, ...]

    def of(self, folder: str) -> float:
        """Bytes in one of nnU-Net's folders."""
        return sum(need.count_bytes for need in self.needs if need.folder == folder)

    @property
    def total(self) -> float:
        return sum(need.count_bytes for need in self.needs)

    def as_table(self) -> str:
        """A table in Markdown, in GB, a row a rule and a sum a folder."""
        lines = ["| folder | what | rule | GB |", "|---|---|---|---:|"]
        for folder in dict.fromkeys(need.folder for need in self.needs):
            rows = [need for need in self.needs if need.folder == folder]
            lines += [f"| {folder} | {row.what} | {row.rule} | {_gb(row.count_bytes)} |" for row in rows]
            lines.append(f"| **{folder}** | | | **{_gb(self.of(folder))}** |")
        return "\n".join([*lines, f"| **all** | | | **{_gb(self.total)}** |"])


def _gb(count_bytes: float) -> str:
    return f"{count_bytes / GIGABYTE:.3g}"


def estimate(settings: RunSettings, scans: Scans, *, converts: bool = True, at_a_time: int = 1) -> Estimate:
    """What a run will need on disk.

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
    needs = _raw(scans) if converts else []
    needs += _preprocessed(scans, models)
    needs += _checkpoints(models, len(settings.folds), at_a_time)
    needs += _predictions(scans, models, len(ours))
    needs.append(Need(RESULTS, "evaluations, reports", "with pictures", REPORTS))
    return Estimate(tuple(needs))


def _raw(scans: Scans) -> list[Need]:
    values = scans.count * scans.values_per_scan
    labelled = scans.count * scans.voxels_per_scan
    return [
        Need(
            RAW,
            "scans",
            f"{scans.count} x {scans.values_per_scan:.3g} values x {RAW_PER_VALUE}",
            values * RAW_PER_VALUE,
        ),
        Need(
            RAW, "masks", f"{scans.count} x {scans.voxels_per_scan:.3g} x {MASK_PER_VOXEL}", labelled * MASK_PER_VOXEL
        ),
    ]


def _preprocessed(scans: Scans, models: Sequence[PlannedModel]) -> list[Need]:
    """The cascade's second stage has no data of its own."""
    own = [model for model in models if model.configuration != CASCADE]
    places = dict.fromkeys(f"{model.plans} {model.configuration}" for model in own)
    each = scans.labelled * scans.values_per_scan * PREPROCESSED_PER_VALUE
    rule = f"{scans.labelled} x {scans.values_per_scan:.3g} values x {PREPROCESSED_PER_VALUE}"
    masks = scans.labelled * scans.voxels_per_scan * MASK_PER_VOXEL
    copies = Need(PREPROCESSED, "masks", f"{scans.labelled} x {scans.voxels_per_scan:.3g} x {MASK_PER_VOXEL}", masks)
    return [*(Need(PREPROCESSED, place, rule, each) for place in places), copies]


def _checkpoints(models: Sequence[PlannedModel], folds: int, at_a_time: int) -> list[Need]:
    needs = []
    for model in models:
        parameters, each = parameters_of(model), bytes_per_parameter(model)
        rule = f"{folds} folds x {CHECKPOINTS_KEPT} x {parameters / 1e6:.0f} M x {each}"
        count = folds * (CHECKPOINTS_KEPT * parameters * each + LOGS_PER_TRAINING)
        needs.append(Need(RESULTS, f"{model.trainer} {model.configuration}", rule, count))
    largest = max(parameters_of(model) * bytes_per_parameter(model) for model in models)
    needs.append(Need(RESULTS, "checkpoints to resume from", f"{at_a_time} at a time", at_a_time * largest))
    return needs


def parameters_of(model: PlannedModel) -> int:
    """Weights of a model's network in 3D, the largest of its configurations, as its planner plans it for stroke MRI."""
    if model.trainer.startswith("MSCS"):
        return PARAMETERS_MSCS_NET
    return PARAMETERS_RESIDUAL if "ResEnc" in model.planner else PARAMETERS_U_NET


def bytes_per_parameter(model: PlannedModel) -> int:
    """Of a checkpoint."""
    return ADAM_PER_PARAMETER if model.trainer.startswith("MSCSTrainerPaper") else SGD_PER_PARAMETER


def _predictions(scans: Scans, models: Sequence[PlannedModel], competing: int) -> list[Need]:
    pairs = len(list(combinations(range(competing), 2)))
    sets = 3 * (len(models) + pairs)
    masks = scans.voxels_per_scan * MASK_PER_VOXEL
    needs = [
        Need(RESULTS, "validation masks", f"{scans.labelled} x {sets} sets", scans.labelled * masks * sets),
        Need(RESULTS, "predicted test cases", f"{scans.test} x 2", scans.test * masks * 2),
    ]
    if competing > 1:
        each = scans.voxels_per_scan * scans.labels * PROBABILITY_PER_VALUE
        rule = f"{len(models)} models x {scans.labelled} x {scans.voxels_per_scan:.3g} x {scans.labels}"
        rule += f" x {PROBABILITY_PER_VALUE}"
        needs.append(Need(RESULTS, "probabilities (--npz)", rule, len(models) * scans.labelled * each))
    return needs
