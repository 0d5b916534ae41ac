"""What is refused before anything is placed, and what stands there after an installation."""

import json
import os
import pickle
import shutil
import stat
import zipfile
from collections import namedtuple
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.postprocessing.remove_connected_components import remove_all_but_largest_component_from_segmentation

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.sharing.exporting import Request, export
from nnunetv2_mscs.sharing.installing import install
from nnunetv2_mscs.sharing.plans import check_plans
from nnunetv2_mscs.sharing.postprocessing import read_postprocessing
from tests.sharing.tiny_models import DATASET, DATASET_JSON, plans, rewrite

MSCS = "MSCSTrainer__nnUNetPlans__2d"
OF_MODEL = f"{DATASET}/{MSCS}"
CHECKPOINT = f"{OF_MODEL}/fold_0/checkpoint_final.pth"


class Command:
    """An object whose unpickling runs a command."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def there(tmp_path) -> Path:
    """An empty folder of results."""
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


def refused(file: Path, there: Path, match: str, **options) -> None:
    with pytest.raises(MscsError, match=match):
        install(file, results=there, **options)
    assert list(there.iterdir()) == []


def test_every_file_stands_where_nnunet_looks_and_nothing_else_does(exported, there):
    done = install(exported, results=there)
    with zipfile.ZipFile(exported) as archive:
        expected = {name: archive.read(name) for name in archive.namelist()}
    assert {str(p.relative_to(there)): p.read_bytes() for p in there.rglob("*") if p.is_file()} == expected
    assert done.folders == (there / OF_MODEL,)
    assert done.card == there / OF_MODEL / "model_card.md"
    assert f"nnUNetv2_predict -d {DATASET} -i SCANS -o MASKS_RAW -tr MSCSTrainer -p nnUNetPlans -c 2d -f 0 1" in (
        done.commands
    )


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(exported, tmp_path, there, keep):
    content = exported.read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[: int(len(content) * keep)])
    refused(tmp_path / "cut.zip", there, "no zip file, or its end is missing")


@pytest.mark.parametrize("place", [0.05, 0.3, 0.5, 0.7, 0.85])
def test_a_flipped_bit_is_refused(exported, tmp_path, there, place):
    content = bytearray(exported.read_bytes())
    content[int(len(content) * place)] ^= 1
    (tmp_path / "flipped.zip").write_bytes(content)
    refused(tmp_path / "flipped.zip", there, "damaged|differs|no zip|lacks|leads out")


def test_a_file_with_other_contents_than_the_manifest_says_is_refused(exported, tmp_path, there):
    with zipfile.ZipFile(exported) as archive:
        fingerprint = archive.read(f"{OF_MODEL}/dataset_fingerprint.json")
    for changes, match in (
        ({"dataset_fingerprint.json": fingerprint.replace(b"6.0", b"5.0")}, "differs from its checksum"),
        ({"dataset_fingerprint.json": b"{}"}, "size of .*dataset_fingerprint.json"),
        ({"fold_1/checkpoint_final.pth": None}, "lacks .*fold_1/checkpoint_final.pth"),
        ({f"{OF_MODEL}/evaluation.json": b"{}"}, "evaluation.json, which its manifest does not name"),
    ):
        refused(rewrite(exported, tmp_path / "changed.zip", changes, manifest=False), there, match)


@pytest.mark.parametrize(
    "name", [f"{DATASET}/../../evil", "../evil", "/tmp/evil", "C:/evil", f"{DATASET}\\..\\evil", f"{OF_MODEL}/./evil"]
)
def test_paths_that_lead_out_are_refused(exported, tmp_path, there, name):
    refused(rewrite(exported, tmp_path / "evil.zip", {name: b"x"}), there, "leads out")


@pytest.mark.parametrize(
    "name",
    [
        "Dataset902_Other/a.json",
        f"{DATASET}/stray.json",
        f"{DATASET}/a/b",
        *(
            f"{OF_MODEL}/{name}"
            for name in (
                "run.sh",
                "fold_0/more.pkl",
                "fold_0/code.py",
                "a.pth",
                "fold_0/evil.pth",
                "fold_01/checkpoint_final.pth",
            )
        ),
        f"{DATASET}/ensembles/x/summary.json",
    ],
)
def test_files_that_no_export_writes_are_refused(exported, tmp_path, there, name):
    refused(rewrite(exported, tmp_path / "stray.zip", {name: b"{}"}), there, "not one folder|no part of a model")


def test_what_file_managers_and_nnunet_leave_beside_a_model_is_left_out(exported, tmp_path, there):
    stray = ("__MACOSX/._plans.json", f"{OF_MODEL}/.DS_Store", f"{DATASET}/inference_instructions.txt")
    file = rewrite(exported, tmp_path / "mac.zip", dict.fromkeys(stray, b"x"), manifest=False)
    install(file, results=there)
    assert [path.name for path in there.iterdir()] == [DATASET]
    assert not any(path.name in (".DS_Store", "inference_instructions.txt") for path in there.rglob("*"))


def test_links_and_doubles_are_refused(exported, tmp_path, there):
    for kind, name in ((stat.S_IFLNK, f"{OF_MODEL}/link"), (stat.S_IFREG, f"{OF_MODEL}/plans.json")):
        changed = shutil.copy(exported, tmp_path / "changed.zip")
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (kind | 0o644) << 16
        warned = pytest.warns(UserWarning, match="Duplicate") if kind == stat.S_IFREG else nullcontext()
        with warned, zipfile.ZipFile(changed, "a") as archive:
            archive.writestr(entry, "/etc/passwd")
        refused(Path(changed), there, "is a link" if kind == stat.S_IFLNK else "twice")


def test_code_in_a_checkpoint_never_runs(exported, tmp_path, there):
    mark = tmp_path / "ran"
    file = tmp_path / "checkpoint_final.pth"
    torch.save({"network_weights": {}, "logging": Command(mark)}, file)
    evil = rewrite(exported, tmp_path / "evil.zip", {"fold_0/checkpoint_final.pth": file.read_bytes()})
    refused(evil, there, r"fold_0/checkpoint_final.pth names (posix|nt)\.system")
    assert not mark.exists()
    torch.load(file, weights_only=False)
    assert mark.exists()  # the file is as dangerous as it is meant to be


def test_code_in_the_postprocessing_never_runs(exported, tmp_path, there):
    mark = tmp_path / "ran"
    for content, match in (
        (pickle.dumps(Command(mark)), r"system"),
        (pickle.dumps(([Command(mark)], [{}])), r"system"),
        (pickle.dumps(([print], [{}])), r"print"),
        (pickle.dumps(([], [])) + b"x", "follows its end"),
        (pickle.dumps({"a": 1, "b": 2}), "no pair"),
        (pickle.dumps(([], [], [])), "refused"),
        (b"\x80", "refused"),
    ):
        refused(rewrite(exported, tmp_path / "evil.zip", {"postprocessing.pkl": content}), there, match)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("subprocess.call", "not known"),
        ("torch.hub.load", "not known"),
        ("torch.nn.functional.torch.hub.load", "no network class"),
        ("nnunetv2_mscs.network.Nothing", "is not there"),
    ],
)
@pytest.mark.parametrize("place", ["network", "norm_op"])
def test_plans_that_name_other_code_are_refused(exported, tmp_path, there, name, match, place):
    changed = plans()
    architecture = changed["configurations"]["2d"]["architecture"]
    if place == "network":
        architecture["network_class_name"] = name
    else:
        architecture["arch_kwargs"]["norm_op"] = name
    file = rewrite(exported, tmp_path / "evil.zip", {f"{MSCS}/plans.json": json.dumps(changed).encode()})
    refused(file, there, match)


def test_plans_whose_preprocessing_is_none_of_nnunets_are_refused(exported, tmp_path, there):
    for key, value in (
        ("resampling_fn_data", "load_pickle"),
        ("preprocessor_name", "join"),
        ("normalization_schemes", ["A", "ZScoreNormalization"]),
        ("normalization_schemes", ["ZScoreNormalization", "abstractmethod"]),
    ):
        changed = plans()
        changed["configurations"]["2d"][key] = value
        file = rewrite(exported, tmp_path / "evil.zip", {f"{MSCS}/plans.json": json.dumps(changed).encode()})
        refused(file, there, "none of nnU-Net's|not found here")


def test_plans_with_our_normalizations_are_known(tmp_path):
    changed = plans()
    changed["configurations"]["2d"]["normalization_schemes"] = ["ADCNormalization", "DWINormalization"]
    (tmp_path / "plans.json").write_text(json.dumps(changed))
    (tmp_path / "dataset.json").write_text(json.dumps(DATASET_JSON))
    check_plans(tmp_path, "2d")


MISSING = object()


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        *(("plans", key, MISSING) for key in ("transpose_forward", "transpose_backward", "image_reader_writer")),
        ("plans", "transpose_forward", [0, 1, 1]),
        ("plans", "foreground_intensity_properties_per_channel", {"0": {}}),
        *(
            ("configuration", key, MISSING)
            for key in ("spacing", "patch_size", "normalization_schemes", "use_mask_for_norm", "preprocessor_name")
        ),
        *(("configuration", f"resampling_fn_{kind}", MISSING) for kind in ("data", "seg", "probabilities")),
        *(("configuration", f"resampling_fn_{kind}_kwargs", []) for kind in ("data", "seg", "probabilities")),
        ("configuration", "normalization_schemes", ["ZScoreNormalization"]),
        ("configuration", "use_mask_for_norm", [False, "no"]),
        ("configuration", "patch_size", [16, 0]),
        ("configuration", "spacing", [1.0]),
        *(("dataset", key, MISSING) for key in ("labels", "channel_names", "file_ending")),
        *(("dataset", "file_ending", ending) for ending in ("", "nii", "/../../x", ".nii\n", ["."])),
        ("dataset", "labels", {"lesion": 1}),
        ("dataset", "channel_names", {"ADC": "0"}),
    ],
)
def test_plans_and_data_sets_that_lack_what_prediction_reads_are_refused(exported, tmp_path, there, place, key, value):
    changed, dataset = plans(), dict(DATASET_JSON)
    part = {"plans": changed, "configuration": changed["configurations"]["2d"], "dataset": dataset}[place]
    part.pop(key) if value is MISSING else part.update({key: value})
    changes = {f"{MSCS}/plans.json": json.dumps(changed), f"{MSCS}/dataset.json": json.dumps(dataset)}
    file = rewrite(exported, tmp_path / "evil.zip", {name: text.encode() for name, text in changes.items()})
    refused(file, there, f"json has no {key}")


def with_network(exported: Path, file: Path, name: str, *, place: str = "network_class_name") -> Path:
    changed = plans()
    architecture = changed["configurations"]["2d"]["architecture"]
    (architecture if place == "network_class_name" else architecture["arch_kwargs"])[place] = name
    return rewrite(exported, file, {f"{MSCS}/plans.json": json.dumps(changed).encode()})


@pytest.fixture
def foreign_package(tmp_path, monkeypatch) -> str:
    """A package with a network, and with what is none."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "foreign_networks.py").write_text(
        "from subprocess import Popen\nfrom dynamic_network_architectures.architectures.unet import PlainConvUNet\n"
        "class Foreign(PlainConvUNet):\n    pass\n\ndef run(*words):\n    Popen(*words)\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "modules")
    return "foreign_networks"


def test_a_network_of_another_package_needs_trust_in_that_package(exported, tmp_path, there, foreign_package):
    file = with_network(exported, tmp_path / "foreign.zip", "foreign_networks.Foreign")
    refused(file, there, "--trust foreign_networks")
    refused(file, there, "--trust foreign_networks", trust=["subprocess", "foreign"])
    assert install(file, results=there, trust=[foreign_package]).folders == (there / OF_MODEL,)


@pytest.mark.parametrize("name", ["subprocess.Popen", "foreign_networks.Popen", "foreign_networks.run"])
@pytest.mark.parametrize("place", ["network_class_name", "nonlin"])
def test_trust_in_a_package_is_in_its_networks_alone(exported, tmp_path, there, foreign_package, name, place):
    file = with_network(exported, tmp_path / "evil.zip", name, place=place)
    refused(file, there, "no network class", trust=[foreign_package, "subprocess"])


def test_who_exports_a_network_of_another_package_is_told(model, tmp_path, foreign_package):
    changed = plans()
    changed["configurations"]["2d"]["architecture"]["network_class_name"] = "foreign_networks.Foreign"
    (model / "plans.json").write_text(json.dumps(changed))
    done = export(tmp_path / "foreign.zip", Request(str(model)))
    assert any("--trust foreign_networks" in notice for notice in done.notices)


def test_other_versions_trainers_and_weights_are_refused_with_the_reason(exported, tmp_path, there):
    with zipfile.ZipFile(exported) as archive:
        manifest = json.loads(archive.read(f"{OF_MODEL}/mscs_manifest.json"))
    for edit, match in (
        ({"format": "nnunetv2-mscs shared model 2"}, "newer version of nnunetv2-mscs"),
        ({"versions": {**manifest["versions"], "nnunetv2": "3.1.0"}}, "nnunetv2 3.1.0, and here is 2"),
        ({"versions": {**manifest["versions"], "nnunetv2_mscs": "7.0"}}, "nnunetv2_mscs 7.0"),
        ({"versions": {}}, "does not name the versions"),
        ({"versions": {**manifest["versions"], "torch": "9" * 5000}}, "does not name the versions"),
        ({"versions": {**manifest["versions"], "torch": "2.0\n\x1b[2Jplaced: /"}}, "does not name the versions"),
        ({"versions": {**manifest["versions"], "nnunetv2": "3'; rm -r x '"}}, "does not name the versions"),
        ({"format": "nnunetv2-mscs\x1b[2J\nplaced: /"}, r"nnunetv2-mscs\\x1b\[2J\\nplaced"),
        ({"folds": ["0", "0;ls"]}, "cannot be read"),
        ({"models": [{"folder": MSCS, "previous_stage": "3d_lowres; ls"}]}, "no model of nnU-Net's"),
        ({"models": [{"folder": MSCS, "previous_stage": "2d"}]}, "different stages"),
        ({"models": [{"folder": "-tr__nnUNetPlans__2d", "previous_stage": ""}]}, "no model of nnU-Net's"),
    ):
        content = json.dumps({**manifest, **edit}).encode()
        file = rewrite(exported, tmp_path / "other.zip", {"mscs_manifest.json": content}, manifest=False)
        refused(file, there, match)
    with zipfile.ZipFile(exported) as archive, archive.open(CHECKPOINT) as stream:
        checkpoint = torch.load(stream, weights_only=False)
    for edit, match in (
        ({"trainer_name": "TheirTrainer"}, "trainers|TheirTrainer is not found"),
        ({"network_weights": {"a": torch.zeros(1)}}, "fold 0: the weights do not fit"),
    ):
        changes = {}
        for fold in "01":
            torch.save({**checkpoint, **edit}, tmp_path / "checkpoint_final.pth")
            changes[f"fold_{fold}/checkpoint_final.pth"] = (tmp_path / "checkpoint_final.pth").read_bytes()
        refused(rewrite(exported, tmp_path / "other.zip", changes), there, match)


def test_without_space_or_a_folder_nothing_is_placed(exported, there, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1000))
    refused(exported, there, "0 MB free")
    monkeypatch.delenv("nnUNet_results", raising=False)
    with pytest.raises(MscsError, match=r"nnUNet_results is not set.*--results"):
        install(exported)


def test_what_is_there_is_replaced_on_request_only_and_nothing_beside_it(exported, there):
    install(exported, results=there)
    other = there / DATASET / "nnUNetTrainer__nnUNetPlans__2d" / "plans.json"
    other.parent.mkdir()
    other.write_text("of another model")
    (there / OF_MODEL / "plans.json").write_text("old")
    with pytest.raises(MscsError, match=r"there already.*--overwrite"):
        install(exported, results=there)
    assert (there / OF_MODEL / "plans.json").read_text() == "old"
    install(exported, results=there, overwrite=True)
    assert json.loads((there / OF_MODEL / "plans.json").read_text()) == plans()
    assert other.read_text() == "of another model"
    assert sorted(path.name for path in (there / DATASET).iterdir()) == sorted([MSCS, other.parent.name])


def test_nnunets_own_zip_is_accepted_and_what_was_not_checked_is_told(results, tmp_path, there):
    done = install(stock(results, tmp_path / "stock.zip"), results=there)
    assert any("no manifest" in notice for notice in done.notices)
    assert any("-tr nnUNetTrainer" in command and "-f 0 1" in command for command in done.commands)
    assert any("nnUNetv2_apply_postprocessing" in command for command in done.commands)


def stock(results: Path, file: Path, trainer: str = "nnUNetTrainer", *, configuration: str = "2d", **options) -> Path:
    """A zip of nnU-Net's own export."""
    from nnunetv2.model_sharing.model_export import export_pretrained_model

    export_pretrained_model(DATASET, str(file), (configuration,), trainer, folds=(0, 1), **options)
    return file


def test_nnunets_own_zip_with_other_checkpoints_says_which(results, tmp_path, there):
    folders = [results / DATASET / "nnUNetTrainer__nnUNetPlans__2d" / f"fold_{fold}" for fold in "01"]
    for folder in folders:
        (folder / "checkpoint_final.pth").rename(folder / "checkpoint_best.pth")
    best = stock(results, tmp_path / "stock.zip", save_checkpoints=("checkpoint_best.pth",))
    done = install(best, results=there)
    assert any(command.endswith("-f 0 1 -chk checkpoint_best.pth") for command in done.commands)
    with zipfile.ZipFile(best) as old, zipfile.ZipFile(tmp_path / "mixed.zip", "w") as new:
        for name in old.namelist():
            new.writestr(name.replace("fold_1/checkpoint_best", "fold_1/checkpoint_latest"), old.read(name))
    shutil.rmtree(there / DATASET)
    refused(tmp_path / "mixed.zip", there, "no checkpoint of one name in all of its folds")


def test_a_cascade_without_its_first_stage_is_refused_unless_that_is_there(results, tmp_path, there):
    first = results / DATASET / "nnUNetTrainer__nnUNetPlans__2d"
    folder = results / DATASET / "nnUNetTrainer__nnUNetPlans__fine"
    changed = plans()
    changed["configurations"]["fine"] = {"inherits_from": "2d", "previous_stage": "2d"}
    shutil.copytree(first, folder)
    for one in (first, folder):
        (one / "plans.json").write_text(json.dumps(changed))
    cascade = stock(results, tmp_path / "cascade.zip", configuration="fine")
    refused(cascade, there, "needs nnUNetTrainer__nnUNetPlans__2d/fold_0")
    install(stock(results, tmp_path / "first.zip"), results=there)
    done = install(cascade, results=there)
    assert any("-o MASKS_OF_2d" in command for command in done.commands)


def test_a_trainer_with_nnunets_former_signature_is_accepted(exported, results, tmp_path, there, monkeypatch):
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
    folder = results / DATASET / "nnUNetTrainer__nnUNetPlans__2d"
    for file in folder.glob("fold_*/*.pth"):
        torch.save({**torch.load(file, weights_only=False), "trainer_name": "OldTrainer"}, file)
    folder.rename(folder.with_name("OldTrainer__nnUNetPlans__2d"))
    done = install(stock(results, tmp_path / "old.zip", "OldTrainer"), results=there)
    assert done.folders == (there / DATASET / "OldTrainer__nnUNetPlans__2d",)


def test_postprocessing_that_takes_time_or_memory_is_refused(tmp_path):
    step = remove_all_but_largest_component_from_segmentation
    wide = [1] * 9000
    wider = [[wide] * 9000] * 9000
    notes = b"\x80\x04]r" + (2**31).to_bytes(4, "little") + b"]\x86."
    deep = b"\x80\x04" + b"]" * 30_000 + b"a" * 29_999 + b"]\x86."
    for content in (
        pickle.dumps(([step], [{"labels_or_regions": wider}])),
        pickle.dumps(([step], [{"labels_or_regions": 1, "other": 1}])),
        pickle.dumps(([step], [{"labels_or_regions": np.float64(1)}])),
        pickle.dumps(([step], [{"labels_or_regions": list(range(70_000))}])),
        *(notes, deep, b"I" + b"9" * 50_000 + b"\n."),
    ):
        (tmp_path / "postprocessing.pkl").write_bytes(content)
        with pytest.raises(MscsError, match="is refused"):
            read_postprocessing(tmp_path / "postprocessing.pkl")
    for protocol in range(3, pickle.HIGHEST_PROTOCOL + 1):
        labels = [np.int64(1), np.int64(2)], np.int64(1), (1, 2), [(1, 2), 3]
        found = [step] * 4, [{"labels_or_regions": one} for one in labels]
        (tmp_path / "postprocessing.pkl").write_bytes(pickle.dumps(found, protocol))
        assert read_postprocessing(tmp_path / "postprocessing.pkl") == 4


def test_without_a_card_none_is_named(exported, tmp_path, there):
    assert install(rewrite(exported, tmp_path / "bare.zip", {"model_card.md": None}), results=there).card is None


@pytest.mark.parametrize("words", [["--trust"], ["--trust", "a b"], ["--trust", "../x"]])
def test_trust_needs_the_names_of_packages(exported, words):
    with pytest.raises(SystemExit):
        main(["install", str(exported), *words])


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
