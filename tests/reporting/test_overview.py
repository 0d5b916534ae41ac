"""The picture shows the slice that it says, and exactly the voxels of the masks."""

import numpy as np
import pytest

from nnunetv2_mscs.reporting.colours import PREDICTION, TRUTH, rgb
from nnunetv2_mscs.reporting.layers import OPACITY
from nnunetv2_mscs.reporting.overview import draw_overview, result_row, slices_row
from nnunetv2_mscs.reporting.panels import SheetCase
from nnunetv2_mscs.reporting.windows import Window

SHAPE = (6, 32, 40)


def case(truth: np.ndarray, prediction: np.ndarray | None = None) -> SheetCase:
    image, window = np.zeros(SHAPE, np.float32), Window(0, 1, "")
    channels, windows = {"DWI": image, "ADC": image}, {"DWI": window, "ADC": window}
    return SheetCase("a case", channels, windows, (6.0, 2.0, 2.0), truth=truth, prediction=prediction)


def mask(slices: dict[int, int]) -> np.ndarray:
    """A mask with squares of the given edge on the given slices."""
    array = np.zeros(SHAPE, bool)
    for z, edge in slices.items():
        array[z, 4 : 4 + edge, 4 : 4 + edge] = True
    return array


def test_slice():
    empty = mask({})
    for truth, prediction, index in (
        (mask({1: 3, 4: 5}), mask({2: 9}), 4),
        (empty, mask({2: 9}), 2),
        (empty, empty, 3),
    ):
        assert {z for _, z, _ in result_row("", case(truth, prediction)).panels} == {index}


def test_slices_of_both_channels_hold_the_largest_area_of_the_lesion():
    row = slices_row("", case(mask({1: 3, 4: 5})), slices=3)
    dwi, adc = row.panels[:3], row.panels[3:]
    assert [z for _, z, _ in dwi] == [z for _, z, _ in adc]
    assert 4 in [z for _, z, _ in dwi]


def test_coloured_area_is_that_of_the_masks():
    """On a black scan the coloured pixels of each column are as many as its mask's share of the slice."""
    row = result_row("a case", case(mask({2: 12}), mask({2: 6})))
    picture = np.asarray(draw_overview([row, row], height=200, title="title", headings=("a", "b", "c", "d")))
    areas = {}
    for name, colour in (("truth", TRUTH), ("prediction", PREDICTION)):
        shown = OPACITY * np.array(rgb(colour))
        areas[name] = (np.abs(picture - shown).max(axis=-1) < 3).sum()
    assert areas["truth"] / areas["prediction"] == pytest.approx(4, rel=0.05)
