"""What a sheet shows is what the masks say: pixels counted in the finished picture."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from nnunetv2_mscs.reporting.colours import FALSE_NEGATIVE, FALSE_POSITIVE, PREDICTION, TRUE_POSITIVE, TRUTH, rgb
from nnunetv2_mscs.reporting.layers import OPACITY, contour_overlay, enlarged, error_overlay
from nnunetv2_mscs.reporting.pictures import png, small
from nnunetv2_mscs.reporting.sheet import CONTOURS, ERRORS, SheetCase, draw_sheet, draw_thumbnail
from nnunetv2_mscs.reporting.windows import Window

SHAPE = (5, 30, 24)
NOTHING, HIT, FALSE_ALARM, MISS = range(4)
COLOURS = {HIT: TRUE_POSITIVE, FALSE_ALARM: FALSE_POSITIVE, MISS: FALSE_NEGATIVE}


def case(truth=None, prediction=None, *, seed=0, spacing=(6.0, 1.0, 1.0), **more) -> SheetCase:
    """Masks on noise, which fills the volume so that nothing is cropped."""
    noise = np.random.default_rng(seed).uniform(0, 1, SHAPE).astype(np.float32)
    return SheetCase("a case", {"DWI": noise}, {"DWI": Window(0, 1, "")}, spacing, truth, prediction, **more)


def random_mask(seed: int, share: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).random(SHAPE) < share


def truth_table(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return np.select([truth & prediction, prediction & ~truth, truth & ~prediction], [HIT, FALSE_ALARM, MISS], NOTHING)


def kinds(pixels: np.ndarray, *, tolerance: float = 2) -> np.ndarray:
    """Which colour lies over the grey of each pixel: differences between channels tell, whatever the grey."""
    contrast = np.stack([pixels[..., 0] - pixels[..., 1], pixels[..., 1] - pixels[..., 2]], axis=-1)
    known = [(0.0, 0.0), *(OPACITY * -np.diff(np.array(rgb(COLOURS[kind]), float)) for kind in sorted(COLOURS))]
    distance = np.stack([np.abs(contrast - np.array(colour)).max(axis=-1) for colour in known])
    assert distance.min(axis=0).max() <= tolerance, "a colour that is none of the four"
    return distance.argmin(axis=0)


def panel(picture: Image.Image, box: tuple[int, int, int, int]) -> np.ndarray:
    return np.asarray(picture.crop(box).convert("RGB"), dtype=float)


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize(("spacing", "zoom"), [((6.0, 1.0, 1.0), (4, 4)), ((5.0, 2.0, 1.0), (6, 3))])
def test_coloured_pixels_of_the_finished_picture_are_the_confusion_matrix(spacing, zoom, smooth):
    truth, prediction = random_mask(1), random_mask(2)
    sheet = draw_sheet(
        case(truth, prediction, spacing=spacing), slices=SHAPE[0], panel_height=SHAPE[1] * zoom[0], smooth=smooth
    )
    picture = Image.open(BytesIO(png(sheet.image)))
    expected = truth_table(truth, prediction)
    assert sheet.shown.indices == tuple(range(SHAPE[0]))
    for z in sheet.shown.indices:
        found = kinds(panel(picture, sheet.panels[ERRORS, z]))
        assert found.shape == (SHAPE[1] * zoom[0], SHAPE[2] * zoom[1])
        counts = np.bincount(found.ravel(), minlength=4)
        assert (counts == np.bincount(expected[z].ravel(), minlength=4) * zoom[0] * zoom[1]).all()
        assert (found == np.kron(expected[z], np.ones(zoom, int))).all()


def test_rows_without_masks_hold_no_colour():
    sheet = draw_sheet(case(random_mask(1), random_mask(2)), slices=2)
    for z in sheet.shown.indices:
        assert (kinds(panel(sheet.image, sheet.panels["DWI", z])) == NOTHING).all()


def test_error_overlay_has_the_masks_voxels():
    truth, prediction = random_mask(3), random_mask(4)
    layer = error_overlay(truth, prediction)
    expected = truth_table(truth, prediction)
    for kind, colour in COLOURS.items():
        assert ((layer[..., :3] == rgb(colour)).all(axis=-1) == (expected == kind)).all()
    assert ((layer[..., 3] > 0) == (truth | prediction)).all()


def test_contours_enclose_exactly_the_masks():
    blob = ndimage.binary_opening(random_mask(5, 0.7)[0], iterations=2)
    assert blob.any()
    large = np.pad(enlarged(blob, (240, 192)), 5)
    outer, inner = contour_overlay(large, None), contour_overlay(None, large)
    outside = (outer[..., :3] == rgb(TRUTH)).all(axis=-1) & (outer[..., 3] == 255)
    inside = (inner[..., :3] == rgb(PREDICTION)).all(axis=-1) & (inner[..., 3] == 255)
    assert not (outside & large).any()
    assert (inside <= large).all()
    neighbours = np.ones((3, 3), bool)
    assert (outside == ndimage.binary_dilation(large, neighbours) & ~large).all()
    assert (inside == large & ~ndimage.binary_erosion(large, neighbours)).all()


def test_two_contours_on_the_same_edge_are_both_seen():
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    layer = contour_overlay(mask, mask)
    for colour in (TRUTH, PREDICTION):
        assert (layer[..., :3] == rgb(colour)).all(axis=-1).sum() > 70


@pytest.mark.parametrize("size", [(61, 47), (30, 24), (200, 133)])
def test_enlarging_keeps_every_voxel_at_its_place(size):
    voxels = np.arange(30 * 24).reshape(30, 24)
    large = enlarged(voxels, size)
    assert large.shape == size
    centres = [np.rint((np.arange(n) + 0.5) * m / n - 0.5).astype(int) for n, m in zip((30, 24), size, strict=True)]
    assert (large[np.ix_(*centres)] == voxels).all()


@pytest.mark.parametrize(
    ("truth", "prediction", "rows"),
    [
        (None, None, ["DWI"]),
        (random_mask(1), None, ["DWI", CONTOURS]),
        (None, random_mask(1), ["DWI", CONTOURS]),
        (random_mask(1), np.zeros(SHAPE, bool), ["DWI", CONTOURS, ERRORS]),
    ],
)
def test_rows_are_those_there_is_something_for(truth, prediction, rows):
    sheet = draw_sheet(case(truth, prediction))
    assert list(dict.fromkeys(row for row, _ in sheet.panels)) == rows
    assert draw_thumbnail(case(truth, prediction), height=50).height == 50


def test_masks_alone_are_drawn_on_black():
    masks = SheetCase("masks", {}, {}, (6.0, 1.0, 1.0), random_mask(1), random_mask(2), notes=("No image.",))
    sheet = draw_sheet(masks, slices=1, panel_height=SHAPE[1] * 2)
    (z,) = sheet.shown.indices
    expected = truth_table(masks.truth, masks.prediction)[z]
    assert (kinds(panel(sheet.image, sheet.panels[ERRORS, z]))[::2, ::2] == expected).all()


def test_a_mask_outside_the_head_is_not_cropped_away():
    head = np.zeros((3, 200, 200), np.float32)
    head[:, 80:120, 80:120] = 1
    mask = np.zeros(head.shape, bool)
    mask[1, 5, 190] = True
    shown = SheetCase("a", {"DWI": head}, {"DWI": Window(0, 1, "")}, (5.0, 1.0, 1.0), mask, mask)
    sheet = draw_sheet(shown, slices=1, panel_height=600)
    left, top, right, bottom = sheet.panels[ERRORS, 1]
    hits = (kinds(panel(sheet.image, (left, top, right, bottom))) == HIT).sum()
    assert hits > 4
    assert bottom - top == 600


def test_proportions_are_the_patients():
    for spacing in ((6.0, 1.0, 1.0), (6.0, 2.0, 1.0), (6.0, 0.9, 1.3)):
        sheet = draw_sheet(case(spacing=spacing), panel_height=300)
        left, top, right, bottom = next(iter(sheet.panels.values()))
        expected = SHAPE[2] * spacing[2] / (SHAPE[1] * spacing[1])
        assert (right - left) / (bottom - top) == pytest.approx(expected, abs=1 / 300)


def test_small_pictures_keep_the_colour_of_single_voxels():
    truth, prediction = random_mask(1), random_mask(2)
    sheet = draw_sheet(case(truth, prediction), slices=1, panel_height=SHAPE[1] * 4)
    (z,) = sheet.shown.indices
    content, mime = small(sheet.image, quality=45)
    assert mime in ("image/avif", "image/jpeg")
    assert len(content) < len(png(sheet.image))
    pixels = panel(Image.open(BytesIO(content)), sheet.panels[ERRORS, z])[2::4, 2::4]
    assert (kinds(pixels, tolerance=255) == truth_table(truth, prediction)[z]).mean() > 0.97
