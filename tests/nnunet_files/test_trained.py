"""A data set's id or name stands for its trained model wherever a model is meant."""

import json
from pathlib import Path

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.best_configuration import BEST_RECORD
from nnunetv2_mscs.nnunet_files.trained import model_meant

NAME = "Dataset501_Stroke"
ONE, OTHER = "MSCSTrainer__MSCSPlans__2d", "MSCSTrainer__MSCSPlans__3d_fullres"


@pytest.fixture
def results(tmp_path, monkeypatch):
    """nnUNet_results with a folder of one data set in it, which holds no model yet."""
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    (tmp_path / NAME).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / NAME


def train(results: Path, *identifiers: str, best: str = "") -> None:
    for identifier in identifiers:
        (results / identifier / "fold_0").mkdir(parents=True)
        (results / identifier / "plans.json").write_text("{}")
    if best:
        trainer, plans, configuration = best.split("__")
        model = {"trainer": trainer, "plans_identifier": plans, "configuration": configuration}
        chosen = {"selected_model_or_models": [model], "postprocessing_file": "x", "some_plans_file": "y"}
        record = {"folds": [0, 1], "best_model_or_ensemble": chosen, "considered_models": []}
        (results / BEST_RECORD).write_text(json.dumps(record))


@pytest.mark.parametrize("word", ["501", NAME, f"./{NAME}"])
@pytest.mark.parametrize(("models", "best"), [((ONE,), ""), ((ONE, OTHER), OTHER)])
def test_one_model_or_the_best_one(results, word, models, best):
    train(results, *models, best=best)
    assert model_meant(Path(word)).resolve() == results / (best or ONE)


def test_what_is_ambiguous_or_missing_is_said(results):
    with pytest.raises(MscsError, match=r"No folder of .* named Dataset502_"):
        model_meant(Path("502"))
    with pytest.raises(MscsError, match="holds no trained model"):
        model_meant(Path("501"))
    train(results, ONE, OTHER)
    with pytest.raises(MscsError, match=rf"holds 2 models: {ONE}, {OTHER}. nnUNetv2_find_best_configuration"):
        model_meant(Path("501"))


def test_folders_stay_what_they_are(results, tmp_path):
    train(results, ONE)
    (tmp_path / "501").mkdir()
    for place in (Path("501"), Path("no_such_folder"), results / ONE, tmp_path / "501"):
        assert model_meant(place) == place
