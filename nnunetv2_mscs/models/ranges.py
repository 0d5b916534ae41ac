"""What lies outside of the scans that a model was trained on, in sentences."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_mscs.nnunet_files.dataset import FINGERPRINT
from nnunetv2_mscs.nnunet_files.json_files import read_json_if_there
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.scans.channels import ADC, DWI
from nnunetv2_mscs.scans.new_scan import NewScan
from nnunetv2_mscs.scans.units import SCALED, head_mask

# A voxel this many times larger or smaller than any in training is worth a look.
SPACING_FACTOR = 1.5
USUAL_B_VALUES = (800.0, 1200.0)
# A grown-up's head is some 150 x 190 mm, and its brain 130 mm high.
SMALLEST_FIELD_MM, SMALLEST_HEIGHT_MM = 140.0, 70.0
# How bright the brightest tenth of the head is, by its median, in the DWI over the same in the ADC map: 0.48 to 0.63 in
# six real scans, and the reciprocal if the two are changed about. Fluid is bright in an ADC map alone.
BRIGHT_PERCENTILE, MOST_CONTRAST = 90, 1.3
LEAST_HEAD_ML, MOST_HEAD_ML = 500.0, 4500.0


def range_warnings(new: NewScan, model_folder: Path, trained_adc_unit: Any) -> list[str]:
    """Warnings on the voxel size, the field of view, the head's size, the b-value and the unit of the ADC.

    Args:
        new: the scan.
        model_folder: with the plans, and the fingerprint of the training data if it was passed on.
        trained_adc_unit: as the model's dataset.json says it; None if it does not.
    """
    scan = new.scan
    warnings: list[str] = []
    if new.measured:
        warnings += _spacing(sorted(scan.grid.spacing), model_folder)
        warnings += _extent(new)
    if not new.oriented:
        warnings.append("which side is left is not recorded: the order of the voxels was taken for the usual one")
    low, high = USUAL_B_VALUES
    if new.b_value is not None and not low <= new.b_value <= high:
        warnings.append(f"the DWI has b = {new.b_value:g} s/mm2; models are usually trained on {low:g} to {high:g}")
    if ADC in scan.channels and DWI in scan.channels and look_changed_about(scan.channels[ADC], scan.channels[DWI]):
        warnings.append("ADC and DWI look as if they were changed about: fluid is bright in the DWI, not in the ADC")
    if ADC in scan.channels and trained_adc_unit and (scan.adc_unit == SCALED) != ("scaled" in str(trained_adc_unit)):
        found = "scaled to [0, 1]" if scan.adc_unit == SCALED else "a diffusivity"
        warnings.append(f"the ADC is {found}; the model was trained on ADC in {trained_adc_unit}")
    return warnings


def look_changed_about(adc: np.ndarray, dwi: np.ndarray) -> bool:
    """Whether the tail of bright voxels is longer in what is called the DWI than in what is called the ADC map."""
    adc, dwi = np.maximum(adc, 0), np.maximum(dwi, 0)
    head = head_mask(adc * dwi)
    if not head.any():
        return False
    adc_tail, dwi_tail = (np.percentile(one[head], (50, BRIGHT_PERCENTILE)) for one in (adc, dwi))
    return bool(dwi_tail[1] * adc_tail[0] > MOST_CONTRAST * adc_tail[1] * dwi_tail[0])


def _spacing(spacing: list[float], model_folder: Path) -> list[str]:
    trained = _trained_spacings(model_folder)
    if trained is None:
        return []
    low, high = trained.min(axis=0), trained.max(axis=0)
    if (np.array(spacing) >= low / SPACING_FACTOR).all() and (np.array(spacing) <= high * SPACING_FACTOR).all():
        return []
    ours = " x ".join(f"{size:.3g}" for size in spacing)
    theirs = " x ".join(f"{a:.3g}" if a == b else f"{a:.3g}-{b:.3g}" for a, b in zip(low, high, strict=True))
    return [f"voxels of {ours} mm; the model was trained on {theirs} mm"]


def _trained_spacings(model_folder: Path) -> np.ndarray | None:
    """(N, 3) voxel sizes of the training scans in mm, each sorted; one row, the median, without a fingerprint."""
    spacings = read_json_if_there(model_folder / FINGERPRINT).get("spacings")
    plans: Mapping[str, Any] = read_json_if_there(model_folder / PLANS_JSON)
    rows = spacings or [plans.get("original_median_spacing_after_transp")]
    try:
        found = np.sort(np.array(rows, dtype=float), axis=1)
    except (TypeError, ValueError):
        return None
    return found if found.ndim == 2 and found.shape[1] == 3 and np.isfinite(found).all() else None


def _extent(new: NewScan) -> list[str]:
    grid, warnings = new.scan.grid, []
    upright = {letter: n * mm for letter, n, mm in zip(grid.axes, grid.size, grid.spacing, strict=True)}
    height = upright.get("S") or upright.get("I") or 0.0
    across = [length for letter, length in upright.items() if letter not in "SI"]
    if min(across) < SMALLEST_FIELD_MM or height < SMALLEST_HEIGHT_MM:
        shown = " x ".join(f"{length:.0f}" for length in (*across, height))
        warnings.append(f"the field of view is {shown} mm (across, height): less than a head")
    elif DWI in new.scan.channels:
        volume_ml = float(np.count_nonzero(head_mask(new.scan.channels[DWI]))) * grid.voxel_volume_ml
        if not LEAST_HEAD_ML <= volume_ml <= MOST_HEAD_ML:
            warnings.append(f"the bright part of the DWI has {volume_ml:.0f} mL, which is no usual size of a head")
    return warnings
