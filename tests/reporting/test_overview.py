"""The picture shows the slice that it says, and exactly the voxels of the masks."""

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from nnunetv2_mscs.reporting.colours import PREDICTION, TRUTH
from nnunetv2_mscs.reporting.overview import Case, draw_overview, slice_to_show

SHAPE = (6, 32, 40)


def case(truth: np.ndarray, prediction: np.ndarray) -> Case:
    image = np.zeros(SHAPE, np.float32)
    return Case("a case", image, image, truth, prediction, (6.0, 2.0, 2.0))


def mask(slices: dict[int, int]) -> np.ndarray:
    """A mask with squares of the given edge on the given slices."""
    array = np.zeros(SHAPE, bool)
    for z, edge in slices.items():
        array[z, 4 : 4 + edge, 4 : 4 + edge] = True
    return array


def test_slice():
    empty = mask({})
    assert slice_to_show(case(mask({1: 3, 4: 5}), mask({2: 9}))) == 4
    assert slice_to_show(case(empty, mask({2: 9}))) == 2
    assert slice_to_show(case(empty, empty)) == 3


def test_coloured_area_is_that_of_the_masks(tmp_path):
    """On a black scan the coloured pixels of each column are as many as its mask's share of the slice."""
    file = tmp_path / "overview.png"
    truth, prediction = mask({2: 12}), mask({2: 6})
    draw_overview([case(truth, prediction)], file, title="")
    picture = matplotlib.image.imread(file)[..., :3]
    areas = {}
    for name, colour in (("truth", TRUTH), ("prediction", PREDICTION)):
        shown = 0.65 * np.array(to_rgb(colour))
        areas[name] = (np.abs(picture - shown).max(axis=-1) < 0.02).sum()
    assert areas["truth"] / areas["prediction"] == pytest.approx(4, rel=0.05)
    assert not list(tmp_path.glob("*.part"))
