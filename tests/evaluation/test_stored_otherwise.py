"""Masks at one place are compared however they are stored; contradicting headers are settled or refused."""

import csv

import numpy as np
import pytest

from nnunetv2_mscs.evaluation.pairing import MaskPair, open_pair
from nnunetv2_mscs.scans.findings import Findings
from tests.evaluation.conftest import blob
from tests.stored_scans import ALL_AXES, along, mirrored, moved, oblique, write_nifti

AFFINE = np.diag([-1.2, -1.3, 5.0, 1.0])
AFFINE[:3, 3] = [10, -4, 30]
REFERENCE, PREDICTION = blob(1).T, np.roll(blob(1), 1, axis=2).T
DICE = 2 * (REFERENCE & PREDICTION).sum() / (REFERENCE.sum() + PREDICTION.sum())
FIELD_DICE = {"p1": 0.8276, "p2": 0.8409, "p3": 0.8256}


def dice_of(folder) -> dict[str, float]:
    with (folder / "cases.csv").open() as file:
        return {row["case"]: float(row["dice"]) for row in csv.DictReader(file)}


@pytest.mark.parametrize("degrees", [(0, 0, 0), (20, 0, 10), (0, 0, 45), (35, -35, 30)], ids=str)
def test_a_prediction_along_any_axes_is_brought_onto_its_reference(tmp_path, degrees):
    tilted = oblique(AFFINE, *degrees)
    reference = write_nifti(tmp_path / "reference.nii", REFERENCE, tilted)
    for axes in ALL_AXES:
        array, affine = along(PREDICTION, tilted, axes)
        prediction = write_nifti(tmp_path / "prediction.nii", array, affine)
        findings = Findings()
        opened = open_pair(MaskPair("case", prediction, reference), findings)
        assert opened is not None
        assert findings.items == []
        np.testing.assert_array_equal(opened.prediction.T, PREDICTION)
        np.testing.assert_array_equal(opened.reference.T, REFERENCE)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
@pytest.mark.parametrize("axes", ["RAS", "SAR", "ILP"])
def test_the_command_compares_masks_along_other_axes(tmp_path, mscs, axes, ending):
    array, affine = along(PREDICTION, AFFINE, axes)
    write_nifti(tmp_path / f"p/case{ending}", array, affine)
    write_nifti(tmp_path / f"r/case{ending}", REFERENCE, AFFINE)
    ended = mscs("evaluate", tmp_path / "p", tmp_path / "r", "-o", tmp_path / "out", "-np", 1)
    assert ended.code == 0, ended.err
    assert dice_of(tmp_path / "out")["case"] == pytest.approx(DICE)


@pytest.mark.parametrize("side", ["prediction", "reference"])
@pytest.mark.parametrize("form", ["sform", "qform"])
def test_the_form_that_brings_both_masks_together_is_used_and_said(tmp_path, mscs, side, form):
    odd = {form: moved(AFFINE, 0, 25, 0)}
    write_nifti(tmp_path / "p/case.nii", PREDICTION, AFFINE, **(odd if side == "prediction" else {}))
    write_nifti(tmp_path / "r/case.nii", REFERENCE, AFFINE, **(odd if side == "reference" else {}))
    ended = mscs("evaluate", tmp_path / "p", tmp_path / "r", "-o", tmp_path / "out", "-np", 1)
    assert ended.code == 0, ended.err
    assert dice_of(tmp_path / "out")["case"] == pytest.approx(DICE)
    right = {"sform": "qform", "qform": "sform"}[form]
    assert f"the {right} was used, which brings reference and prediction together" in ended.err


@pytest.mark.parametrize(
    "forms",
    [
        {"r": {"sform": mirrored(AFFINE, REFERENCE.shape)}},
        {"r": {"sform": moved(AFFINE, 9, 0, 0)}, "p": {"sform": moved(AFFINE, 9, 0, 0)}},
        {"r": {"sform": moved(AFFINE, 9, 0, 0), "qform": moved(AFFINE, 0, 9, 0)}},
    ],
    ids=["mirrored in its place", "both twice", "neither"],
)
def test_none_or_several_is_refused(tmp_path, mscs, forms):
    write_nifti(tmp_path / "p/case.nii", PREDICTION, AFFINE, **forms.get("p", {}))
    write_nifti(tmp_path / "r/case.nii", REFERENCE, AFFINE, **forms["r"])
    ended = mscs("evaluate", tmp_path / "p", tmp_path / "r", "-o", tmp_path / "out", "-np", 1)
    assert ended.code == 1
    assert "case.nii" in ended.err
    assert "its qform and sform contradict each other" in ended.err
    assert not (tmp_path / "out").exists()


def test_predictions_of_the_field_stored_from_right_to_left(field_folder, tmp_path, mscs):
    case = field_folder / "25_evaluate_x_mirrored_storage"
    ended = mscs("evaluate", case / "pred", case / "ref", "-o", tmp_path / "out", "-np", 1)
    assert ended.code == 0, ended.err
    assert {name: round(dice, 4) for name, dice in dice_of(tmp_path / "out").items()} == FIELD_DICE


def test_references_of_the_field_that_contradict_themselves(field_folder, tmp_path, mscs):
    case = field_folder / "27_evaluate_header_conflict"
    ended = mscs("evaluate", case / "pred", case / "ref", "-o", tmp_path / "out", "-np", 1)
    assert ended.code == 1
    rows = [line for line in ended.err.splitlines() if "its qform and sform contradict each other" in line]
    assert [name for name in FIELD_DICE if any(f"{name}.nii.gz" in row for row in rows)] == list(FIELD_DICE)
    assert not (tmp_path / "out").exists()
