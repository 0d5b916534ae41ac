"""Which evaluation goes with a model, whose it is said to be, and what of it stays at home."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.sharing.exporting import ExportRequest, export
from tests.sharing.tiny_models import DATASET, ENSEMBLE, MSCS, NNUNET, contents, write_best, write_decision

CROSS_VALIDATION = "cross-validation: each case"


def write_evaluation(folder: Path, predictions: Path, files: Sequence[Path], **more: object) -> Path:
    """What mscs evaluate writes, of these masks."""
    folder.mkdir(parents=True)
    (folder / "cases.csv").write_text("case\nsecret_patient\n")
    dice = {"n": 4, "mean": 0.6123, "ci_low": 0.5, "ci_high": 0.7}
    summary = {
        "format": "nnunetv2-mscs evaluation 1",
        "version": "0.1.0",
        "model": "tiny",
        "predictions": str(predictions),
        "references": "/home/somebody/truth",
        "label_names": {"1": "lesion"},
        "number_of_cases": 4,
        "warnings": ["secret_patient: has no image"],
        "labels": {"1": {"name": "lesion", "all_cases": {"dice": dice}, "worst": "secret_patient"}},
        "files": {f"secret_patient{number}": {"prediction": str(file)} for number, file in enumerate(files)},
        **more,
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def validations(model: Path, folds: str) -> list[Path]:
    """Masks of the validation of some folds."""
    return [model / f"fold_{fold}" / "validation" / "secret_patient.nii.gz" for fold in folds]


def exported(out: Path, model: Path | str, folder: Path | None, **options) -> tuple[str, dict, bytes]:
    """The card, the evaluation, and all bytes of a zip file."""
    done = export(out, ExportRequest(str(model), evaluation=folder, **options), overwrite=True)
    home = f"{DATASET}/{done.models.home}"
    content = contents(out)
    evaluation = json.loads(content.get(f"{home}/evaluation.json", b"{}"))
    return content[f"{home}/model_card.md"].decode(), evaluation, b"".join(content.values())


@pytest.mark.parametrize("decided", [False, True])
def test_a_cross_validation_of_the_model_goes_with_it_without_the_names_of_cases(model, tmp_path, decided):
    joined = model / "crossval_results_folds_0_1"
    place, files = (joined, [joined / "secret.nii.gz"]) if decided else (model, validations(model, "01"))
    folder = write_evaluation(tmp_path / "evaluation", place, files)
    card, evaluation, content = exported(tmp_path / "tiny.zip", model, folder)
    assert "| lesion | Dice | 0.612 | 0.500 to 0.700 | 4 |" in card
    assert CROSS_VALIDATION in card
    assert evaluation["of"].startswith(CROSS_VALIDATION)
    assert b"secret" not in content
    assert b"/home/somebody/truth" not in content


def test_other_predictions_are_called_by_their_name_even_in_a_folder_named_like_the_model(model, tmp_path):
    elsewhere = tmp_path / DATASET / MSCS
    files = validations(elsewhere, "01")
    for file in files:
        file.parent.mkdir(parents=True)
    folder = write_evaluation(tmp_path / "evaluation", elsewhere, files, model="ti\nny|")
    card, evaluation, _ = exported(tmp_path / "tiny.zip", model, folder)
    assert CROSS_VALIDATION not in card
    assert evaluation["of"] == 'predictions named "tiny", which nothing verifies to be of this model'
    assert evaluation["of"] in card


def test_the_validation_of_other_folds_is_called_so(model, tmp_path):
    folder = write_evaluation(tmp_path / "evaluation", model, validations(model, "01"))
    card, evaluation, _ = exported(tmp_path / "tiny.zip", model, folder, folds=("0",))
    assert CROSS_VALIDATION not in card
    assert evaluation["of"].startswith("validation of this model's folds 0 1, which are not those")


def test_an_evaluation_of_another_model_or_data_set_is_refused(results, model, tmp_path):
    write_best(results, "MSCSTrainer", "nnUNetTrainer")
    write_decision(results / DATASET / ENSEMBLE, steps=0)
    other = results / DATASET / NNUNET
    stranger = tmp_path / "Dataset902_Other" / MSCS
    for number, (chosen, place) in enumerate(
        ((model, other), (model, stranger), (model, results / DATASET / ENSEMBLE), (results / DATASET, model))
    ):
        folder = write_evaluation(tmp_path / str(number), place, validations(place, "01"))
        with pytest.raises(MscsError, match=f"is an evaluation of .*{place.name}"):
            export(tmp_path / "tiny.zip", ExportRequest(str(chosen), evaluation=folder))
    with pytest.raises(MscsError, match="holds no evaluation"):
        export(tmp_path / "tiny.zip", ExportRequest(str(model), evaluation=tmp_path))


def test_that_of_a_run_goes_by_itself_if_it_is_of_these_models_and_folds(results, model, tmp_path):
    folder = results / DATASET / "mscs_run" / "evaluation"
    write_evaluation(folder, model, validations(model, "01"))
    assert exported(tmp_path / "tiny.zip", model, None)[1]["of"].startswith(CROSS_VALIDATION)
    assert exported(tmp_path / "tiny.zip", model, None, folds=("0",))[1] == {}
    assert exported(tmp_path / "tiny.zip", results / DATASET / NNUNET, None)[1] == {}


def test_that_of_an_ensemble_is_in_its_own_folder(results, tmp_path):
    write_best(results, "MSCSTrainer", "nnUNetTrainer")
    place = results / DATASET / ENSEMBLE
    write_decision(place, steps=0)
    folder = write_evaluation(tmp_path / "evaluation", place, [place / "a.nii.gz"])
    assert exported(tmp_path / "best.zip", results / DATASET, folder)[1]["of"].startswith(CROSS_VALIDATION)
