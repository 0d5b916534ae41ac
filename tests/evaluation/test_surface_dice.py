"""The surface Dice weighs by area, counts what lies within the tolerance, and closes surfaces at the image's edge."""

import numpy as np
import pytest

from nnunetv2_mscs.evaluation.surface_dice import element_areas_mm2, element_codes, surface_dice

SPACING_MM = (5.0, 1.2, 0.8)


def shifted(steps: tuple[int, int, int], shape=(8, 24, 24)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(2 + step, size - 3 + step) for step, size in zip(steps, shape, strict=True))] = True
    return mask


def total_area_mm2(mask: np.ndarray) -> float:
    return float(element_areas_mm2(SPACING_MM)[element_codes(mask)].sum())


def test_a_code_and_its_complement_have_one_area():
    areas = element_areas_mm2(SPACING_MM)
    np.testing.assert_array_equal(areas, areas[::-1])
    assert areas[0] == 0.0
    assert (areas[1:-1] > 0).all()


@pytest.mark.parametrize(
    ("code", "area"),
    [(0b11110000, 1.2 * 0.8), (0b11001100, 5.0 * 0.8), (0b10101010, 5.0 * 1.2)],
    ids=["across z", "across y", "across x"],
)
def test_a_plane_has_the_area_of_a_voxels_face(code, area):
    assert element_areas_mm2(SPACING_MM)[code] == pytest.approx(area)


def test_areas_scale_with_the_square_of_the_spacing():
    larger = element_areas_mm2(tuple(2 * size for size in SPACING_MM))
    np.testing.assert_allclose(larger, 4 * element_areas_mm2(SPACING_MM), rtol=1e-6)


def test_a_box_has_the_area_of_its_faces_less_its_bevelled_edges():
    mask = np.zeros((14, 44, 64), dtype=bool)
    mask[2:12, 2:42, 2:62] = True
    sides = np.array([10, 40, 60]) * SPACING_MM
    faces = 2 * (sides[0] * sides[1] + sides[0] * sides[2] + sides[1] * sides[2])
    assert 0.95 * faces < total_area_mm2(mask) < faces


def test_the_place_in_the_image_does_not_matter():
    """Also not at its edges, where a mask's surface is closed."""
    inner = np.zeros((8, 20, 20), dtype=bool)
    inner[3:5, 8:12, 8:12] = True
    corner = np.roll(inner, (-3, -8, -8), (0, 1, 2))
    assert total_area_mm2(corner) == pytest.approx(total_area_mm2(inner))
    assert total_area_mm2(inner[3:5, 8:12, 8:12]) == pytest.approx(total_area_mm2(inner))


def test_faces_across_thick_slices_weigh_by_their_area():
    """Moved by one slice of 5 mm, the faces across z are beyond 1 mm and all others but their ends within."""
    reference, prediction = shifted((0, 0, 0)), shifted((1, 0, 0))
    per_voxel = 2 * 19 * 19 / (2 * 19 * 19 + 4 * 3 * 19)
    share_beyond = 1 - surface_dice(reference, prediction, SPACING_MM)["nsd_1mm"]
    assert 0 < share_beyond < per_voxel


def test_the_tolerance_is_included_and_a_rounded_header_does_not_decide():
    reference, prediction = shifted((0, 0, 0)), shifted((0, 0, 1))
    for spacing_x in (1.0, 1.0000001, 0.9999999, np.float32(1.00001)):
        assert surface_dice(reference, prediction, (5.0, 1.2, spacing_x))["nsd_1mm"] == 1.0
    assert surface_dice(reference, prediction, (5.0, 1.2, 1.001))["nsd_1mm"] < 1.0
    assert surface_dice(reference, prediction, (5.0, 1.2, 1.001))["nsd_2mm"] == 1.0


def test_symmetric_and_by_tolerance():
    reference, prediction = shifted((0, 0, 0)), shifted((0, 2, -1))
    values = surface_dice(reference, prediction, SPACING_MM, (1, 2, 3))
    assert values == pytest.approx(surface_dice(prediction, reference, SPACING_MM, (1, 2, 3)))
    assert values["nsd_1mm"] < values["nsd_2mm"] < values["nsd_3mm"] == 1.0
