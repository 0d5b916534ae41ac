"""The colours of truth, prediction and errors, seen by everybody."""

from itertools import combinations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from nnunetv2_mscs.reporting.colours import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, rgb
from nnunetv2_mscs.reporting.layers import OPACITY

# Machado, Oliveira and Fernandes, IEEE Trans. Vis. Comput. Graph. 2009: full dichromacy, for linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
CLEARLY_DIFFERENT = 12.0  # CIEDE2000; 2 is just seen side by side


def seen(colour: np.ndarray, sight: str) -> np.ndarray:
    """A colour (RGB in [0, 1]) as somebody sees it, in CIELAB."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(SIGHT[sight]) @ linear, 0, 1)
    return rgb2lab(np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("grey", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_hits_misses_and_false_alarms_differ_for_everybody_on_any_grey(sight, grey):
    background = np.full(3, grey)
    colours = [np.array(rgb(colour)) / 255 for colour in (TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE)]
    shown = [OPACITY * colour + (1 - OPACITY) * background for colour in colours]
    for one, other in combinations([*shown, background], 2):
        assert deltaE_ciede2000(seen(one, sight), seen(other, sight)) > CLEARLY_DIFFERENT
