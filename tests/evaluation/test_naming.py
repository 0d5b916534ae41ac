"""Predictions whose names hold more than the case: paired if that is clear, and else refused in one sentence."""

import re

import pandas as pd
import pytest

from nnunetv2_mscs.evaluation.naming import match_names


def rename(folder, to) -> None:
    for file in list(folder.iterdir()):
        stem = file.name.removesuffix(".nii.gz")
        file.rename(folder / f"{to(stem)}.nii.gz")


# what becomes of the names of predictions and of references
PAIRED = {
    "pred": ("{}_pred", "{}"),
    "prediction in front": ("prediction-{}", "{}"),
    "seg and gt": ("{}_seg", "{}_gt"),
    "mask of the references": ("{}", "{}_mask"),
    "several words": ("nnUNet_{}_predicted_mask", "{}_lesion_manual"),
    "capital letters and blanks": ("CASE {}", "case_{}"),
    "a copy": ("{} (1)", "{}"),
}


@pytest.mark.parametrize("kind", PAIRED)
def test_known_words_are_passed_over(kind, folders, tmp_path, mscs):
    predictions, references = folders
    expected = mscs("evaluate", *folders, "-o", tmp_path / "plain", "-np", 1)
    assert expected.code == 0
    of_predictions, of_references = PAIRED[kind]
    for folder, form in ((predictions, of_predictions), (references, of_references)):
        number = "case " in form.lower() or "case_" in form.lower()
        rename(folder, lambda stem, form=form, number=number: form.format(stem[5:] if number else stem))
    ended = mscs("evaluate", *folders, "-o", tmp_path / "out", "-np", 1)
    assert ended.code == 0, ended.err
    assert re.search("names of predictions and references differ: .* is paired with .* and 3 more", ended.err)
    tables = [pd.read_csv(tmp_path / name / "cases.csv") for name in ("plain", "out")]
    assert tables[0]["dice"].tolist() == tables[1]["dice"].tolist()
    assert tables[1]["case"].tolist() == sorted(path.name.removesuffix(".nii.gz") for path in references.iterdir())


@pytest.mark.parametrize(
    ("form", "said"),
    [("{}_fold3", "_fold3 at the end"), ("v2.{}", "v2. in front"), ("a_{}_b", "a_ in front and _b at the end")],
)
def test_what_all_names_differ_by_is_said_once(form, said, folders, tmp_path, mscs):
    rename(folders[0], form.format)
    ended = mscs("evaluate", *folders, "-o", tmp_path / "out", "-np", 1)
    assert ended.code == 1
    assert f"the names of all 4 predictions differ from their references' by {said}" in ended.err
    assert "1 error in" in ended.err
    assert not (tmp_path / "out").exists()


def test_two_predictions_of_one_case_are_no_pair(folders, tmp_path, mscs):
    (folders[0] / "case_1.nii.gz").rename(folders[0] / "case_1_pred.nii.gz")
    (folders[0] / "case_1_seg.nii.gz").write_bytes((folders[0] / "case_1_pred.nii.gz").read_bytes())
    ended = mscs("evaluate", *folders, "-o", tmp_path / "out", "-np", 1)
    assert ended.code == 1
    assert "may belong to each of these predictions: case_1_pred, case_1_seg" in ended.err


def test_the_field(field_folder, tmp_path, mscs):
    case = field_folder / "29_evaluate_suffix_pred"
    ended = mscs("evaluate", case / "pred", case / "ref", "-o", tmp_path / "out", "-np", 1)
    assert ended.code == 0, ended.err
    assert pd.read_csv(tmp_path / "out/cases.csv")["dice"].round(4).tolist() == [0.8276, 0.8409, 0.8256]


def test_exact_names_come_first():
    matched = match_names(["p1", "p1_pred", "p2_pred"], ["p1", "p2"])
    assert matched.cases == {"p2_pred": "p2"}
    assert match_names(["stroke_1", "stroke_2"], ["stroke_1", "stroke_2"]).cases == {}
    assert match_names(["p1_pred"], ["p1", "P1"]).cases == {}
