"""Whether the disks have room for a run: what it needs, roughly, against what is free."""

from collections import defaultdict
from pathlib import Path

from nnunetv2_mscs.nnunet_files.environment import PREPROCESSED, RAW, RESULTS, Folders
from nnunetv2_mscs.nnunet_files.plans import CASCADE
from nnunetv2_mscs.pipeline.models import own_models, rival_models
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.source import Scans
from nnunetv2_mscs.scans.findings import Findings
from nnunetv2_mscs.workplace.resources import existing, free_disk_bytes

# Bytes per voxel and channel: compressed NIfTI, preprocessed data with masks, and probabilities of two labels. Measured
# on phantoms of 192 x 192 x 20 voxels with 0.89, 1.45 and 1.53; scans with noise in the air need more.
CONVERTED, PREPARED, PROBABILITIES = 1.0, 1.6, 1.6
# A checkpoint holds weights and momentum in float32: 37 million weights of MSCS-Net, 31 of nnU-Net's U-Net, 102 of its
# residual encoders. nnU-Net keeps two per fold, and a third while it trains.
CHECKPOINT, RESIDUAL_CHECKPOINT = 0.3e9, 0.8e9
REPORTS = 50e6
GIGABYTE = 1e9
# Less room than this times the need is worth a warning.
COMFORTABLE = 1.5


def estimate(settings: RunSettings, scans: Scans, *, at_a_time: int = 1) -> dict[str, float]:
    """Bytes that a run needs in each of nnU-Net's folders, by its variable.

    Args:
        settings: of the run.
        scans: its data set.
        at_a_time: number of trainings that run side by side.
    """
    ours = own_models(settings)
    models = list(dict.fromkeys([*ours, *rival_models(settings)]))
    prepared = {(model.plans, model.configuration) for model in models if model.configuration != CASCADE}
    checkpoints = [RESIDUAL_CHECKPOINT if "ResEnc" in model.planner else CHECKPOINT for model in models]
    training = 2 * len(settings.folds) * sum(checkpoints) + at_a_time * max(checkpoints)
    ensembles = len(ours) * scans.labelled * scans.values * PROBABILITIES if len(ours) > 1 else 0
    return {
        RAW: 0 if scans.is_raw else (scans.labelled + scans.test) * scans.values * CONVERTED,
        PREPROCESSED: len(prepared) * scans.labelled * scans.values * PREPARED,
        RESULTS: training + ensembles + REPORTS,
    }


def check_disks(needed: dict[str, float], folders: Folders, dataset: str, findings: Findings) -> None:
    """Add disks without room to the findings; what the run's folders hold already is not needed again."""
    by_disk: dict[int, list[tuple[Path, float]]] = defaultdict(list)
    for variable, root in folders.environment.items():
        place = Path(root)
        left = max(needed[variable] - _bytes_in(place / dataset), 0.0)
        by_disk[existing(place).stat().st_dev].append((place, left))
    for places in by_disk.values():
        free, need = free_disk_bytes(places[0][0]), sum(left for _, left in places)
        if free < COMFORTABLE * need:
            where = " and ".join(str(place) for place, _ in places)
            text = f"{free / GIGABYTE:.3g} GB are free for about {need / GIGABYTE:.3g} GB in {where}"
            add = findings.error if free < need else findings.warning
            add(text, "Make room, or set nnU-Net's folders to another disk.", file=existing(places[0][0]))


def _bytes_in(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
