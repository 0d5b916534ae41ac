"""From files to a case to draw: images and masks on one grid, turned to the radiologist's view."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from nnunetv2_mscs.evaluation.catalogue import METRICS
from nnunetv2_mscs.reporting.panels import SheetCase, case_on_grid
from nnunetv2_mscs.scans.alignment import align, turn, turned
from nnunetv2_mscs.scans.channels import COMBINED, ReadingRules, ScanFiles, read_channels
from nnunetv2_mscs.scans.findings import Findings, ScanError
from nnunetv2_mscs.scans.forms import Placed, settle_forms
from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.masks import to_labels
from nnunetv2_mscs.scans.orientation import NO_ORIENTATION
from nnunetv2_mscs.scans.reading import Volume, read_volume

ONLY_CHANNEL = "image"
SEPARATOR = "  ·  "
SHOWN_FACTS = ("dice", "volume_reference_ml", "volume_prediction_ml", "hd95_mm", "f1_isles22")


def read_sheet_case(
    name: str,
    images: Mapping[str, Path],
    *,
    truth: Path | None = None,
    prediction: Path | None = None,
    values: Collection[int] | None = None,
    ignored: int | None = None,
    facts: str | None = None,
    rules: ReadingRules | None = None,
    check: bool = True,
) -> SheetCase:
    """Read a case.

    Args:
        name: the case identifier.
        images: files by channel name; the name "*" stands for a file of all channels. Without images the masks are
            drawn on black.
        truth: a mask file on the images' grid, or on one that differs only in the order and direction of its axes.
        prediction: likewise.
        values: the labels to show; None for all above 0.
        ignored: the value of nnU-Net's ignore label in the truth, if there is one: such voxels count nowhere.
        facts: a line for the sheet; by default Dice and volumes.
        rules: how to read array files.
        check: also check that the files are complete, which costs reading NIfTI files twice.

    Raises:
        ScanError: a file cannot be read, or lies on another grid.
    """
    files = {key: file for key, file in (("truth", truth), ("prediction", prediction)) if file is not None}
    rules = rules or ReadingRules()
    scans, notes = _read_images(images, rules, check)
    masks = {key: Placed(file, _read_mask(file, rules, check)) for key, file in files.items()}
    if not scans and not masks:
        raise ScanError(f"{name} has no image and no mask", "Name a file that there is.")
    notes += [f"{path.name}: {warning}." for path, warning in settle_forms({**scans, **masks})]
    volumes, labels = ({key: one.volume for key, one in placed.items()} for placed in (scans, masks))
    reference_name, reference = next(iter({**volumes, **labels}.items()))
    grid = turned(reference.grid, _upright(reference.grid))
    arrays = {key: _placed(volume, grid, key, reference_name) for key, volume in {**volumes, **labels}.items()}
    channels = {key: np.nan_to_num(arrays[key].astype(np.float32), posinf=0, neginf=0) for key in volumes}
    shown = {key: np.isin(arrays[key], list(values)) if values else arrays[key] > 0 for key in labels}
    left_out = arrays["truth"] == ignored if "truth" in labels and ignored is not None else np.zeros(1, dtype=bool)
    if left_out.any():
        shown = {key: mask & ~left_out for key, mask in shown.items()}
        notes.append("Masks are not drawn where the truth is nnU-Net's ignore label.")
    case = case_on_grid(
        name,
        channels,
        grid,
        truth=shown.get("truth"),
        prediction=shown.get("prediction"),
        positions_mm=_positions_mm(grid) if reference.has_geometry else None,
        oriented=reference.has_geometry and NO_ORIENTATION not in reference.warnings,
        measured=reference.has_geometry or rules.spacing is not None,
        notes=tuple(notes),
    )
    return replace(case, facts=mask_facts(case) if facts is None else facts)


def scan_to_show(
    name: str,
    channels: Mapping[str, np.ndarray],
    grid: Grid,
    *,
    prediction: np.ndarray,
    facts: str = "",
    notes: Collection[str] = (),
    oriented: bool = True,
    measured: bool = True,
) -> SheetCase:
    """A scan in memory, with a predicted mask.

    Args:
        name: the case identifier.
        channels: (Z, Y, X) by name, finite.
        grid: of the channels and the mask, along any axes.
        prediction: (Z, Y, X), above 0 in the mask.
        facts: a line for the sheet.
        notes: sentences for the reader.
        oriented: left and right are known.
        measured: the spacing is known.
    """
    upright = turned(grid, _upright(grid))
    arrays = {key: turn(array[None], grid, upright)[0][0] for key, array in channels.items()}
    return case_on_grid(
        name,
        arrays,
        upright,
        prediction=turn(prediction[None] > 0, grid, upright)[0][0],
        facts=facts,
        positions_mm=_positions_mm(upright) if oriented else None,
        oriented=oriented,
        measured=measured,
        notes=tuple(notes),
    )


def _read_images(images: Mapping[str, Path], rules: ReadingRules, check: bool) -> tuple[dict[str, Placed], list[str]]:
    """Each channel as a volume, and notes about the files."""
    findings = Findings()
    found = read_channels(ScanFiles(images), rules, findings, check)
    for finding in findings.errors:
        raise ScanError(finding.finding, finding.remedy, finding.file)
    placed = {key: Placed(channel.path, channel.volume) for key, channel in found.items()}
    if COMBINED in images and len(placed) == 1:
        return {ONLY_CHANNEL: next(iter(placed.values()))}, []
    return placed, [f"{item.finding[0].upper()}{item.finding[1:]}." for item in findings.items]


def _read_mask(file: Path, rules: ReadingRules, check: bool) -> Volume:
    volume = read_volume(file, spacing=rules.spacing, content="mask", check=check)
    try:
        volume.array = to_labels(volume.array)
    except ScanError as error:
        raise ScanError(error.finding, error.remedy, file) from error
    return volume


def _upright(grid: Grid) -> Grid:
    """A grid whose axes run to the patient's left, back and head."""
    return Grid(grid.size, grid.spacing)


def _placed(volume: Volume, grid: Grid, what: str, reference_name: str) -> np.ndarray:
    """(Z, Y, X) on the sheet's grid."""
    if volume.has_geometry:
        try:
            return align(volume.array, volume.grid, grid, what=what, reference_name=reference_name)[0][0]
        except ScanError as error:
            raise ScanError(error.finding, "Show them apart, or save both on one grid.") from error
    array = turn(volume.array, volume.grid, _upright(volume.grid))[0][0]
    if array.shape != grid.shape:
        raise ScanError(
            f"{what} has the shape {array.shape[::-1]}, {reference_name} {grid.shape[::-1]} (x, y, z)",
            "Save both from the same grid.",
        )
    return array


def _positions_mm(grid: Grid) -> tuple[float, ...]:
    """Where the centre of each slice lies along the patient's axis, upwards."""
    x, y, z = grid.size
    indices = np.array([((x - 1) / 2, (y - 1) / 2, k) for k in range(z)])
    return tuple(float(p) for p in (np.array(grid.origin) + (indices * grid.spacing) @ grid.matrix.T)[:, 2])


def mask_facts(case: SheetCase) -> str:
    """Dice and volumes of the masks of a case, as far as there are any."""
    truth, prediction = case.truth, case.prediction
    facts = []
    if truth is not None and prediction is not None:
        both = int(truth.sum()) + int(prediction.sum())
        dice = 2 * int((truth & prediction).sum()) / both if both else 1.0
        facts.append(f"Dice {dice:.3f}" + ("" if both else " (both empty)"))
    for name, mask in (("truth", truth), ("prediction", prediction)):
        if mask is not None:
            facts.append(f"{name} {_amount(mask, case)}")
    return SEPARATOR.join(facts)


def _amount(mask: np.ndarray, case: SheetCase) -> str:
    voxels = int(mask.sum())
    if not voxels:
        return "empty"
    return f"{voxels * float(np.prod(case.spacing_mm)) / 1000:.2f} mL" if case.measured else f"{voxels} voxels"


def metric_facts(values: Mapping[str, float]) -> str:
    """Some metrics of a case in a line, from an evaluation's row."""
    shown = []
    for column in SHOWN_FACTS:
        metric, value = METRICS[column], values[column]
        title, _, unit = metric.title.removesuffix(")").partition(" (")
        title, unit = (title, f" {unit}") if metric.kind in ("volume", "distance") else (metric.title, "")
        shown.append(f"{title} not defined" if np.isnan(value) else f"{title} {value:.{metric.decimals}f}{unit}")
    return SEPARATOR.join(shown)
