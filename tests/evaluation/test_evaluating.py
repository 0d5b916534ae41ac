"""Sources of masks, labels, and agreement with nnU-Net's own evaluation."""

import csv
import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

from nnunetv2_mscs.evaluation.catalogue import METRICS
from nnunetv2_mscs.evaluation.evaluating import evaluate
from nnunetv2_mscs.evaluation.results import CASE_COLUMNS, read_evaluation, records
from tests.evaluation.conftest import GRID, blob, save

MANY = {"background": 0, "a": 1, "b": 200, "ignore": 201}
LABELS = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}


def rows_of(folder):
    with (folder / "cases.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def folds_of(evaluation):
    return [(row["case"], row["fold"]) for row in evaluation.rows()]


def test_dice_and_iou_are_those_of_nnunet(folders, tmp_path, mscs):
    predictions, references = folders
    ended = mscs("evaluate", predictions, references, "-o", tmp_path / "out", "-np", 1)
    assert ended.code == 0, ended.err
    theirs = compute_metrics_on_folder(
        str(references), str(predictions), None, SimpleITKIO(), ".nii.gz", [1], num_processes=1
    )
    ours = {row["case"]: row for row in rows_of(tmp_path / "out")}
    assert len(ours) == len(theirs["metric_per_case"]) == 4
    for case in theirs["metric_per_case"]:
        row = ours[case["prediction_file"].split("/")[-1].removesuffix(".nii.gz")]
        metrics = case["metrics"][1]
        if row["reference_empty"] == row["prediction_empty"] == "1":
            assert math.isnan(metrics["Dice"])  # nnU-Net leaves such cases out; ours counts them as right
            assert (row["dice"], row["iou"]) == ("1", "1")
        else:
            assert float(row["dice"]) == pytest.approx(metrics["Dice"], abs=1e-12)
            assert float(row["iou"]) == pytest.approx(metrics["IoU"], abs=1e-12)
        volume = metrics["n_pred"] * GRID.voxel_volume_ml
        assert float(row["volume_prediction_ml"]) == pytest.approx(volume, rel=1e-6)  # spacing is float32 in NIfTI


def test_regions_and_the_ignored_label_are_those_of_nnunet(tmp_path):
    rng = np.random.default_rng(0)
    predictions, references = tmp_path / "predictions", tmp_path / "labelsTr"
    for number in range(2):
        save(rng.integers(0, 4, GRID.shape).astype(np.uint8), references / f"case_{number}.nii.gz")
        save(rng.integers(0, 3, GRID.shape).astype(np.uint8), predictions / f"case_{number}.nii.gz")
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": LABELS}))
    evaluation = evaluate(predictions, references)
    assert evaluation.labels == {"1+2": "whole", "2": "core"}
    theirs = compute_metrics_on_folder(
        str(references), str(predictions), None, SimpleITKIO(), ".nii.gz", [(1, 2), 2], ignore_label=3, num_processes=1
    )
    for key, region in (("1+2", (1, 2)), ("2", 2)):
        for result, case in zip(records(evaluation.of_label(key)), theirs["metric_per_case"], strict=True):
            metrics = case["metrics"][region]
            counted = sum(metrics[name] for name in ("TP", "FP", "FN", "TN"))
            assert result["dice"] == pytest.approx(metrics["Dice"])
            assert result["accuracy"] == pytest.approx((metrics["TP"] + metrics["TN"]) / counted)
            assert result["specificity"] == pytest.approx(metrics["TN"] / (metrics["TN"] + metrics["FP"]))


def test_what_is_written_is_read_back(folders, tmp_path, mscs):
    mscs("evaluate", *folders, "-o", tmp_path / "out", "-np", 1)
    written, measured = read_evaluation(tmp_path / "out"), evaluate(*folders)
    assert written.cases == measured.cases == ("case_0", "case_1", "case_2", "case_3")
    pd.testing.assert_frame_equal(written.table, measured.table, check_exact=True)
    assert written.files == measured.files
    assert tuple(rows_of(tmp_path / "out")[0]) == CASE_COLUMNS


def test_the_number_of_processes_changes_nothing(folders, tmp_path, mscs):
    for processes in (1, 2):
        assert mscs("evaluate", *folders, "-o", tmp_path / str(processes), "-np", processes).code == 0
    for name in ("cases.csv", "summary.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_two_files_are_a_case(folders, tmp_path, mscs):
    predictions, references = folders
    renamed = predictions / "mine.nii.gz"
    (predictions / "case_2.nii.gz").rename(renamed)
    ended = mscs("evaluate", renamed, references / "case_2.nii.gz", "-o", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert [row["case"] for row in rows_of(tmp_path / "out")] == ["case_2"]


def test_labels_that_one_case_lacks_have_a_row_by_the_rules(tmp_path):
    predictions, references = tmp_path / "p", tmp_path / "r"
    for number in range(2):
        save(blob(number) * (number + 1), references / f"case_{number}.nii.gz")
        save(blob(number) * (number + 1), predictions / f"case_{number}.nii.gz")
    evaluation = evaluate(predictions, references)
    rows = evaluation.rows()
    assert [(row["case"], row["label"]) for row in rows] == [
        (case, label) for case in ("case_0", "case_1") for label in ("1", "2")
    ]
    absent = rows[1]
    assert absent["reference_empty"]
    assert absent["prediction_empty"]
    for column, metric in METRICS.items():
        if metric.both_empty is not None:
            assert absent[column] == metric.both_empty


def test_named_labels_alone_are_evaluated(tmp_path):
    predictions, references = tmp_path / "p", tmp_path / "r"
    save(blob(0) * 2, references / "case.nii.gz")
    save(blob(0) * 3, predictions / "case.nii.gz")
    assert evaluate(predictions, references, labels=[2]).labels == {"2": "label_2"}


def test_masks_of_255_and_other_file_formats_are_the_same(folders, tmp_path):
    predictions, references = folders
    other = tmp_path / "other"
    for file in predictions.iterdir():
        number = int(file.name[5])
        array = np.roll(blob(number), number, axis=2) if number < 3 else np.zeros(GRID.shape, np.uint8)
        save(array * 255, other / file.name.replace(".nii.gz", ".mha"))
    ours, theirs = evaluate(predictions, references), evaluate(other, references)
    pd.testing.assert_frame_equal(ours.table, theirs.table, check_exact=True)


@pytest.fixture
def model(folders, nnunet_folders):
    """A model folder with two of three folds, its data set's references and scans."""
    predictions, references = folders
    name = "Dataset042_Strokes"
    model = nnunet_folders / "nnUNet_results" / name / "MSCSTrainer__MSCSPlans__2d"
    for number in range(2):
        for case in (number, number + 2):
            folder = model / f"fold_{number}" / "validation"
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(predictions / f"case_{case}.nii.gz", folder)
    (model / "plans.json").write_text(json.dumps({"dataset_name": name}))
    description = {"labels": {"background": 0, "stroke": 1}, "channel_names": {"0": "ADC", "1": "DWI"}}
    (model / "dataset.json").write_text(json.dumps(description))
    preprocessed = nnunet_folders / "nnUNet_preprocessed" / name
    shutil.copytree(references, preprocessed / "gt_segmentations")
    save(blob(9), preprocessed / "gt_segmentations/case_9.nii.gz")  # of the fold that is not there
    (preprocessed / "splits_final.json").write_text(json.dumps([{}, {}, {}]))
    save(blob(0).astype(np.float32), nnunet_folders / "nnUNet_raw" / name / "imagesTr/case_0_0000.nii.gz")
    return model


def test_a_model_folder_is_evaluated_over_its_folds(model, nnunet_folders):
    evaluation = evaluate(model)
    assert evaluation.model == "MSCSTrainer"
    assert evaluation.labels == {"1": "stroke"}
    assert folds_of(evaluation) == [
        ("case_0", 0),
        ("case_1", 1),
        ("case_2", 0),
        ("case_3", 1),
    ]
    assert evaluation.warnings == ("Folds without validation predictions, whose cases are missing here: 2.",)
    assert list(evaluation.files["case_0"].images) == ["ADC"]
    one = evaluate(
        model / "fold_1" / "validation", nnunet_folders / "nnUNet_preprocessed/Dataset042_Strokes/gt_segmentations"
    )
    assert folds_of(one) == [("case_1", 1), ("case_3", 1)]
    assert one.model == "MSCSTrainer"


def test_folds_that_are_asked_for_count_alone(model, mscs, tmp_path):
    evaluation = evaluate(model, folds=[1])
    assert folds_of(evaluation) == [("case_1", 1), ("case_3", 1)]
    assert evaluation.warnings == ()
    ended = mscs("evaluate", model, "-o", tmp_path / "out", "--folds", "0", "2")
    assert ended.code == 1
    assert "holds no validation of fold 2" in ended.err
    assert mscs("evaluate", model, "-o", tmp_path / "out", "--folds", "0").code == 0
    ended = mscs("evaluate", tmp_path / "out", "-o", tmp_path / "again", "--folds", "0")
    assert (ended.code, "--folds changes nothing" in ended.err) == (1, True)


def test_an_unfinished_validation_is_no_whole_one(model, nnunet_folders, mscs, tmp_path):
    """The splits have a case in fold 1 that was not predicted: refused, or left out with a warning."""
    preprocessed = nnunet_folders / "nnUNet_preprocessed/Dataset042_Strokes"
    splits = [{"val": ["case_0", "case_2"]}, {"val": ["case_1", "case_3", "case_9"]}, {"val": ["case_8"]}]
    (preprocessed / "splits_final.json").write_text(json.dumps(splits))
    for place in (model, model / "fold_1/validation"):
        words = ("evaluate", place, preprocessed / "gt_segmentations")
        ended = mscs(*words, "-o", tmp_path / "out")
        assert ended.code == 1
        assert "case_9" in ended.err
        assert "case_8" not in ended.err  # of a fold that is not there at all
        ended = mscs(*words, "-o", tmp_path / f"partial_{place.name}", "--partial")
        assert ended.code == 0, ended.err
        assert "case_9: has no prediction" in ended.err


def test_without_splits_an_unfinished_validation_is_suspected(model, nnunet_folders):
    (nnunet_folders / "nnUNet_preprocessed/Dataset042_Strokes/splits_final.json").unlink()
    (model / "fold_0/validation/summary.json").touch()
    (model / "fold_all/validation").mkdir(parents=True)
    warnings = " ".join(evaluate(model).warnings)
    assert "the validation of fold 1 has no summary.json" in warnings
    assert "the validation of fold 0" not in warnings
    assert "fold_all is left out" in warnings


def test_channels_have_the_names_of_their_own_data_set(tmp_path):
    predictions, references, images = tmp_path / "p", tmp_path / "d/labelsTr", tmp_path / "d/imagesTr"
    for folder, name in ((predictions, "c"), (references, "c"), (images, "c_0000"), (images, "c_0001")):
        save(blob(0), folder / f"{name}.nii.gz")
    unnamed = evaluate(predictions, references).files["c"].images
    assert list(unnamed) == ["channel 0", "channel 1"]
    description = {"labels": {"background": 0, "lesion": 1}, "channel_names": {"0": "DWI", "1": "ADC"}}
    (tmp_path / "d/dataset.json").write_text(json.dumps(description))
    named = evaluate(predictions, references).files["c"].images
    assert {name: path.name for name, path in named.items()} == {"DWI": "c_0000.nii.gz", "ADC": "c_0001.nii.gz"}


def test_named_labels_keep_the_ignored_voxels_out(tmp_path):
    predictions, references = tmp_path / "p", tmp_path / "r"
    rng = np.random.default_rng(1)
    save(rng.integers(0, 3, GRID.shape).astype(np.uint8), references / "case.nii.gz")
    save(rng.integers(0, 2, GRID.shape).astype(np.uint8), predictions / "case.nii.gz")
    (references / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "core": 1, "ignore": 2}}))
    whole, named = evaluate(predictions, references), evaluate(predictions, references, labels=[1])
    assert named.labels == {"1": "core"}
    assert named.rows() == whole.rows()


def test_labels_may_be_as_high_as_the_data_set_has_them(tmp_path, mscs):
    predictions, references = tmp_path / "p", tmp_path / "r"
    save(blob(0) * np.uint8(200), references / "case.nii.gz")
    save(blob(0) * np.uint8(200), predictions / "case.nii.gz")
    (references / "dataset.json").write_text(json.dumps({"labels": MANY}))
    assert evaluate(predictions, references).column("dice", "200") == 1
    save(blob(0) * np.uint8(201), predictions / "case.nii.gz")
    ended = mscs("evaluate", predictions, references, "-o", tmp_path / "out")
    assert (ended.code, "marks voxels to be ignored" in ended.err) == (1, True)
    save(np.full(GRID.shape, 201, np.uint8), references / "case.nii.gz")
    save(blob(0), predictions / "case.nii.gz")
    assert "ignored everywhere" in " ".join(evaluate(predictions, references).warnings)
    (references / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "a": [1, 2], "b": [2, 1]}}))
    ended = mscs("evaluate", predictions, references, "-o", tmp_path / "out")
    assert (ended.code, "gives one label two names" in ended.err) == (1, True)


def test_fold_all_is_no_validation(model, mscs, tmp_path):
    (model / "fold_0").rename(model / "fold_all")
    shutil.rmtree(model / "fold_1")
    ended = mscs("evaluate", model, "-o", tmp_path / "out")
    assert (ended.code, "seen every case in training" in ended.err) == (1, True)


def test_a_case_of_two_folds_is_refused(model, mscs, tmp_path):
    shutil.copy(model / "fold_0/validation/case_0.nii.gz", model / "fold_1/validation")
    ended = mscs("evaluate", model, "-o", tmp_path / "out")
    assert ended.code == 1
    assert "is validated in fold 0 and in fold 1" in ended.err


def test_references_that_cannot_be_found_are_asked_for(model, mscs, monkeypatch, tmp_path):
    monkeypatch.delenv("nnUNet_preprocessed")
    monkeypatch.delenv("nnUNet_raw")
    ended = mscs("evaluate", model, "-o", tmp_path / "out")
    assert ended.code == 1
    assert "mscs evaluate PREDICTIONS REFERENCES" in ended.err
