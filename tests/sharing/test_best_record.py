"""inference_information.json: what of it is believed, and prediction with a model that others made."""

import json
import pickle
import shutil
from pathlib import Path

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.models.source import find_model
from nnunetv2_mscs.sharing.exporting import ExportRequest, export
from nnunetv2_mscs.sharing.installing import install
from tests.sharing.tiny_models import (
    CROSS_VALIDATION,
    DATASET,
    MSCS,
    NNUNET,
    RECORD,
    Command,
    contents,
    rewrite,
    with_json,
    write_best,
)


@pytest.fixture
def best(results, tmp_path) -> Path:
    """The zip of a single model that was chosen as the best."""
    write_best(results, "MSCSTrainer")
    export(tmp_path / "best.zip", ExportRequest(str(results / DATASET)))
    return tmp_path / "best.zip"


@pytest.fixture
def workspace(nnunet_folders) -> Path:
    """nnU-Net's folders with nothing in them."""
    return nnunet_folders


def record_of(file: Path) -> dict:
    return json.loads(contents(file)[f"{DATASET}/{RECORD}"])


def test_a_path_in_a_record_is_never_followed(best, tmp_path, workspace):
    mark = tmp_path / "ran"
    evil = f"{DATASET}/{MSCS}/fold_0/progress.png"
    record = record_of(best)
    record["best_model_or_ensemble"].update(postprocessing_file=evil, some_plans_file=evil)
    record["more"] = "words"
    changes = {RECORD: json.dumps(record).encode(), "fold_0/progress.png": pickle.dumps(Command(mark))}
    install(rewrite(best, tmp_path / "evil.zip", changes))
    folder = workspace / "nnUNet_results" / DATASET
    placed = json.loads((folder / RECORD).read_text())
    assert "progress.png" not in json.dumps(placed)
    assert placed.keys() == {"folds", "dataset_name_or_id", "best_model_or_ensemble"}
    own = folder / MSCS / CROSS_VALIDATION / "postprocessing.pkl"
    assert placed["best_model_or_ensemble"]["postprocessing_file"] == str(own)
    # As nnU-Net's own installation leaves it.
    (folder / RECORD).write_text(json.dumps(record))
    chosen = find_model("901")
    assert chosen.postprocessing == own
    assert chosen.cross_validated_dice == pytest.approx(0.56)
    own.write_bytes(pickle.dumps(Command(mark)))
    with pytest.raises(MscsError, match="system"):
        _ = find_model("901").postprocessing
    own.unlink()
    with pytest.raises(MscsError, match=r"needs .*postprocessing.pkl, which is not there"):
        _ = find_model("901").postprocessing
    assert not mark.exists()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"folds": [0, "1"]}, "folds"),
        ({"folds": [0, 0]}, "folds"),
        ({"folds": []}, "no folds"),
        ({"folds": None}, "NoneType"),
        ({"folds": "missing"}, "does not say which is best"),
        ({"best_model_or_ensemble": {}}, "selected_model"),
        ({"trainer": "--help"}, "without a name"),
        ({"trainer": "../x"}, "without a name"),
    ],
)
def test_a_record_that_is_none_is_refused_at_installation_export_and_prediction(
    best, results, tmp_path, workspace, change, match
):
    record = record_of(best)
    if "trainer" in change:
        record["best_model_or_ensemble"]["selected_model_or_models"][0].update(change)
    elif change == {"folds": "missing"}:
        del record["folds"]
    else:
        record.update(change)
    with pytest.raises(MscsError, match=match):
        install(rewrite(best, tmp_path / "evil.zip", {RECORD: json.dumps(record).encode()}))
    assert not list((workspace / "nnUNet_results").iterdir())
    shutil.copytree(results / DATASET, workspace / "nnUNet_results" / DATASET)
    (workspace / "nnUNet_results" / DATASET / RECORD).write_text(json.dumps(record))
    with pytest.raises(MscsError, match=match):
        find_model("901")
    with pytest.raises(MscsError, match=match):
        export(tmp_path / "again.zip", ExportRequest("901"))


@pytest.mark.parametrize(("trainers", "folds"), [(["nnUNetTrainer"], [0, 1]), (["MSCSTrainer"], [0, 1, 2])])
def test_a_record_of_what_is_not_in_the_zip_is_left_out(best, tmp_path, workspace, trainers, folds):
    def change(record: dict) -> None:
        record["folds"] = folds
        record["best_model_or_ensemble"]["selected_model_or_models"] = [
            {"trainer": one, "plans_identifier": "nnUNetPlans", "configuration": "2d"} for one in trainers
        ]

    done = install(with_json(best, tmp_path / "other.zip", RECORD, change))
    assert any("left out" in notice for notice in done.notices)
    assert not (workspace / "nnUNet_results" / DATASET / RECORD).exists()


def test_a_record_of_other_models_that_is_there_stays(best, results, tmp_path, workspace):
    folder = workspace / "nnUNet_results" / DATASET
    shutil.copytree(results / DATASET / NNUNET, folder / NNUNET)
    write_best(folder.parent, "nnUNetTrainer")
    before = (folder / RECORD).read_bytes()
    done = install(best)
    assert any("left as it was" in notice for notice in done.notices)
    assert (folder / RECORD).read_bytes() == before


@pytest.mark.parametrize("folds", [("1", "0"), ("0", "1", "0")])
def test_folds_in_any_order_keep_the_postprocessing(results, model, tmp_path, folds):
    write_best(results, "MSCSTrainer")
    for place, kept in ((model, False), (results / DATASET, True)):
        done = export(tmp_path / f"{kept}.zip", ExportRequest(str(place), folds=folds))
        assert done.models.folds == ("0", "1")
        names = contents(tmp_path / f"{kept}.zip")
        assert f"{DATASET}/{MSCS}/{CROSS_VALIDATION}/postprocessing.pkl" in names
        assert (f"{DATASET}/{RECORD}" in names) == kept


def test_other_folds_than_the_best_go_without_the_record(results, tmp_path):
    write_best(results, "MSCSTrainer")
    done = export(tmp_path / "one.zip", ExportRequest("901", folds=("0", "0")))
    assert done.models.folds == ("0",)
    assert f"{DATASET}/{RECORD}" not in contents(tmp_path / "one.zip")
