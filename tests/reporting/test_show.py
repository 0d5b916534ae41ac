"""`mscs show` finds the cases of whatever it is given, draws each once, and refuses the rest in a sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.reporting.show import ShowRequest, find_cases, show

SHAPE, SPACING_MM = (6, 20, 16), (6.0, 3.0, 3.0)
CASES = [f"case_{i}" for i in range(6)]


def write(array: np.ndarray, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_MM[::-1])
    sitk.WriteImage(image, str(file))
    return file


def scan(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    _, y, x = np.indices(SHAPE)
    return np.where(((y - 10) / 8) ** 2 + ((x - 8) / 6) ** 2 < 1, rng.normal(800, 60, SHAPE), 0).astype(np.float32)


def mask(seed: int) -> np.ndarray:
    array = np.zeros(SHAPE, np.uint8)
    array[2:4, 6 + seed : 9 + seed, 6:9] = 1
    return array


@pytest.fixture
def raw(nnunet_folders) -> Path:
    """A raw data set of nnU-Net's of five cases, one more to predict on."""
    folder = nnunet_folders / "nnUNet_raw" / "Dataset007_Test"
    for i, case in enumerate(CASES):
        images = folder / ("imagesTr" if i < 5 else "imagesTs")
        write(scan(i), images / f"{case}_0000.nii.gz")
        write(scan(i) / 2, images / f"{case}_0001.nii.gz")
        if i < 5:
            write(mask(i), folder / "labelsTr" / f"{case}.nii.gz")
    dataset = {
        "channel_names": {"0": "ADC", "1": "DWI"},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": 5,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(dataset))
    return folder


@pytest.fixture
def predictions(tmp_path) -> Path:
    for i in (0, 1, 2):
        write(np.roll(mask(i), 1, axis=1), tmp_path / "predictions" / f"{CASES[i]}.nii.gz")
    return tmp_path / "predictions"


def names(request: ShowRequest) -> list[str]:
    return [case.name for case in find_cases(request)[0]]


def test_a_raw_data_set_by_number_or_folder(raw):
    for request in (ShowRequest(source="7"), ShowRequest(source=str(raw)), ShowRequest(words=(str(raw),))):
        cases = find_cases(request)[0]
        assert [case.name for case in cases] == CASES
        assert all(list(case.images) == ["ADC", "DWI"] for case in cases)
        assert [case.truth is not None for case in cases] == [True] * 5 + [False]


def test_cases_by_name_come_in_the_order_named(raw):
    assert names(ShowRequest(words=("case_3", "case_1", "case_3"), source="7")) == ["case_3", "case_1"]


def test_random_choice_is_that_of_the_seed(raw):
    chosen = [tuple(names(ShowRequest(source="7", random=3, seed=seed))) for seed in range(20)]
    assert chosen == [tuple(names(ShowRequest(source="7", random=3, seed=seed))) for seed in range(20)]
    assert all(len(set(cases)) == 3 for cases in chosen)
    assert len(set(chosen)) > 5
    assert {case for cases in chosen for case in cases} == set(CASES)


def test_predictions_choose_the_cases_unless_they_are_named(raw, predictions):
    cases, left_out = find_cases(ShowRequest(source="7", prediction=predictions))
    assert [case.name for case in cases] == CASES[:3]
    assert left_out == CASES[3:]
    with pytest.raises(MscsError, match="case_4"):
        find_cases(ShowRequest(words=("case_0", "case_4"), source="7", prediction=predictions))


def test_files_of_one_case_are_one_scan(tmp_path):
    files = [write(scan(0), tmp_path / f"p1_{channel}.nii.gz") for channel in ("adc", "DWI")]
    (case,) = find_cases(ShowRequest(words=tuple(map(str, files))))[0]
    assert (case.name, set(case.images)) == ("p1", {"ADC", "DWI"})
    (case,) = find_cases(ShowRequest(words=(str(write(scan(0), tmp_path / "t2.nii.gz")),)))[0]
    assert case.name == "t2"


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (("ADC_001", "DWI_001"), "001"),
        (("p1_ep2d_diff_ADC_7", "p1_ep2d_diff_TRACEW_6a"), "p1"),
        (("sub-1_acq-ADC_dwi", "sub-1_acq-b1000_dwi"), "sub-1"),
        (("p1/ADC", "p1/b1000"), "p1"),
        (("p1_adc", "p1_trace"), "p1"),
    ],
)
def test_files_of_one_case_by_other_words(files, name, tmp_path):
    words = tuple(str(write(scan(0), tmp_path / f"{file}.nii.gz")) for file in files)
    (case,) = find_cases(ShowRequest(words=words))[0]
    assert (case.name, set(case.images)) == (name, {"ADC", "DWI"})


def test_predictions_of_other_names(raw, predictions):
    for file in list(predictions.glob("*.nii.gz")):
        file.rename(file.with_name(file.name.replace(".nii.gz", "_pred.nii.gz")))
    (case,), _ = find_cases(ShowRequest(words=("case_1",), source="7", prediction=predictions))
    assert case.prediction == predictions / "case_1_pred.nii.gz"


def test_folders_of_scans(tmp_path):
    for patient in ("p1", "p2"):
        for channel in ("adc", "dwi"):
            write(scan(0), tmp_path / "scans" / patient / f"{channel}.nii.gz")
            write(scan(0), tmp_path / "pairs" / "images" / f"{patient}_{channel}.nii.gz")
        write(mask(0), tmp_path / "pairs" / "masks" / f"{patient}.nii.gz")
    assert names(ShowRequest(words=(str(tmp_path / "scans"),))) == ["p1", "p2"]
    assert names(ShowRequest(words=(str(tmp_path / "scans" / "p2"),))) == ["p2"]
    pairs = find_cases(ShowRequest(words=(str(tmp_path / "pairs"),)))[0]
    assert [(case.name, case.truth is not None) for case in pairs] == [("p1", True), ("p2", True)]


def test_a_model_folder_shows_its_validation_predictions(raw, tmp_path):
    model = tmp_path / "nnUNet_results" / "Dataset007_Test" / "MSCSTrainer__nnUNetPlans__2d"
    for i in range(4):
        write(mask(i), model / f"fold_{i % 2}" / "validation" / f"{CASES[i]}.nii.gz")
    (model / "plans.json").write_text(json.dumps({"dataset_name": "Dataset007_Test"}))
    (model / "dataset.json").write_text((raw / "dataset.json").read_text())
    cases = find_cases(ShowRequest(words=(str(model),)))[0]
    assert [case.name for case in cases] == CASES[:4]
    assert all(case.truth and case.prediction and len(case.images) == 2 for case in cases)
    one = find_cases(ShowRequest(words=(str(model / "fold_1" / "validation"),)))[0]
    assert [case.name for case in one] == ["case_1", "case_3"]


def test_an_evaluation_shows_its_metrics(raw, predictions, tmp_path):
    truth = tmp_path / "truth"
    for i in (0, 1, 2):
        write(mask(i), truth / f"{CASES[i]}.nii.gz")
    out = tmp_path / "evaluation"
    assert main(["evaluate", str(predictions), str(truth), "-o", str(out), "--samples", "100", "-np", "1"]) == 0
    cases = find_cases(ShowRequest(words=(str(out),)))[0]
    assert [case.name for case in cases] == CASES[:3]
    assert all(case.measured is not None for case in cases)
    shown = show(ShowRequest(words=(str(out),), random=1), tmp_path / "sheets")
    assert not shown.findings


def test_the_ignore_label_is_left_out_as_the_metrics_leave_it_out(raw, predictions, tmp_path):
    dataset = json.loads((raw / "dataset.json").read_text())
    dataset["labels"]["ignore"] = 2
    (raw / "dataset.json").write_text(json.dumps(dataset))
    for case in CASES[:5]:
        file = raw / "labelsTr" / f"{case}.nii.gz"
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
        labels[:, :, : labels.shape[2] // 2] = 2
        write(labels, file)
    assert {case.ignored for case in find_cases(ShowRequest(words=(str(raw),)))[0]} == {2}
    (with_mask, *_), _ = find_cases(ShowRequest(words=(str(raw),), prediction=predictions))
    assert with_mask.ignored == 2
    out = tmp_path / "evaluation"
    words = [
        "evaluate",
        str(predictions),
        str(raw / "labelsTr"),
        "-o",
        str(out),
        "--samples",
        "100",
        "--partial",
        "-np",
        "1",
    ]
    assert main(words) == 0
    assert not show(ShowRequest(words=(str(out),), random=1), tmp_path / "sheets").findings


def test_preprocessed_cases_are_read_by_nnunets_own_reader(raw, tmp_path):
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

    folder = tmp_path / "nnUNet_preprocessed" / "Dataset007_Test" / "MyPlans_3d"
    folder.mkdir(parents=True)
    # nnU-Net puts the axis of the thickest slices first: here the patient's x.
    image = np.stack([scan(0), scan(0) / 2]).transpose(0, 3, 1, 2)
    segmentation = mask(0)[None].astype(np.int16).transpose(0, 3, 1, 2)
    properties = {"spacing": [6.0, 3.0, 3.0], "sitk_stuff": {"direction": tuple(np.eye(3).ravel())}}
    nnUNetDatasetBlosc2.save_case(
        (image - 400) / 200, segmentation, properties, str(folder / "case_0"), (1, *image.shape[1:]), (1, 4, 4, 4)
    )
    (folder.parent / "dataset.json").write_text((raw / "dataset.json").read_text())
    plans = {
        "transpose_forward": [2, 0, 1],
        "configurations": {"3d": {"data_identifier": "MyPlans_3d", "spacing": [3.0, 6.0, 3.0]}},
    }
    (folder.parent / "MyPlans.json").write_text(json.dumps(plans))
    request = ShowRequest(words=(str(folder),))
    (case,) = find_cases(request)[0]
    from nnunetv2_mscs.reporting.preprocessed import read_preprocessed_case

    read = read_preprocessed_case(folder, "case_0")
    np.testing.assert_allclose(read.channels["ADC"], (scan(0) - 400) / 200, rtol=1e-5)
    assert (read.truth == (mask(0) > 0)).all()
    assert read.spacing_mm == SPACING_MM
    assert all("normalised" in window.text for window in read.windows.values())
    assert show(request, tmp_path / "sheets").files[0].name == f"{case.name}.png"


def test_the_command_writes_whole_pictures_and_names_them(raw, predictions, tmp_path, capsys):
    out = tmp_path / "sheets"
    words = ["show", "case_0", "case_1", "--in", "7", "--prediction", str(predictions), "-o", str(out), "-np", "1"]
    assert main(words) == 0
    assert capsys.readouterr().out.split() == [str(out / f"{case}.png") for case in CASES[:2]]
    with Image.open(out / "case_0.png") as picture:
        picture.load()
        assert picture.width >= 900
    assert sorted(path.name for path in out.iterdir()) == ["case_0.png", "case_1.png"]
    assert main(words) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_one_bad_case_does_not_take_the_others_with_it(raw, tmp_path, capsys):
    (raw / "imagesTr" / "case_1_0001.nii.gz").write_bytes(b"nothing")
    assert main(["show", "case_0", "case_1", "case_2", "--in", "7", "-o", str(tmp_path / "s"), "-np", "1"]) == 1
    said = capsys.readouterr()
    assert len(said.out.split()) == 2
    assert "case_1" in said.err
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["case_0.png", "case_2.png"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "--in"),
        (["case_9", "--in", "7"], "no case case_9"),
        (["--in", "8"], "no data sets"),
        (["--in", "nowhere"], "no folder"),
        (["--in", "7", "--random", "99"], "99"),
        (["--in", "7", "--prediction", "nowhere"], "does not exist"),
        (["case_0", "case_1", "--in", "7", "--reference", "MASK"], "one mask"),
        (["case_0", "--in", "7", "--prediction", "OTHER_GRID"], "grid"),
        (["EMPTY"], "nothing to show"),
        (["TEXT"], "not a scan"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(raw, tmp_path, capsys, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "TEXT").write_text("text")
    places = {
        "MASK": write(mask(0), tmp_path / "m.nii.gz"),
        "OTHER_GRID": write(mask(0)[:3], tmp_path / "g.nii.gz"),
    }
    assert main(["show", *(str(places.get(word, word)) for word in words), "-np", "1"]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_nothing_named_is_wrong_use(capsys):
    with pytest.raises(SystemExit) as exited:
        main(["show"])
    assert exited.value.code == 2


def test_predictions_alone_are_no_scans(tmp_path, predictions):
    (predictions / "predict_from_raw_data_args.json").write_text("{}")
    with pytest.raises(MscsError, match="--prediction"):
        find_cases(ShowRequest(words=(str(predictions),)))
