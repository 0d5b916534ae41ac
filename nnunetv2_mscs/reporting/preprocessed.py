"""Cases as nnU-Net's preprocessing left them, which is what its training sees: cropped, resampled, normalised."""

from pathlib import Path

import numpy as np

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON
from nnunetv2_mscs.nnunet_files.json_files import read_json_if_there
from nnunetv2_mscs.reporting.ignored import ignored_by
from nnunetv2_mscs.reporting.panels import SheetCase, case_on_grid
from nnunetv2_mscs.scans.alignment import turn
from nnunetv2_mscs.scans.grid import Grid

AS_IT_STANDS = "Give a folder as nnUNetv2_plan_and_preprocess leaves it in nnUNet_preprocessed, its plans beside it."


def preprocessed_cases(folder: Path) -> tuple[str, ...]:
    """The case identifiers of a folder of preprocessed data, such as nnUNetPlans_2d; empty for any other folder."""
    stems = {path.name.removesuffix(".pkl") for path in folder.glob("*.pkl")}
    data = {path.name.removesuffix(end) for end in (".b2nd", ".npz") for path in folder.glob(f"*{end}")}
    return tuple(sorted(stems & data))


def read_preprocessed_case(folder: Path, name: str) -> SheetCase:
    """Read one case with nnU-Net's own reader, turned to the radiologist's view.

    Raises:
        MscsError: it cannot be read, or the plans beside the folder do not give its spacing.
    """
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class

    transpose, spacing = _plans_of(folder)
    try:
        data, segmentation, _, properties = infer_dataset_class(str(folder))(str(folder), [name]).load_case(name)
        data, segmentation = np.asarray(data[:], dtype=np.float32), np.asarray(segmentation[:])
    except Exception as error:
        # Damaged bytes raise errors of many kinds in three libraries.
        raise MscsError(f"{folder / name} cannot be read: {error}.", AS_IT_STANDS) from error
    axes = tuple(1 + axis for axis in np.argsort(transpose))
    data, segmentation = data.transpose(0, *axes), segmentation.transpose(0, *axes)
    spacing_mm = _in_order(spacing, transpose, properties["spacing"])
    direction = properties.get("sitk_stuff", {}).get("direction")
    z, y, x = data.shape[1:]
    grid = Grid((x, y, z), spacing_mm[::-1], direction=tuple(direction or np.eye(3).ravel()))
    upright = Grid(grid.size, grid.spacing)
    shown, shown_grid = turn(data, grid, upright)
    labels = turn(segmentation, grid, upright)[0][0]
    ignored = ignored_by([folder.parent])
    truth = (labels > 0) if ignored is None else (labels > 0) & (labels != ignored)
    return case_on_grid(
        name,
        dict(zip(_channel_names(folder, len(shown)), shown, strict=True)),
        shown_grid,
        normalised=True,
        truth=truth,
        facts=f"preprocessed by nnU-Net, {folder.name}  ·  truth {_amount(truth, spacing_mm)}",
        oriented=direction is not None,
    )


def _amount(truth: np.ndarray, spacing_mm: tuple[float, ...]) -> str:
    return f"{int(truth.sum()) * float(np.prod(spacing_mm)) / 1000:.2f} mL" if truth.any() else "empty"


def _plans_of(folder: Path) -> tuple[list[int], list[float]]:
    """nnU-Net's order of the axes and its spacing, from the plans beside the folder."""
    for file in sorted(folder.parent.glob("*.json")):
        plans = read_json_if_there(file)
        for configuration in plans.get("configurations", {}).values():
            if configuration.get("data_identifier") == folder.name and "spacing" in configuration:
                return list(plans["transpose_forward"]), list(configuration["spacing"])
    raise MscsError(f"No plans beside {folder} give its spacing.", AS_IT_STANDS)


def _in_order(spacing: list[float], transpose: list[int], original: list[float]) -> tuple[float, ...]:
    """The spacing z, y, x in mm; a 2D configuration does not resample the first of nnU-Net's axes."""
    full = [float(original[transpose[0]]), *spacing] if len(spacing) == 2 else spacing
    return tuple(float(full[axis]) for axis in np.argsort(transpose))


def _channel_names(folder: Path, count: int) -> list[str]:
    """The names in dataset.json; further channels of a cascade have none."""
    named = read_json_if_there(folder.parent / DATASET_JSON).get("channel_names", {})
    return [str(named.get(str(i), f"channel {i}")) for i in range(count)]
