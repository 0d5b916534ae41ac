"""Folders of models and of their folds."""

import pytest

from nnunetv2_mscs.nnunet_files.model_folder import (
    Model,
    ModelSet,
    fold_folders,
    is_model_folder,
    model_of,
    validated_fold,
)

OURS, THEIRS = Model("MSCSTrainer", "MSCSPlans", "2d"), Model("nnUNetTrainer", "nnUNetPlans", "2d")


def test_a_name_tells_the_model():
    assert model_of(OURS.identifier) == OURS
    assert model_of("MSCSTrainer__MSCSPlans") is None
    assert model_of("--trainer__MSCSPlans__2d") is None


def test_folds_are_sorted_by_number_and_foreign_folders_left_out(tmp_path):
    for name in ("fold_10", "fold_all", "fold_2", "fold_02", "fold_x", "folds"):
        (tmp_path / name).mkdir()
    assert not is_model_folder(tmp_path)
    (tmp_path / "plans.json").touch()
    assert is_model_folder(tmp_path)
    assert list(fold_folders(tmp_path)) == ["2", "10", "all"]
    assert list(fold_folders(tmp_path, numbered=True)) == ["2", "10"]
    assert fold_folders(tmp_path / "missing") == {}


@pytest.mark.parametrize(
    ("folder", "fold"),
    [("fold_3/validation", 3), ("fold_all/validation", None), ("fold_3", None), ("validation", None)],
)
def test_the_fold_whose_validation_a_folder_holds(tmp_path, folder, fold):
    assert validated_fold(tmp_path / folder) == fold


def test_where_decisions_and_earlier_stages_are():
    assert ModelSet("D", (OURS,), ("0", "1")).decisions == f"{OURS.identifier}/crossval_results_folds_0_1"
    pair = ModelSet("D", (OURS, THEIRS), ("0",))
    assert pair.decisions == f"ensembles/ensemble___{OURS.identifier}___{THEIRS.identifier}___0"
    low = Model("T", "P", "3d_lowres")
    cascade = Model("T", "P", "3d_cascade_fullres", previous_stage="3d_lowres")
    assert ModelSet("D", (low, cascade), ("0",)).members == (low, cascade)
    assert ModelSet("D", (cascade,), ("0",)).members == (low, cascade)
