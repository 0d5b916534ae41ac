"""A picture of some cases of a set: DWI and ADC with the lesion's outline, for people to look at."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.phantom.case import PhantomCase, phantom_case
from nnunetv2_mscs.phantom.settings import PhantomSettings
from nnunetv2_mscs.workplace.parallel import run_parallel

SLICES = 6
ADC_WINDOW = (0, 2500)  # 10^-6 mm2/s


def draw_phantoms(
    path: Path, settings: PhantomSettings, *, seed: int, indices: Sequence[int], processes: int = 1
) -> None:
    """Draw cases of a set into a PNG: a row a case, six slices of the DWI, then the same of the ADC.

    Args:
        path: the file, replaced if it is there.
        settings: of the set.
        seed: of the set.
        indices: the cases to draw.
        processes: how many to use.

    Raises:
        MscsError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    work = partial(phantom_case, settings, seed)
    cases = run_parallel(work, indices, processes=processes, description="picture")
    figure = Figure(figsize=(2 * SLICES * 1.5, 1.65 * len(cases)), facecolor="black")
    axes = figure.subplots(len(cases), 2 * SLICES, squeeze=False)
    for row, case in zip(axes, cases, strict=True):
        _draw_case(row, case)
    figure.subplots_adjust(0, 0, 1, 1 - 0.12 / len(cases), 0.01, 0.1)
    unfinished = path.with_name(f".{path.name}.new")
    try:
        figure.savefig(unfinished, dpi=90, format="png")
        unfinished.replace(path)
    except OSError as error:
        raise MscsError(f"{path} could not be written: {error.strerror or error}.", "Check folder and disk.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _draw_case(row: np.ndarray, case: PhantomCase) -> None:
    windows = ((case.dwi, 0, np.percentile(case.dwi, 99.7)), (case.adc, *ADC_WINDOW))
    aspect = case.spacing[1] / case.spacing[0]
    for i, (image, low, high) in enumerate(windows):
        for axis, z in zip(row[i * SLICES : (i + 1) * SLICES], _slices(case.mask), strict=True):
            axis.imshow(image[:, :, z].T, cmap="gray", vmin=low, vmax=high, aspect=aspect)
            if case.mask[:, :, z].any():
                axis.contour(case.mask[:, :, z].T, [0.5], colors="red", linewidths=0.6)
            axis.set_axis_off()
    facts = case.facts
    title = (
        f"{case.name}  {facts.kind}, {facts.volume_mask_ml:.3g} mL" if case.mask.any() else f"{case.name}  no lesion"
    )
    row[0].set_title(title, loc="left", fontsize=8, color="white", pad=2)


def _slices(mask: np.ndarray) -> np.ndarray:
    """Slices spread over the volume, the nearest of them exchanged for that which holds most of the lesion."""
    depth = mask.shape[2]
    chosen = np.linspace(0.15 * depth, 0.85 * depth, SLICES).astype(int)
    if mask.any():
        most = int(mask.sum(axis=(0, 1)).argmax())
        chosen[int(np.abs(chosen - most).argmin())] = most
    return chosen
