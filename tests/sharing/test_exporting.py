"""What an exported zip holds, and what is refused before one is written."""

import hashlib
import json
import shutil

import pytest
import torch

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.sharing.card import Words, model_card
from nnunetv2_mscs.sharing.exporting import ExportRequest, export
from nnunetv2_mscs.sharing.installing import install
from nnunetv2_mscs.sharing.selecting import select
from tests.sharing.tiny_models import (
    DATASET,
    DATASET_JSON,
    ENSEMBLE,
    FOLDS,
    MSCS,
    NNUNET,
    contents,
    plans,
    write_best,
    write_decision,
)


def test_it_holds_all_that_nnunets_own_export_takes_and_installs_with_nnunets_own(model, tmp_path, monkeypatch):
    from nnunetv2.model_sharing.model_export import export_pretrained_model
    from nnunetv2.model_sharing.model_import import install_model_from_zip_file

    export_pretrained_model(DATASET, str(tmp_path / "stock.zip"), ("2d",), "MSCSTrainer", folds=(0, 1))
    export(tmp_path / "ours.zip", ExportRequest(str(model)))
    ours = contents(tmp_path / "ours.zip")
    stock = contents(tmp_path / "stock.zip")
    assert len(stock) >= 12
    assert {name: ours.get(name) for name in stock} == stock
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "elsewhere"))
    install_model_from_zip_file(str(tmp_path / "ours.zip"))
    placed = {
        str(path.relative_to(tmp_path / "elsewhere")): path.read_bytes()
        for path in (tmp_path / "elsewhere").rglob("*")
        if path.is_file()
    }
    assert placed == ours


def test_the_manifest_names_every_file_with_its_checksum_and_the_versions(exported):
    files = contents(exported)
    manifest = json.loads(files.pop(f"{DATASET}/{MSCS}/mscs_manifest.json"))
    assert {name: one["sha256"] for name, one in manifest["files"].items()} == {
        name: hashlib.sha256(one).hexdigest() for name, one in files.items()
    }
    assert {"nnunetv2", "nnunetv2_mscs", "torch", "python"} <= set(manifest["versions"])


def test_the_same_model_makes_the_same_bytes(model, exported, tmp_path):
    again = export(tmp_path / exported.name, ExportRequest(str(model)))
    assert (tmp_path / exported.name).read_bytes() == exported.read_bytes()
    assert again.sha256 == hashlib.sha256(exported.read_bytes()).hexdigest()


def test_the_card_says_what_one_must_know(model, tmp_path):
    words = Words(title="Tiny strokes", author="A. Author", licence="CC-BY-4.0", notes="Scanner: 1.5 T.")
    export(tmp_path / "tiny.zip", ExportRequest(str(model), words=words))
    card = contents(tmp_path / "tiny.zip")[f"{DATASET}/{MSCS}/model_card.md"].decode()
    for text in (
        *("# Tiny strokes", "By A. Author.", "| licence | CC-BY-4.0 |", "Scanner: 1.5 T.", "Not a medical device"),
        *(
            "| 0 | `_0000.nii.gz` | ADC | 10^-6 mm2/s |",
            "| 1 | `_0001.nii.gz` | DWI |",
            "0 = background and 1 = lesion",
        ),
        *("4 cases of Dataset901_Tiny", "16 x 16 x 4 voxels of 2 x 2 x 6 mm", "| 1 | 2 | 0.600 |", "mean Dice 0.550"),
        *("MSCSNet", "**Epochs trained.** 3", "mscs install tiny.zip", f"-d {DATASET} -i SCANS"),
        *("-tr MSCSTrainer -p nnUNetPlans -c 2d -f 0 1", "nnUNetv2_apply_postprocessing", "- nnunetv2 2."),
    ):
        assert text in card.replace("\N{MULTIPLICATION SIGN}", "x"), text


def test_small_leaves_out_the_optimiser_alone_and_nnunet_predicts_with_the_same_weights(model, exported, tmp_path):
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    export(tmp_path / "small.zip", ExportRequest(str(model), small=True))
    installed = {}
    for file in (exported, tmp_path / "small.zip"):
        install(file, results=tmp_path / file.stem)
        predictor = nnUNetPredictor(device=torch.device("cpu"), verbose=False)
        predictor.initialize_from_trained_model_folder(str(tmp_path / file.stem / DATASET / MSCS), FOLDS)
        installed[file.stem] = predictor.list_of_parameters
    for whole, small in zip(installed["tiny"], installed["small"], strict=True):
        assert list(whole) == list(small)
        assert all(torch.equal(whole[name], small[name]) for name in whole)
    sizes = [file.stat().st_size for file in (exported, tmp_path / "small.zip")]
    assert sizes[1] < sizes[0]


def test_the_best_ensemble_goes_with_both_models_and_its_postprocessing(results, tmp_path):
    write_best(results, "MSCSTrainer", "nnUNetTrainer")
    write_decision(results / DATASET / ENSEMBLE, steps=1)
    done = export(tmp_path / "best.zip", ExportRequest("901"))
    assert [model.identifier for model in done.models.models] == [MSCS, NNUNET]
    files = contents(tmp_path / "best.zip")
    for name in (f"{MSCS}/fold_1/checkpoint_final.pth", f"{NNUNET}/fold_0/checkpoint_final.pth"):
        assert f"{DATASET}/{name}" in files
    assert f"{DATASET}/{ENSEMBLE}/postprocessing.pkl" in files
    assert b"/home/somebody" not in files[f"{DATASET}/inference_information.json"]
    installed = install(tmp_path / "best.zip", results=tmp_path / "there")
    _, first, second, ensemble, postprocess = installed.commands
    assert "-o MASKS_1 --save_probabilities -tr MSCSTrainer" in first
    assert "-o MASKS_2 --save_probabilities -tr nnUNetTrainer" in second
    assert ensemble == "nnUNetv2_ensemble -i MASKS_1 MASKS_2 -o MASKS_RAW"
    assert f"{ENSEMBLE}/postprocessing.pkl" in postprocess
    export(tmp_path / "again.zip", ExportRequest(str(tmp_path / "there" / DATASET)))
    assert set(contents(tmp_path / "again.zip")) == set(files)


def test_untrained_and_damaged_folds_are_named_and_nothing_is_written(model, tmp_path):
    out = tmp_path / "out" / "tiny.zip"
    out.parent.mkdir()
    checkpoint = model / "fold_1" / "checkpoint_final.pth"
    whole = checkpoint.read_bytes()
    checkpoint.unlink()
    with pytest.raises(MscsError, match=r"no checkpoint_final.pth in fold_1.*trained to the end: 0"):
        export(out, ExportRequest(str(model)))
    with pytest.raises(MscsError, match=r"in fold_3, fold_4"):
        export(out, ExportRequest(str(model), folds=("0", "3", "4")))
    middle = len(whole) // 2
    for damaged in (whole[:middle], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]):
        checkpoint.write_bytes(damaged)
        with pytest.raises(MscsError, match=r"fold_1.*damaged"):
            export(out, ExportRequest(str(model)))
    assert list(out.parent.iterdir()) == []
    assert export(out, ExportRequest(str(model), folds=("0",))).models.folds == ("0",)


def test_weights_that_are_no_numbers_are_refused(model, tmp_path):
    file = model / "fold_0" / "checkpoint_final.pth"
    checkpoint = torch.load(file, weights_only=False)
    next(iter(checkpoint["network_weights"].values())).fill_(float("nan"))
    torch.save(checkpoint, file)
    with pytest.raises(MscsError, match=r"fold_0.*NaN"):
        export(tmp_path / "tiny.zip", ExportRequest(str(model)))


def test_weights_that_do_not_fit_their_plans_are_refused(results, tmp_path):
    model = results / DATASET / NNUNET
    for change, match in (
        ({"features_per_stage": [4, 8, 16]}, r"fold 0: the weights do not fit"),
        ({"n_stages": 4}, "cannot be built"),
    ):
        changed = plans()
        changed["configurations"]["2d"]["architecture"]["arch_kwargs"].update(change)
        (model / "plans.json").write_text(json.dumps(changed))
        with pytest.raises(MscsError, match=match):
            export(tmp_path / "tiny.zip", ExportRequest(str(model)))
    changed = plans()
    del changed["configurations"]["2d"]["spacing"]
    (model / "plans.json").write_text(json.dumps(changed))
    with pytest.raises(MscsError, match="has no spacing"):
        export(tmp_path / "tiny.zip", ExportRequest(str(model)))
    assert not list(tmp_path.glob("*.zip"))


def test_the_card_of_one_fold_speaks_of_that_fold(model, tmp_path):
    export(tmp_path / "tiny.zip", ExportRequest(str(model), folds=("1",)))
    card = contents(tmp_path / "tiny.zip")[f"{DATASET}/{MSCS}/model_card.md"].decode()
    assert "Trainer MSCSTrainer, fold 1." in card
    assert "2 folds" not in card


def test_the_card_takes_words_and_data_sets_as_they_come(model, tmp_path):
    dataset = {**DATASET_JSON, "labels": {"background": 0, "lesion": 1, "ignore": 2}}
    dataset["modality"] = {str(number): f"b{number}" for number in (10, 2, 1)}
    del dataset["channel_names"]
    (model / "dataset.json").write_text(json.dumps(dataset))
    card = model_card(
        select(str(model)),
        words=Words(title="Tiny\n# strokes", author="A.\nAuthor", licence="MIT\n|"),
        evaluation={},
        epochs={MSCS: [3, 3]},
        steps=None,
        versions={"nnunetv2_mscs": "1.0"},
        file_name="my model;ls.zip",
    )
    assert card.startswith("# Tiny # strokes\n")
    assert "By A. Author." in card
    assert "mscs install 'my model;ls.zip'" in card
    assert [line.split("|")[3].strip() for line in card.splitlines() if "`_00" in line] == ["b1", "b2", "b10"]
    assert "Output: a mask with 0 = background and 1 = lesion." in card


def test_a_file_there_is_replaced_on_request_only_and_only_if_it_is_a_zip(model, tmp_path):
    out = tmp_path / "tiny.zip"
    out.write_text("a letter")
    with pytest.raises(MscsError, match="--overwrite"):
        export(out, ExportRequest(str(model)))
    with pytest.raises(MscsError, match="no zip file"):
        export(out, ExportRequest(str(model)), overwrite=True)
    assert out.read_text() == "a letter"


def test_a_cascade_brings_its_first_stage(results, tmp_path):
    folder = results / DATASET / NNUNET
    plans = json.loads((folder / "plans.json").read_text())
    plans["configurations"]["fine"] = {"inherits_from": "2d", "previous_stage": "2d"}
    fine = results / DATASET / "nnUNetTrainer__nnUNetPlans__fine"
    folder.rename(fine)
    (fine / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(MscsError, match="the cascade needs it"):
        export(tmp_path / "cascade.zip", ExportRequest(str(fine)))
    shutil.copytree(fine, folder)
    done = export(tmp_path / "cascade.zip", ExportRequest(str(fine)))
    assert [model.identifier for model in done.models.members] == [folder.name, fine.name]
    card = contents(tmp_path / "cascade.zip")[f"{DATASET}/{fine.name}/model_card.md"].decode()
    assert "-o MASKS_OF_2d" in card
    assert "-prev_stage_predictions MASKS_OF_2d" in card
