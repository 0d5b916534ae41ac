"""`mscs evaluate` from one end to the other: folders, comparisons, tables, and what it tells."""

import csv
import json
import shutil

import numpy as np
import pytest

from nnunetv2_mscs.evaluation.evaluating import evaluate
from nnunetv2_mscs.evaluation.results import is_comparison, is_evaluation
from tests.evaluation.conftest import blob, save


@pytest.fixture
def rival(tmp_path, folders):
    """Predictions of a second model for the same cases."""
    place = tmp_path / "rival"
    for number in range(3):
        save(np.roll(blob(number), 1 - number, axis=1), place / f"case_{number}.nii.gz")
    save(blob(5), place / "case_3.nii.gz")
    return place


def read_rows(file):
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_one_model(folders, tmp_path, mscs):
    ended = mscs("evaluate", *folders, "-o", tmp_path / "out", "--table", "original", "models")
    assert ended.code == 0, ended.err
    assert is_evaluation(tmp_path / "out")
    assert "4 cases, 3 with lesion" in ended.out
    assert "empty masks: 1 both" in ended.out
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    cases = read_rows(tmp_path / "out/cases.csv")
    dice = [float(row["dice"]) for row in cases]
    assert summary["labels"]["1"]["all_cases"]["dice"]["mean"] == pytest.approx(np.mean(dice))
    assert summary["labels"]["1"]["cases"]["both_empty"] == 1
    assert summary["rules_for_empty_masks"]["hd95_mm"] == {"both_empty": 0.0, "one_empty": None}
    for ending in ("md", "tex", "csv"):
        assert "Dice" in (tmp_path / "out/tables" / f"original.{ending}").read_text()


@pytest.mark.parametrize("former", [False, True])
def test_several_models(former, folders, rival, tmp_path, mscs):
    predictions, references = folders
    if former:
        assert mscs("evaluate", predictions, references, "-o", tmp_path / "a").code == 0
        assert mscs("evaluate", rival, references, "-o", tmp_path / "b").code == 0
        ended = mscs("evaluate", "--compare", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "out")
    else:
        ended = mscs("evaluate", predictions, references, "--compare", rival, "-o", tmp_path / "out")
    assert ended.code == 0, ended.err
    out = tmp_path / "out"
    assert is_comparison(out)
    assert not is_evaluation(out)
    assert all(is_evaluation(out / name) for name in ("predictions", "rival"))
    rows = read_rows(out / "cases.csv")
    assert [(row["model"], row["case"]) for row in rows] == [
        (model, f"case_{n}") for model in ("predictions", "rival") for n in range(4)
    ]
    tests = {
        (test["metric"], test["label"]): test for test in json.loads((out / "comparison.json").read_text())["tests"]
    }
    mean = {m: np.mean([float(row["dice"]) for row in rows if row["model"] == m]) for m in ("predictions", "rival")}
    assert tests["dice", "1"]["difference"] == pytest.approx(mean["rival"] - mean["predictions"])
    assert tests["dice", "1"]["sentence"] in ended.out
    assert tests["dice", "1"]["sentence"] in (out / "comparison.md").read_text()


def test_a_comparison_and_masks_can_be_compared_further(folders, rival, tmp_path, mscs):
    predictions, references = folders
    assert mscs("evaluate", predictions, references, "--compare", rival, "-o", tmp_path / "out").code == 0
    words = ("--compare", tmp_path / "out", references, "--references", references)
    ended = mscs("evaluate", *words, "-o", tmp_path / "three", "--names", "a", "b", "truth")
    assert ended.code == 0, ended.err
    assert {path.name for path in (tmp_path / "three").iterdir() if path.is_dir()} == {"a", "b", "truth"}


def test_plots_are_written_when_asked_for(folders, rival, tmp_path, mscs):
    for words in ((), ("--compare", rival)):
        out = tmp_path / f"out{len(words)}"
        assert mscs("evaluate", *folders, *words, "-o", out, "--plots").code == 0
        names = {file.name for file in (out / "plots").iterdir()}
        plots = ("bland_altman", "dice_over_volume", "distributions", "recall_by_size")
        assert names == {f"{plot}.{ending}" for plot in plots for ending in ("svg", "pdf", "png")}
        starts = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}
        for file in (out / "plots").iterdir():
            assert file.read_bytes().startswith(starts[file.suffix[1:]])
        assert mscs("evaluate", *folders, *words, "-o", out, "--overwrite").code == 0
        assert not (out / "plots").exists()


def test_names_are_those_asked_for(folders, rival, tmp_path, mscs):
    words = ("--compare", rival, "--names", "ours", "U-Net 3D")
    assert mscs("evaluate", *folders, *words, "-o", tmp_path / "out").code == 0
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"ours", "U-Net 3D"}


def test_models_of_one_name_go_by_what_differs_in_their_paths(folders, tmp_path, mscs):
    predictions, references = folders
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        (tmp_path / run / "masks").symlink_to(predictions)
    words = (tmp_path / "one/masks", references, "--compare", tmp_path / "two/masks")
    ended = mscs("evaluate", *words, "-o", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"one", "two"}
    assert "not distinguishable" in ended.out


def test_a_former_evaluation_is_replaced_only_when_asked(folders, tmp_path, mscs):
    assert mscs("evaluate", *folders, "-o", tmp_path / "out").code == 0
    before = (tmp_path / "out/cases.csv").read_bytes()
    assert mscs("evaluate", *folders, "-o", tmp_path / "out").code == 1
    save(blob(7), folders[0] / "case_0.nii.gz")
    assert mscs("evaluate", *folders, "-o", tmp_path / "out", "--overwrite").code == 0
    assert (tmp_path / "out/cases.csv").read_bytes() != before


def test_predictions_are_never_overwritten(folders, tmp_path, mscs):
    predictions, references = folders
    assert mscs("evaluate", predictions, references, "-o", tmp_path / "out").code == 0
    for name in ("cases.csv", "summary.json"):  # of an evaluation, put beside the masks
        shutil.copy(tmp_path / "out" / name, predictions)
    for inputs in ((predictions, references), (tmp_path / "out" / "masks", references)):
        shutil.copytree(predictions, tmp_path / "out" / "masks", dirs_exist_ok=True)
        place = predictions if inputs[0] == predictions else tmp_path / "out"
        ended = mscs("evaluate", *inputs, "-o", place, "--overwrite")
        assert ended.code == 1
        assert "did not write" in ended.err
    assert (predictions / "case_0.nii.gz").is_file()
    assert (tmp_path / "out/masks/case_0.nii.gz").is_file()


@pytest.mark.parametrize("summary", ['{"metric_per_case": []}', "[]", "{", '{"format": "nnunetv2-mscs evaluation 0"}'])
def test_the_summary_of_others_is_no_evaluation(summary, folders, tmp_path, mscs):
    """Such as nnU-Net's own summary.json beside a table of cases, in a folder of masks."""
    predictions, references = folders
    (predictions / "cases.csv").write_text("case\n")
    (predictions / "summary.json").write_text(summary)
    other = tmp_path / "other"
    shutil.copytree(predictions, other)
    assert mscs("evaluate", predictions, references, "-o", other, "--overwrite").code == 1
    assert (other / "case_0.nii.gz").is_file()
    if "format" not in summary:
        assert mscs("evaluate", predictions, references, "-o", tmp_path / "out").code == 0  # they are masks


def test_notes_put_into_an_evaluation_are_not_deleted(folders, rival, tmp_path, mscs):
    words = (*folders, "--compare", rival, "-o", tmp_path / "out")
    assert mscs("evaluate", *words, "--table", "models").code == 0
    note = tmp_path / "out/rival/note.txt"
    note.touch()
    ended = mscs("evaluate", *words, "--overwrite")
    assert (ended.code, "rival/note.txt" in ended.err, note.is_file()) == (1, True, True)
    note.unlink()
    assert mscs("evaluate", *words, "--overwrite").code == 0


@pytest.mark.parametrize("words", [("--labels", "1"), ("--partial",), ("--references", "{references}")])
def test_options_that_change_nothing_are_refused(words, folders, tmp_path, mscs):
    for name in ("a", "b"):
        assert mscs("evaluate", *folders, "-o", tmp_path / name, "--names", name).code == 0
    words = [word.format(references=folders[1]) for word in words]
    ended = mscs("evaluate", "--compare", tmp_path / "a", tmp_path / "b", *words, "-o", tmp_path / "out")
    assert (ended.code, "changes nothing" in ended.err) == (1, True)


@pytest.mark.parametrize("name", ["tables", "cases.csv", "comparison.json"])
def test_names_of_results_are_no_names_of_models(name, folders, rival, tmp_path, mscs):
    ended = mscs("evaluate", *folders, "--compare", rival, "--names", name, "b", "-o", tmp_path / "out")
    assert (ended.code, "Choose another with --names" in ended.err) == (1, True)


def test_cases_without_partner_are_left_out_when_allowed(folders, tmp_path, mscs):
    predictions, references = folders
    (predictions / "case_1.nii.gz").unlink()
    (references / "case_2.nii.gz").unlink()
    ended = mscs("evaluate", predictions, references, "--partial", "-o", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert "case_1: has no prediction" in ended.err
    assert "case_2: has no reference" in ended.err
    assert [row["case"] for row in read_rows(tmp_path / "out/cases.csv")] == ["case_0", "case_3"]


def test_compare_prints_what_evaluate_writes(folders, rival, tmp_path, mscs):
    predictions, references = folders
    words = ("compare", predictions, rival, "--references", references)
    printed = mscs(*words)
    assert printed.code == 0, printed.err
    assert "Dice: rival is " in printed.out or "Dice: rival and predictions are not" in printed.out
    written = mscs(*words, "-o", tmp_path / "out")
    assert written.out == printed.out.rstrip("\n") + f"\n\nwritten: {tmp_path / 'out'}\n"
    assert is_comparison(tmp_path / "out")
    assert mscs("compare", tmp_path / "out").out == printed.out
    alone = mscs("compare", predictions, "--references", references)
    assert (alone.code, "one model alone" in alone.err) == (1, True)


def test_a_data_set_alone_means_all_of_its_models(folders, tmp_path, mscs, monkeypatch):
    predictions, references = folders
    results = tmp_path / "results"
    for trainer in ("nnUNetTrainer", "MSCSTrainer"):
        model = results / "Dataset501_Stroke" / f"{trainer}__nnUNetPlans__2d"
        shutil.copytree(predictions, model / "fold_0" / "validation")
        for name in ("plans.json", "dataset.json", "fold_0/validation/summary.json"):
            (model / name).write_text("{}")
    monkeypatch.setenv("nnUNet_results", str(results))
    for word in ("501", results / "Dataset501_Stroke"):
        ended = mscs("compare", word, "--references", references)
        assert ended.code == 0, ended.err
        assert "nnUNetTrainer and MSCSTrainer are not distinguishable: no case differs" in ended.out


def test_an_evaluation_as_a_data_frame_names_its_model(folders):
    evaluation = evaluate(*folders, name="ours")
    table = evaluation.to_dataframe()
    assert set(table["model"]) == {"ours"}
    assert list(table["case"]) == [f"case_{number}" for number in range(4)]
    table["dice"] = 0
    assert evaluation.table["dice"].max() == 1
