"""Folds and reference masks: what is written, what of a user's is kept, and what is refused."""

import json
import os

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.write_references import write_references
from nnunetv2_mscs.pipeline.write_splits import check_splits, write_splits

DATASET = "Dataset005_Stroke"
CASES = [f"case_{number}" for number in range(6)]


@pytest.fixture
def raw(nnunet_folders):
    folder = nnunet_folders / "nnUNet_raw" / DATASET
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for case in CASES:
        (folder / "imagesTr" / f"{case}_0000.nii.gz").write_text("image")
        (folder / "labelsTr" / f"{case}.nii.gz").write_text(f"mask of {case}")
    (folder / "dataset.json").write_text(json.dumps({"file_ending": ".nii.gz", "channel_names": {"0": "ADC"}}))
    return folder


@pytest.fixture
def preprocessed(raw):
    return raw.parent.parent / "nnUNet_preprocessed" / DATASET


def folds(*validated, train=None):
    return [{"train": train or [case for case in CASES if case not in val], "val": list(val)} for val in validated]


def test_nnunets_own_splits_are_made_once(raw, preprocessed):
    write_splits(DATASET)
    made = json.loads((preprocessed / "splits_final.json").read_text())
    assert sorted(case for fold in made for case in fold["val"]) == CASES
    check_splits(preprocessed / "splits_final.json", raw, range(5))
    (preprocessed / "splits_final.json").write_text("the user's")
    write_splits(DATASET)
    assert (preprocessed / "splits_final.json").read_text() == "the user's"


def test_those_of_the_raw_data_set_come_first(raw, preprocessed):
    (raw / "splits_final.json").write_text(json.dumps(folds(CASES[:2], CASES[2:])))
    write_splits(DATASET)
    assert json.loads((preprocessed / "splits_final.json").read_text()) == folds(CASES[:2], CASES[2:])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (folds(CASES[:3], CASES[3:]), "split into 2 folds; there is no fold 2"),
        (folds(CASES[:2], CASES[2:4], ["case_9"]), "has case_9 in fold 2, a case without a mask"),
        (folds(CASES[:2], CASES[2:4], CASES[4:], train=CASES), "trains and validates fold 0 on case_0"),
        ({"train": []}, "is not a list of folds"),
        ([{"train": []}] * 3, "is not a list of folds"),
    ],
)
def test_splits_that_cannot_be_right_are_refused(raw, tmp_path, content, message):
    file = tmp_path / "splits_final.json"
    file.write_text(json.dumps(content))
    with pytest.raises(MscsError, match=message):
        check_splits(file, raw, [0, 1, 2])


def test_other_splits_than_those_of_the_raw_data_set_are_refused(raw, tmp_path):
    """As nnU-Net's planner does with a bare assertion."""
    file = tmp_path / "splits_final.json"
    file.write_text(json.dumps(folds(CASES[:3], CASES[3:])))
    (raw / "splits_final.json").write_text(json.dumps(folds(CASES[3:], CASES[:3])))
    with pytest.raises(MscsError, match="which nnU-Net refuses"):
        check_splits(file, raw, [0])
    (raw / "splits_final.json").write_text(json.dumps(folds(CASES[2::-1])))
    check_splits(file, raw, [0, 1])


def test_references_are_those_of_now_and_no_others(raw, preprocessed):
    """nnU-Net's own copy keeps masks of cases that are gone, and newer ones than those that replace them."""
    place = preprocessed / "gt_segmentations"
    place.mkdir(parents=True)
    for case in ("gone", "case_0"):
        (place / f"{case}.nii.gz").write_text("former")
    os.utime(raw / "labelsTr" / "case_0.nii.gz", (1, 1))
    write_references(DATASET)
    assert {file.name: file.read_text() for file in place.iterdir()} == {
        f"{case}.nii.gz": f"mask of {case}" for case in CASES
    }
