"""The model folder: what nnU-Net makes of it, and when it is not written."""

import json
import os
import shlex
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.keras_import import model_folder
from nnunetv2_mscs.keras_import.keras_weights import OriginalSize, keras_shapes
from nnunetv2_mscs.keras_import.plans import dataset_json
from tests.forked_workers import run_forked

GOLDEN = ["--scaling", "none", "--patch-size", "32", "48", "16"]


def checkpoint(folder: Path) -> dict:
    return torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=False)


@pytest.fixture
def names(keras_files) -> str:
    return str(keras_files["names.npz"])


def weights_of(folder: Path, base_features: int, channels: int, classes: int) -> str:
    """A file with random weights of a network of this size."""
    random = np.random.default_rng(0)
    shapes = keras_shapes(OriginalSize(base_features, channels, classes))
    np.savez(folder / "weights.npz", **{name: random.random(shape, np.float32) for name, shape in shapes.items()})
    return str(folder / "weights.npz")


def test_model_folders_of_all_layouts_are_equal(keras_files, tmp_path):
    folders = {layout: tmp_path / layout for layout in keras_files}
    for layout, folder in folders.items():
        assert main(["import-keras", str(keras_files[layout]), str(folder)]) == 0
    first, *others = folders.values()
    expected = checkpoint(first)["network_weights"]
    for folder in others:
        weights = checkpoint(folder)["network_weights"]
        assert list(weights) == list(expected)
        assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
        for name in ("plans.json", "dataset.json"):
            assert (folder / name).read_text() == (first / name).read_text()


def test_nnunet_computes_what_the_original_computed(keras_files, golden_folder, tmp_path):
    """Network and input as nnU-Net's own predictor makes them from the folder and from NIfTI files."""
    assert main(["import-keras", str(keras_files["weights.h5"]), str(tmp_path / "model"), *GOLDEN]) == 0
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(tmp_path / "model"), (0,))
    assert predictor.allowed_mirroring_axes is None
    files = []
    for channel, array in enumerate(np.moveaxis(np.load(golden_folder / "small_input.npy")[0], -1, 0)):
        files.append(str(tmp_path / f"golden_{channel:04d}.nii.gz"))
        sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(array.T)), files[-1])
    image, _, _ = predictor.configuration_manager.preprocessor_class(verbose=False).run_case(
        files, None, predictor.plans_manager, predictor.configuration_manager, predictor.dataset_json
    )
    predictor.network.load_state_dict(predictor.list_of_parameters[0])
    with torch.inference_mode():
        lesion = predictor.network.eval()(torch.from_numpy(image)[None]).softmax(1)
    expected = np.load(golden_folder / "small_output.npy")
    np.testing.assert_allclose(lesion.numpy().transpose(0, 4, 3, 2, 1), expected, rtol=0, atol=1e-5)


def test_plans_follow_the_options(names, tmp_path):
    main(["import-keras", names, str(tmp_path / "as_is")])
    main(
        [
            "import-keras",
            names,
            str(tmp_path / "resampled"),
            "--spacing",
            "1",
            "2",
            "6",
            "--patch-size",
            "96",
            "80",
            "32",
        ]
    )
    as_is, resampled = (
        json.loads((tmp_path / name / "plans.json").read_text())["configurations"]["3d_fullres"]
        for name in ("as_is", "resampled")
    )
    assert as_is["patch_size"] == [16, 192, 192]
    assert as_is["resampling_fn_data"] == as_is["resampling_fn_probabilities"] == "no_resampling_hack"
    assert as_is["normalization_schemes"] == ["SliceMinMaxNormalization"] * 2
    assert resampled["patch_size"] == [32, 80, 96]
    assert resampled["spacing"] == [6, 2, 1]
    assert resampled["resampling_fn_seg_kwargs"]["is_seg"]


@pytest.mark.parametrize(
    ("channels", "classes", "options", "channel_names", "labels"),
    [
        (2, 2, [], ["ADC", "DWI"], ["background", "lesion"]),
        (1, 2, ["--channels", "DWI"], ["DWI"], ["background", "lesion"]),
        (3, 4, [], ["channel_0", "channel_1", "channel_2"], ["background", "class_1", "class_2", "class_3"]),
    ],
)
def test_channels_and_labels(tmp_path, capsys, channels, classes, options, channel_names, labels):
    weights = weights_of(tmp_path, 2, channels, classes)
    assert main(["import-keras", weights, str(tmp_path / "model"), *options]) == 0
    described = json.loads((tmp_path / "model" / "dataset.json").read_text())
    assert list(described["channel_names"].values()) == channel_names
    assert list(described["labels"]) == labels
    assert f"{channels} channels ({', '.join(channel_names)}), {classes} classes" in capsys.readouterr().out
    predictor = nnUNetPredictor(device=torch.device("cpu"))
    predictor.initialize_from_trained_model_folder(str(tmp_path / "model"), (0,))


def test_the_command_that_it_prints_makes_the_same_model(keras_files, tmp_path, capsys):
    folder = tmp_path / "a model"
    main(["import-keras", str(keras_files["names.npz"]), str(folder), *GOLDEN, "--channels", "DWI", "ADC"])
    plans, description = (folder / "plans.json").read_text(), (folder / "dataset.json").read_text()
    printed = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  mscs import-keras"))
    words = shlex.split(printed.removesuffix(" --dataset ID"))
    assert main(words[1:]) == 0
    assert ((folder / "plans.json").read_text(), (folder / "dataset.json").read_text()) == (plans, description)


def test_the_papers_size_is_counted_as_in_the_paper(tmp_path, capsys):
    assert main(["import-keras", weights_of(tmp_path, 16, 2, 2), str(tmp_path / "model")]) == 0
    printed = capsys.readouterr().out
    assert "width 16, 2 channels (ADC, DWI), 2 classes, 37,067,892 parameters" in printed
    assert f"nnUNetv2_predict_from_modelfolder -i SCANS -o MASKS -m {tmp_path / 'model'} -f 0" in printed


def test_what_is_refused_leaves_nothing(weights, tmp_path, capsys):
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, **{**weights, "E2.conv5x5.conv.kernel": np.zeros((3, 3, 3, 3, 3), np.float32)})
    (tmp_path / "there").mkdir()
    assert main(["import-keras", str(wrong), str(tmp_path / "there" / "model")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "E2.conv5x5.conv.kernel has shape (3, 3, 3, 3, 3), where MSCS-Net of width 2 has (5, 5, 5, 3, 3)" in line
    assert not list((tmp_path / "there").iterdir())


def test_only_a_former_model_is_overwritten(names, tmp_path, capsys):
    model, strange = tmp_path / "model", tmp_path / "strange"
    strange.mkdir()
    (strange / "thesis.tex").write_text("")
    assert main(["import-keras", names, str(strange)]) == 1
    assert main(["import-keras", names, str(strange), "--overwrite"]) == 1
    assert "is not a model folder" in capsys.readouterr().err
    assert [path.name for path in strange.iterdir()] == ["thesis.tex"]

    model.mkdir()  # empty
    assert main(["import-keras", names, str(model)]) == 0
    assert main(["import-keras", names, str(model)]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main(["import-keras", names, str(model), "--scaling", "none", "--overwrite"]) == 0
    assert "NoNormalization" in (model / "plans.json").read_text()
    own = model / "weights.npz"
    own.write_bytes(Path(names).read_bytes())
    assert main(["import-keras", str(own), str(model), "--overwrite"]) == 1
    assert "weights.npz" in capsys.readouterr().err
    assert own.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"model", "strange"}


@pytest.mark.parametrize(
    ("planner", "folds", "finding"),
    [
        ("ExperimentPlanner", 5, "is not a model folder"),
        ("ExperimentPlanner", 1, "is not a model folder"),
        ("import-keras", 5, "holds fold_1"),
        ("import-keras", 1, "holds fold_0/training_log.txt"),
    ],
)
def test_a_training_is_never_overwritten(names, tmp_path, capsys, planner, folds, finding):
    """Trained from scratch, or on from imported weights with KerasPlans."""
    model = tmp_path / "MSCSTrainer__KerasPlans__3d_fullres"
    for fold in range(folds):
        (model / f"fold_{fold}").mkdir(parents=True)
        (model / f"fold_{fold}" / "checkpoint_final.pth").write_bytes(b"trained")
    (model / "plans.json").write_text(json.dumps({"experiment_planner_used": planner}))
    (model / "dataset.json").write_text("{}")
    if folds == 1:
        (model / "fold_0" / "training_log.txt").write_text("epoch 0")
    before = sorted(model.rglob("*"))
    assert main(["import-keras", names, str(model), "--overwrite"]) == 1
    assert finding in capsys.readouterr().err
    assert sorted(model.rglob("*")) == before
    assert list(tmp_path.iterdir()) == [model]


@pytest.mark.parametrize("plans", ["", "[]", "{}", "no json"])
def test_plans_that_cannot_be_read_are_no_imports(names, tmp_path, capsys, plans):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "plans.json").write_text(plans)
    assert main(["import-keras", names, str(tmp_path / "model"), "--overwrite"]) == 1
    assert "is not a model folder" in capsys.readouterr().err


KILLED_BETWEEN_THE_RENAMES = """
import os, pathlib, signal, sys
from nnunetv2_mscs.cli.main import main
weights, model = sys.argv[1:]
rename = pathlib.Path.rename
def killed(self, target):
    if pathlib.Path(target) == pathlib.Path(model):
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
pathlib.Path.rename = killed
main(["import-keras", weights, model, "--overwrite"])
"""


def test_a_killed_import_loses_nothing(names, tmp_path):
    tmp_path = tmp_path.resolve()
    model = tmp_path / "model"
    assert main(["import-keras", names, str(model), "--scaling", "none"]) == 0
    former = (model / "plans.json").read_text()
    script = [sys.executable, "-c", KILLED_BETWEEN_THE_RENAMES, names, str(model)]
    assert run_forked(script, tmp_path, os.environ).returncode == -signal.SIGKILL
    assert not model.exists()
    assert main(["import-keras", names, str(model)]) == 1  # puts the former back, and finds the place taken
    assert (model / "plans.json").read_text() == former
    assert list(tmp_path.iterdir()) == [model]


@pytest.mark.parametrize(
    "options",
    [
        ["--patch-size", "192", "192", "20"],
        ["--patch-size", "192", "192"],
        ["--spacing", "0", "1", "1"],
        ["--dataset", "0"],
        ["--batch-size", "0"],
        ["--scaling", "zscore"],
    ],
)
def test_wrong_use_is_2(names, tmp_path, options):
    with pytest.raises(SystemExit, match="2"):
        main(["import-keras", names, str(tmp_path / "model"), *options])


def test_names_of_channels_must_be_as_many(names, tmp_path, capsys):
    assert main(["import-keras", names, str(tmp_path / "model"), "--channels", "DWI"]) == 1
    assert "takes 2 channels" in capsys.readouterr().err


def lay_down_dataset(folders: Path, *, channels: int, fingerprint: bool, ending: str = ".nii.gz") -> Path:
    """A data set of one small case, with or without a fingerprint; returns its folder in nnUNet_preprocessed."""
    raw = folders / "nnUNet_raw" / "Dataset701_Small"
    for kind, names in (("imagesTr", [f"a_{c:04d}" for c in range(channels)]), ("labelsTr", ["a"])):
        (raw / kind).mkdir(parents=True)
        for name in names:
            sitk.WriteImage(sitk.Image((8, 8, 4), sitk.sitkUInt8), str(raw / kind / f"{name}{ending}"))
    described = {"channel_names": {str(c): f"C{c}" for c in range(channels)}, "labels": {"background": 0, "lesion": 1}}
    (raw / "dataset.json").write_text(json.dumps(described | {"numTraining": 1, "file_ending": ending}))
    preprocessed = folders / "nnUNet_preprocessed" / raw.name
    if fingerprint:
        preprocessed.mkdir()
        taken = {
            "spacings": [[6.0, 1.5, 1.25]],
            "shapes_after_crop": [[4, 8, 8]],
            "foreground_intensity_properties_per_channel": {str(c): {"mean": 0.0} for c in range(channels)},
        }
        (preprocessed / "dataset_fingerprint.json").write_text(json.dumps(taken))
    return preprocessed


def test_plans_for_a_data_set_take_its_facts(nnunet_folders, names, tmp_path, capsys):
    preprocessed = lay_down_dataset(nnunet_folders, channels=2, fingerprint=True)
    command = ["import-keras", names, str(tmp_path / "model"), "--dataset", "701", "--batch-size", "4"]
    assert main(command) == 0
    plans = json.loads((preprocessed / "KerasPlans.json").read_text())
    assert plans["dataset_name"] == "Dataset701_Small"
    assert plans["configurations"]["3d_fullres"]["spacing"] == [6, 1.5, 1.25]
    assert plans["configurations"]["3d_fullres"]["batch_size"] == 4
    assert plans["image_reader_writer"] == "SimpleITKIO"
    assert (preprocessed / "dataset.json").is_file()
    assert "(C0, C1)" in capsys.readouterr().out
    assert main([*command[:2], str(tmp_path / "another"), *command[3:]]) == 1
    assert "KerasPlans.json exists" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("labels", "taken"),
    [
        ({"background": 0, "infarct": 1}, {"background": 0, "infarct": 1}),
        ({"background": 0, "infarct": 1, "ignore": 2}, {"background": 0, "infarct": 1}),
        ({"background": 0, "core": 1, "rim": 2}, {"background": 0, "lesion": 1}),
        ({"background": 0, "whole": [1, 2]}, {"background": 0, "lesion": 1}),
    ],
)
def test_the_model_describes_its_data_set(labels, taken):
    described = dataset_json(["ADC", "DWI"], 2, {"labels": labels, "file_ending": ".nrrd"})
    assert described["labels"] == taken
    assert described["file_ending"] == ".nrrd"


def test_the_models_files_end_as_the_data_sets(nnunet_folders, names, tmp_path):
    lay_down_dataset(nnunet_folders, channels=2, fingerprint=True, ending=".nrrd")
    assert main(["import-keras", names, str(tmp_path / "model"), "--dataset", "701"]) == 0
    assert json.loads((tmp_path / "model" / "dataset.json").read_text())["file_ending"] == ".nrrd"
    assert checkpoint(tmp_path / "model")["init_args"]["dataset_json"]["file_ending"] == ".nrrd"


def test_plans_that_cannot_be_written_leave_no_model(nnunet_folders, names, tmp_path, capsys):
    preprocessed = lay_down_dataset(nnunet_folders, channels=2, fingerprint=True)
    (preprocessed / ".part-KerasPlans.json").mkdir()  # in the way
    assert main(["import-keras", names, str(tmp_path / "deep" / "model"), "--dataset", "701"]) == 1
    assert "KerasPlans.json could not be written" in capsys.readouterr().err
    assert not (tmp_path / "deep").exists()
    assert {file.name for file in preprocessed.iterdir()} == {".part-KerasPlans.json", "dataset_fingerprint.json"}


@pytest.mark.parametrize("former", [True, False])
def test_a_model_that_cannot_be_written_leaves_the_plans_as_they_were(
    nnunet_folders, names, tmp_path, capsys, monkeypatch, former
):
    def full(*_):
        raise OSError("no space left")

    preprocessed = lay_down_dataset(nnunet_folders, channels=2, fingerprint=True)
    (tmp_path / "model").mkdir()
    if former:
        (preprocessed / "KerasPlans.json").write_text("former")
    before = {file.name: file.read_bytes() for file in preprocessed.iterdir()}
    monkeypatch.setattr(model_folder, "replace_folder", full)
    command = ["import-keras", names, str(tmp_path / "model"), "--dataset", "701", "--overwrite"]
    assert main(command) == 1
    assert "model cannot be written" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in preprocessed.iterdir()} == before
    assert not list((tmp_path / "model").iterdir())


@pytest.mark.parametrize(
    ("channels", "fingerprint", "dataset", "finding"),
    [
        (1, True, "701", "takes 2"),
        (2, False, "701", "nnUNetv2_extract_fingerprint -d 701"),
        (2, True, "702", "There is no data set 702"),
    ],
)
def test_data_sets_that_do_not_fit(nnunet_folders, names, tmp_path, capsys, channels, fingerprint, dataset, finding):
    lay_down_dataset(nnunet_folders, channels=channels, fingerprint=fingerprint)
    assert main(["import-keras", names, str(tmp_path / "model"), "--dataset", dataset]) == 1
    assert finding in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_without_nnunets_folders_a_data_set_is_an_error(names, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("nnUNet_raw", raising=False)
    assert main(["import-keras", names, str(tmp_path / "model"), "--dataset", "1"]) == 1
    assert "export nnUNet_raw" in capsys.readouterr().err
