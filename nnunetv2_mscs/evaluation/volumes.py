"""Volumes and numbers of lesions in masks that need no reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from nnunetv2_mscs.evaluation.evaluating import MasksRefused
from nnunetv2_mscs.evaluation.pairing import open_mask
from nnunetv2_mscs.evaluation.sources import find_predictions
from nnunetv2_mscs.nnunet_files.trained import model_meant
from nnunetv2_mscs.scans.findings import Finding, Findings
from nnunetv2_mscs.scans.lesions import lesions_of
from nnunetv2_mscs.workplace.parallel import run_parallel

VOLUME_COLUMNS = ("case", "label", "lesion_volume_ml", "lesion_count", "largest_lesion_ml", "lesion_volumes_ml")
BETWEEN_VOLUMES = " "
ML_DECIMALS = 6


@dataclass(frozen=True)
class _Mask:
    """A mask to measure; a message about a crashed worker names it by `name`."""

    name: str
    file: Path


@dataclass(frozen=True)
class _Measured:
    """The volumes of the pieces of each label in mL, the largest first; `findings` are errors of the file."""

    name: str
    volumes_ml: dict[int, tuple[float, ...]]
    findings: tuple[Finding, ...] = ()


def measure_volumes(masks: str | Path, *, processes: int = 1) -> pd.DataFrame:
    """One row per mask and label: volume, number of pieces (26-connected), and the volume of each piece.

    Args:
        masks: a mask, a folder of masks, a model folder (its validation predictions), or a data set, see `model_meant`.
        processes: how many to use.

    Returns:
        A table with `VOLUME_COLUMNS`; `lesion_volumes_ml` has the pieces' volumes in mL as text, the largest first.
        Every label that any of the masks holds has one row per mask; so has label 1 if all masks are empty.

    Raises:
        MscsError: there are no masks, or (as MasksRefused) some cannot be read.
    """
    findings = Findings()
    found = find_predictions(model_meant(Path(masks)), findings)
    jobs = [_Mask(name, file) for name, file in found.files.items()]
    measured = run_parallel(_measure, jobs, processes=processes, description="measuring")
    for one in measured:
        findings.items += one.findings
    if findings.errors:
        raise MasksRefused(findings.items, (found.place,))
    labels = sorted({label for one in measured for label in one.volumes_ml}) or [1]
    rows = [_row(one.name, label, one.volumes_ml.get(label, ())) for one in measured for label in labels]
    return pd.DataFrame(rows, columns=list(VOLUME_COLUMNS))


def _measure(mask: _Mask) -> _Measured:
    findings = Findings()
    volume = open_mask(mask.file, mask.name, "mask", findings)
    if volume is None:
        return _Measured(mask.name, {}, tuple(findings.items))
    labels = volume.array[0]
    values = [int(value) for value in np.unique(labels) if value]
    return _Measured(mask.name, {one: lesions_of(labels == one, volume.grid.voxel_volume_ml) for one in values})


def _row(case: str, label: int, volumes_ml: Sequence[float]) -> tuple[str, int, float, int, float, str]:
    each = BETWEEN_VOLUMES.join(f"{volume:.{ML_DECIMALS}f}".rstrip("0").rstrip(".") for volume in volumes_ml)
    total, largest = round(sum(volumes_ml), ML_DECIMALS), round(max(volumes_ml, default=0.0), ML_DECIMALS)
    return case, label, total, len(volumes_ml), largest, each


def volumes_text(table: pd.DataFrame) -> str:
    """The table as the terminal shows it, and one sentence about all masks."""
    of_cases = table.groupby("case")["lesion_volume_ml"].sum()
    filled = of_cases[of_cases > 0]
    summary = f"{len(of_cases)} mask{'s' * (len(of_cases) != 1)}, {len(filled)} with a lesion"
    if len(filled):
        summary += f": {filled.min():.2f} to {filled.max():.2f} mL, median {filled.median():.2f} mL"
    shown = table.drop(columns="lesion_volumes_ml").to_string(index=False, float_format=lambda value: f"{value:.2f}")
    return f"{shown}\n\n{summary}"
