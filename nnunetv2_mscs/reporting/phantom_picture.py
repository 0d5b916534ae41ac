"""A picture of some phantoms of a set: DWI and ADC with the lesion's contour, for people to look at."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from nnunetv2_mscs.phantom.case import PhantomCase, phantom_case
from nnunetv2_mscs.phantom.settings import PhantomSettings
from nnunetv2_mscs.reporting.overview import draw_overview, slices_row
from nnunetv2_mscs.reporting.panels import SheetCase, case_on_grid
from nnunetv2_mscs.reporting.pictures import png
from nnunetv2_mscs.scans.channels import ADC, DWI
from nnunetv2_mscs.workplace.parallel import run_parallel
from nnunetv2_mscs.workplace.whole_files import write_whole

SLICES, PANEL_HEIGHT = 6, 130


def draw_phantoms(
    path: Path, settings: PhantomSettings, *, seed: int, indices: Sequence[int], processes: int = 1
) -> None:
    """Draw cases of a set into a PNG: one row per case, six slices of the DWI, then the same of the ADC.

    Raises:
        MscsError: the file cannot be written.
    """
    work = partial(phantom_case, settings, seed)
    cases = run_parallel(work, indices, processes=processes, description="picture")
    rows = [slices_row(_title(case), _to_draw(case), slices=SLICES) for case in cases]
    write_whole(path, png(draw_overview(rows, height=PANEL_HEIGHT)))


def _title(case: PhantomCase) -> str:
    facts = case.facts
    return f"{case.name}\n{facts.kind}, {facts.volume_mask_ml:.3g} mL" if case.mask.any() else f"{case.name}\nno lesion"


def _to_draw(case: PhantomCase) -> SheetCase:
    # Phantoms are (x, y, z) with axes to the patient's left, back and head.
    channels = {DWI: case.dwi.T.astype(np.float32), ADC: case.adc.T.astype(np.float32)}
    return case_on_grid(case.name, channels, case.grid, truth=case.mask.T > 0)
