"""What stands in the folder of results after an installation, and which models are of no use here."""

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.sharing.installing import install
from tests.sharing.tiny_models import (
    DATASET,
    MSCS,
    NNUNET,
    OF_MODEL,
    contents,
    plans,
    rewrite,
    with_checkpoints,
    with_json,
    write_zip,
)


def test_every_file_stands_where_nnunet_looks_and_nothing_else_does(exported, there):
    done = install(exported, results=there)
    placed = {str(path.relative_to(there)): path.read_bytes() for path in there.rglob("*") if path.is_file()}
    assert placed == contents(exported)
    assert done.folders == (there / OF_MODEL,)
    assert done.card == there / OF_MODEL / "model_card.md"
    assert f"nnUNetv2_predict -d {DATASET} -i SCANS -o MASKS_RAW -tr MSCSTrainer -p nnUNetPlans -c 2d -f 0 1" in (
        done.commands
    )


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        ({"format": "nnunetv2-mscs shared model 2"}, "newer version of nnunetv2-mscs"),
        ({"format": "nnunetv2-mscs\x1b[2J\nplaced: /"}, r"nnunetv2-mscs\\x1b\[2J\\nplaced"),
        ({"versions": {"nnunetv2": "3.1.0"}}, "nnunetv2 3.1.0, and here is 2"),
        ({"versions": {"nnunetv2_mscs": "7.0"}}, "nnunetv2_mscs 7.0"),
        ({"versions": {"torch": "9" * 5000}}, "does not name the versions"),
        ({"versions": {"torch": "2.0\n\x1b[2Jplaced: /"}}, "does not name the versions"),
        ({"versions": {"nnunetv2": "3'; rm -r x '"}}, "does not name the versions"),
        ({"versions": None}, "does not name the versions"),
        ({"folds": ["0", "0;ls"]}, "cannot be read"),
        ({"folds": ["0", "1", "2"]}, "needs .*fold_2/checkpoint_final.pth"),
        ({"models": [{"folder": MSCS, "previous_stage": "3d_lowres; ls"}]}, "not a model of nnU-Net's"),
        ({"models": [{"folder": MSCS, "previous_stage": "2d"}]}, "different models or stages"),
        ({"models": [{"folder": "-tr__nnUNetPlans__2d", "previous_stage": ""}]}, "not a model of nnU-Net's"),
    ],
)
def test_manifests_of_other_versions_or_other_models_are_refused(exported, tmp_path, refused, edit, match):
    def change(manifest: dict) -> None:
        versions = edit.get("versions", {})
        manifest.update(edit, versions={} if versions is None else {**manifest["versions"], **versions})

    refused(with_json(exported, tmp_path / "other.zip", "mscs_manifest.json", change, manifest=False), match)


def test_newer_minor_versions_are_told(exported, tmp_path, there):
    def change(manifest: dict) -> None:
        manifest["versions"]["nnunetv2"] = "2.999"

    file = with_json(exported, tmp_path / "newer.zip", "mscs_manifest.json", change, manifest=False)
    assert any("nnunetv2 2.999, newer than" in notice for notice in install(file, results=there).notices)


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        ({"trainer_name": "TheirTrainer"}, "trainer TheirTrainer is not found"),
        ({"trainer_name": "os.system"}, "not the name of a trainer"),
        ({"network_weights": {"a": torch.zeros(1)}}, "fold 0: the weights do not fit"),
        ({"network_weights": {}}, "not a checkpoint of nnU-Net's"),
    ],
)
def test_other_trainers_and_weights_are_refused_with_the_reason(exported, tmp_path, refused, edit, match):
    refused(with_checkpoints(exported, tmp_path / "other.zip", lambda content: content.update(edit)), match)


def test_folds_of_different_trainers_are_refused(results, exported, tmp_path, refused):
    file = results / DATASET / NNUNET / "fold_0" / "checkpoint_final.pth"
    changes = {"fold_0/checkpoint_final.pth": file.read_bytes()}
    refused(rewrite(exported, tmp_path / "mixed.zip", changes), "different trainers")


def test_without_space_or_a_folder_nothing_is_placed(exported, refused, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1000))
    refused(exported, "0 MB free")
    monkeypatch.delenv("nnUNet_results", raising=False)
    with pytest.raises(MscsError, match=r"nnUNet_results is not set.*--results"):
        install(exported)


@pytest.mark.parametrize(("number", "full"), [(28, True), (13, False)])
def test_a_full_disk_is_told_only_where_the_disk_is_full(exported, there, monkeypatch, number, full):
    def fail(*_, **__):
        raise OSError(number, "no", str(there / "place"))

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(MscsError, match="could not be written") as caught:
        install(exported, results=there)
    assert ("disk full" in caught.value.remedy) == full


def test_what_is_there_is_replaced_on_request_only_and_nothing_beside_it(exported, there):
    install(exported, results=there)
    other = there / DATASET / NNUNET / "plans.json"
    other.parent.mkdir()
    other.write_text("of another model")
    (there / OF_MODEL / "plans.json").write_text("old")
    with pytest.raises(MscsError, match=r"there already.*--overwrite"):
        install(exported, results=there)
    assert (there / OF_MODEL / "plans.json").read_text() == "old"
    install(exported, results=there, overwrite=True)
    assert json.loads((there / OF_MODEL / "plans.json").read_text()) == plans()
    assert other.read_text() == "of another model"
    assert sorted(path.name for path in (there / DATASET).iterdir()) == [MSCS, NNUNET]


def stock(results: Path, file: Path, trainer: str = "nnUNetTrainer", *, configuration: str = "2d", **options) -> Path:
    """A zip of nnU-Net's own export."""
    from nnunetv2.model_sharing.model_export import export_pretrained_model

    export_pretrained_model(DATASET, str(file), (configuration,), trainer, folds=(0, 1), **options)
    return file


def test_nnunets_own_zip_is_accepted_and_what_was_not_checked_is_told(results, tmp_path, there):
    done = install(stock(results, tmp_path / "stock.zip"), results=there)
    assert any("no manifest" in notice for notice in done.notices)
    assert any("-tr nnUNetTrainer" in command and "-f 0 1" in command for command in done.commands)
    assert any("nnUNetv2_apply_postprocessing" in command for command in done.commands)


def test_nnunets_own_zip_with_other_checkpoints_says_which(results, tmp_path, there, refused):
    for fold in "01":
        folder = results / DATASET / NNUNET / f"fold_{fold}"
        (folder / "checkpoint_final.pth").rename(folder / "checkpoint_best.pth")
    best = stock(results, tmp_path / "stock.zip", save_checkpoints=("checkpoint_best.pth",))
    done = install(best, results=there)
    assert any(command.endswith("-f 0 1 -chk checkpoint_best.pth") for command in done.commands)
    mixed = {
        name.replace("fold_1/checkpoint_best", "fold_1/checkpoint_latest"): one for name, one in contents(best).items()
    }
    shutil.rmtree(there / DATASET)
    refused(write_zip(tmp_path / "mixed.zip", mixed), "no checkpoint of one name in all of its folds")


@pytest.mark.parametrize("lacking", ["plans.json", "dataset.json", "fold_0/checkpoint_final.pth"])
def test_an_incomplete_zip_of_nnunets_is_refused(results, tmp_path, refused, lacking):
    content = contents(stock(results, tmp_path / "stock.zip"))
    names = {"fold_0/checkpoint_final.pth": [f"fold_{fold}/checkpoint_final.pth" for fold in "01"]}
    for name in names.get(lacking, [lacking]):
        del content[f"{DATASET}/{NNUNET}/{name}"]
    match = "no checkpoint" if lacking.endswith(".pth") else f"^{DATASET}/{NNUNET}/{lacking} cannot be read"
    refused(write_zip(tmp_path / "incomplete.zip", content), match)


def test_a_cascade_without_its_first_stage_is_refused_unless_that_is_there(results, tmp_path, there, refused):
    first = results / DATASET / NNUNET
    folder = results / DATASET / "nnUNetTrainer__nnUNetPlans__fine"
    changed = plans()
    changed["configurations"]["fine"] = {"inherits_from": "2d", "previous_stage": "2d"}
    shutil.copytree(first, folder)
    for one in (first, folder):
        (one / "plans.json").write_text(json.dumps(changed))
    cascade = stock(results, tmp_path / "cascade.zip", configuration="fine")
    refused(cascade, "needs nnUNetTrainer__nnUNetPlans__2d/fold_0")
    install(stock(results, tmp_path / "first.zip"), results=there)
    done = install(cascade, results=there)
    assert any("-o MASKS_OF_2d" in command for command in done.commands)


def test_a_trainer_with_nnunets_former_signature_is_accepted(results, tmp_path, there, monkeypatch):
    (tmp_path / "trainers").mkdir()
    (tmp_path / "trainers" / "old.py").write_text(
        "from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer\n"
        "from nnunetv2.utilities.get_network_from_plans import get_network_from_plans\n\n\n"
        "class OldTrainer(nnUNetTrainer):\n"
        "    @staticmethod\n"
        "    def build_network_architecture(name, arguments, required, inputs, outputs, enable_deep_supervision):\n"
        "        return get_network_from_plans(name, arguments, required, inputs, outputs,\n"
        "                                      deep_supervision=enable_deep_supervision)\n"
    )
    monkeypatch.setenv("nnUNet_extTrainer", str(tmp_path / "trainers"))
    folder = results / DATASET / NNUNET
    for file in folder.glob("fold_*/*.pth"):
        torch.save({**torch.load(file, weights_only=False), "trainer_name": "OldTrainer"}, file)
    folder.rename(folder.with_name("OldTrainer__nnUNetPlans__2d"))
    done = install(stock(results, tmp_path / "old.zip", "OldTrainer"), results=there)
    assert done.folders == (there / DATASET / "OldTrainer__nnUNetPlans__2d",)


def test_without_a_card_none_is_named(exported, tmp_path, there):
    assert install(rewrite(exported, tmp_path / "bare.zip", {"model_card.md": None}), results=there).card is None


def test_the_commands_say_what_they_did(model, tmp_path, monkeypatch, capsys):
    assert main(["export", str(model), str(tmp_path / "my model.zip"), "--folds", "1"]) == 0
    assert "mscs install 'my model.zip'" in capsys.readouterr().out
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "new"))
    assert main(["install", str(tmp_path / "my model.zip")]) == 0
    printed = capsys.readouterr().out
    assert f"placed: {tmp_path / 'new' / OF_MODEL}" in printed
    assert "-c 2d -f 1\n" in printed
    assert main(["install", str(tmp_path / "my model.zip")]) == 1
    assert "there already" in capsys.readouterr().err
