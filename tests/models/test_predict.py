"""`mscs predict`: any form of input, files and exit code for each study, and what continues after a kill."""

import gzip
import json
import os
import shutil
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from PIL import Image

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.models import predicting
from nnunetv2_mscs.models.ranges import look_changed_about
from nnunetv2_mscs.models.records import Results
from nnunetv2_mscs.models.studies import Study, find_studies
from nnunetv2_mscs.scans.channels import ScanFiles
from tests.forked_workers import run_forked
from tests.kept_variables import kept_variables
from tests.models.new_scans import AFFINE, scan, write, write_study
from tests.sharing.tiny_models import DATASET
from tests.stored_scans import placed, same_place, write_nifti

BOTH = {"adc": "{}_adc.nii.gz", "dwi": "{}_dwi.nii.gz"}


@pytest.fixture
def predict(model, predictor, tmp_path, monkeypatch):
    """The command in this process, with a model that is loaded once for all tests unless one asks for another."""
    monkeypatch.chdir(tmp_path)

    def load(source, request):
        usual = (request.threshold, request.min_lesion_ml, request.fast) == (None, None, False)
        return predictor if usual else original(source, request)

    original = predicting._load
    monkeypatch.setattr(predicting, "_load", load)

    def predict(*words) -> int:
        return main(["predict", *map(str, words), "-m", str(model), "-o", str(tmp_path / "out"), "--device", "cpu"])

    predict.out = tmp_path / "out"
    predict.table = lambda: pd.read_csv(tmp_path / "out/cases.csv", dtype={"case": str}).set_index("case")
    return predict


def write_named(folder, case, **how):
    return write(folder, {channel: name.format(case) for channel, name in BOTH.items()}, **how)


def as_numbered_files_in_a_folder(folder):
    for case in ("a", "b"):
        write(folder / "imagesX", {"adc": f"{case}_0000.nii", "dwi": f"{case}_0001.nii"})
    return ["imagesX_a", "imagesX_b"]


def as_bids(folder):
    for session in ("ses-1", "ses-2"):
        names = {"adc": "sub-7_{}_acq-ADC_dwi.nii.gz", "dwi": "sub-7_{}_acq-TRACE_dwi.nii.gz"}
        names = {channel: name.format(session) for channel, name in names.items()}
        write(folder / f"sub-7/{session}/dwi", names)
    return ["sub-7_ses-1", "sub-7_ses-2"]


def as_table(folder):
    write_named(folder / "files", "a")
    write(folder / "files", {"b0": "low.nii", "dwi": "high.nii"})
    (folder / "t.csv").write_text(
        "Case,ADC,DWI,b0,b_value\na,files/a_adc.nii.gz,files/a_dwi.nii.gz,,\nb,,files/high.nii,files/low.nii,1000\n"
    )
    return ["a", "b"]


def as_other_formats(folder):
    for ending in ("mha", "nrrd"):
        write_named(folder, ending)
        for channel in ("adc", "dwi"):
            source = folder / f"{ending}_{channel}.nii.gz"
            sitk.WriteImage(sitk.ReadImage(str(source)), str(folder / f"{ending}_{channel}.{ending}"))
            source.unlink()
    return ["mha", "nrrd"]


def as_study(folder):
    write_study(folder / "p 1")
    return ["p_1"]


FORMS = {
    "a study": ("in/p 1", as_study),
    "flat": ("in", lambda folder: [write_named(folder, case) and case for case in ("a", "b")]),
    "folders": ("in", lambda folder: [write_study(folder / case).name for case in ("a", "b")]),
    "nested": ("in", lambda folder: [f"{write_study(folder / f'pat/{case}').parent.name}_{case}" for case in "xy"]),
    "BIDS": ("in", as_bids),
    "numbered files in a folder": ("in", as_numbered_files_in_a_folder),
    "table": ("in/t.csv", as_table),
    "other formats": ("in", as_other_formats),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_input(form, predict):
    place, make = FORMS[form]
    (predict.out.parent / "in").mkdir()
    cases = make(predict.out.parent / "in")
    assert predict(place) == 0
    table = predict.table()
    assert list(table.index) == cases
    assert (table["status"] == "ok").all()
    assert np.ptp(table["lesion_volume_ml"]) < 0.05 * table["lesion_volume_ml"].mean()
    for case in cases:
        assert (predict.out / f"{case}.nii.gz").is_file()


def test_named_files_and_what_is_written(predict, capsys):
    folder = write_named(predict.out.parent / "in", "p1", axes="SAR", tilt=(10, 5, 0))
    assert predict("--adc", folder / "p1_adc.nii.gz", "--dwi", folder / "p1_dwi.nii.gz", "--probabilities") == 0
    assert "p1: " in capsys.readouterr().out
    record, row = json.loads((predict.out / "p1.json").read_text()), predict.table().loc["p1"]
    mask, probability = (sitk.ReadImage(str(predict.out / f"p1{end}.nii.gz")) for end in ("", "_probability"))
    dwi = sitk.ReadImage(str(folder / "p1_dwi.nii.gz"))
    for image in (mask, probability):
        assert image.GetSize() == dwi.GetSize()
        np.testing.assert_allclose(image.GetDirection(), dwi.GetDirection(), atol=1e-6)
        np.testing.assert_allclose(image.GetOrigin(), dwi.GetOrigin(), atol=1e-4)
    marked, probabilities = map(sitk.GetArrayFromImage, (mask, probability))
    assert record["lesion_volume_ml"] == pytest.approx((marked > 0).sum() * 8 * 8 * 14 / 1000)
    assert row["largest_probability"] == pytest.approx(probabilities.max(), abs=1e-5)
    assert sum(record["lesion_volumes_ml"]) == pytest.approx(row["lesion_volume_ml"])
    assert record["threshold"] == 0.5
    assert record["versions"]["nnunetv2"]
    assert record["lesion_volume_ml"] > 700
    assert "more than any lesion fills" in row["warnings"]
    assert not [path for path in predict.out.rglob("*") if path.name.startswith(".part")]


def test_dwi_and_b0_as_files(predict, capsys):
    folder = write(predict.out.parent / "in", {"b0": "low.nii.gz", "dwi": "high.nii.gz"})
    words = ("--dwi", folder / "high.nii.gz", "--b0", folder / "low.nii.gz")
    assert predict(*words) == 1
    assert "b-value of the DWI is not recorded" in capsys.readouterr().err
    assert predict(*words, "--b-value", 1000) == 0
    assert predict.table().loc["high", "b_value"] == 1000


BROKEN = {
    "empty_folder": lambda folder: folder.mkdir(),
    "truncated": lambda folder: cut(write_study(folder) / "dwi.nii.gz"),
    "no_dwi": lambda folder: (write_study(folder) / "dwi.nii.gz").unlink(),
    "no_adc": lambda folder: (write_study(folder) / "adc.nii.gz").unlink(),
    "web_page": lambda folder: (write_study(folder) / "adc.nii.gz").write_text("<html><body>login</body></html>"),
    "dicom": lambda folder: (write_study(folder) / "dwi.nii.gz").rename(folder / "x.txt") and dicom_only(folder),
    "text_only": lambda folder: (folder.mkdir(), (folder / "notes.txt").write_text("x")),
    "constant": lambda folder: rewrite(write_study(folder), "dwi", np.ones_like),
    "not_a_number": lambda folder: rewrite(write_study(folder), "adc", lambda array: array * np.nan),
    "elsewhere": lambda folder: write_nifti(write_study(folder) / "adc.nii.gz", scan()["adc"], far()),
}


def cut(file):
    file.write_bytes(file.read_bytes()[:2000])


def dicom_only(folder):
    for file in folder.iterdir():
        file.unlink()
    (folder / "IM0001").write_bytes(bytes(128) + b"DICM" + bytes(100))


def rewrite(folder, channel, change):
    array, affine = placed(folder / f"{channel}.nii.gz")
    write_nifti(folder / f"{channel}.nii.gz", change(array), affine)


def far():
    affine = AFFINE.copy()
    affine[0, 3] += 2000
    return affine


def test_ten_good_and_ten_broken_studies(predict, capsys):
    studies = predict.out.parent / "in"
    good = [write_study(studies / f"good_{i}", seed=i).name for i in range(10)]
    for name, make in BROKEN.items():
        make(studies / name)
    assert predict(studies) == 1
    table, errors = predict.table(), capsys.readouterr().err
    assert set(table.index) == {*good, *BROKEN}
    assert (table.loc[good, "status"] == "ok").all()
    assert (table.loc[list(BROKEN), "status"] == "failed").all()
    assert table.loc[list(BROKEN), "reason"].nunique() == 10
    assert "10 of 20 studies failed" in errors
    for name in BROKEN:
        assert f"failed: {name}: " in errors
        assert not (predict.out / f"{name}.nii.gz").exists()
    for name, said in {
        "truncated": "is damaged, truncated",
        "no_dwi": "has no DWI",
        "no_adc": "has no ADC, and no b0",
        "web_page": "web page",
        "dicom": "DICOM",
        "constant": "is constant",
        "not_a_number": "NaN",
        "elsewhere": "do not overlap",
    }.items():
        assert said in table.loc[name, "reason"]
    assert str(studies) not in (predict.out / "cases.csv").read_text(), "folders may be named after people"


def test_it_continues_after_an_interruption(predict, predictor, monkeypatch, capsys):
    studies = predict.out.parent / "in"
    for i in range(3):
        write_study(studies / f"p{i}", seed=i)
    calls = []
    original = type(predictor).predict_read

    def predict_read(self, read):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, read)

    monkeypatch.setattr(type(predictor), "predict_read", predict_read)
    assert predict(studies) == 130
    assert list(predict.table().index) == ["p0"]
    first = (predict.out / "p0.nii.gz").stat().st_mtime_ns
    assert predict(studies) == 0
    assert len(calls) == 4, "p0 once, p1 twice, p2 once"
    assert (predict.out / "p0.nii.gz").stat().st_mtime_ns == first
    assert list(predict.table().index) == ["p0", "p1", "p2"]
    assert "done before: 1 of 3" in capsys.readouterr().out
    # Other settings, or other files of the same name, are not mixed in.
    assert predict(studies, "--threshold", 0.3) == 1
    assert "other settings (threshold)" in capsys.readouterr().err
    write_study(studies / "p0", seed=9)
    assert predict(studies) == 1
    assert "holds p0 of other files" in capsys.readouterr().err
    assert predict(studies, "--overwrite") == 0


def test_studies_side_by_side_are_predicted_as_one_by_one(predict, monkeypatch):
    studies = predict.out.parent / "in"
    for i in range(4):
        write_study(studies / f"p{i}", seed=i)
    (studies / "p1/adc.nii.gz").write_bytes(b"damaged")
    results = []
    for cores in (1, 2):
        monkeypatch.setattr(predicting, "cores", lambda cores=cores: cores)
        assert predict("in", "--overwrite") == 1
        records = [json.loads(file.read_text()) for file in sorted(predict.out.glob("*.json"))]
        for record in records:
            assert record.pop("seconds", None) or record["status"] == "failed"
        masks = [sitk.GetArrayFromImage(sitk.ReadImage(str(file))) for file in sorted(predict.out.glob("*.nii.gz"))]
        table = (predict.out / "cases.csv").read_text()
        results.append((records, [mask.tolist() for mask in masks], table))
    assert results[0] == results[1]
    assert len(results[0][0]) == 4


def test_a_mask_without_its_record_is_predicted_again(predict):
    write_study(predict.out.parent / "in/p0")
    assert predict("in") == 0
    content = (predict.out / "p0.nii.gz").read_bytes()
    (predict.out / "p0.json").unlink()
    (predict.out / "p0.nii.gz").write_bytes(b"half")
    assert predict("in") == 0
    assert gzip.decompress((predict.out / "p0.nii.gz").read_bytes()) == gzip.decompress(content)


def test_folders_of_something_else_are_left_alone(predict, capsys):
    write_study(predict.out.parent / "in/p0")
    predict.out.mkdir()
    (predict.out / "thesis.txt").write_text("x")
    assert predict("in", "--overwrite") == 1
    assert "holds no predictions" in capsys.readouterr().err
    assert (predict.out / "thesis.txt").read_text() == "x"


def test_two_commands_do_not_write_into_one_folder(predict, capsys):
    write_study(predict.out.parent / "in/p0")
    with Results(predict.out).alone():
        assert predict("in") == 1
    assert "Another mscs predict is at work in" in capsys.readouterr().err
    assert predict("in") == 0


def test_what_is_not_there(predict, capsys):
    assert predict("nowhere") == 1
    assert "nowhere is not there" in capsys.readouterr().err
    assert not predict.out.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name either INPUT or the files"),
        (["in", "--dwi", "x.nii.gz"], "name either INPUT or the files"),
        (["--image", "FLAIR"], "is not CHANNEL=FILE"),
    ],
)
def test_wrong_use(words, said, predict, capsys):
    with pytest.raises(SystemExit) as caught:
        predict(*words)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


FAULTS = {
    "names that say nothing": (
        lambda folder: write(folder, {"adc": "IM_1.nii.gz", "dwi": "IM_2.nii.gz"}),
        ["IM_1: IM_1.nii.gz: does not say by its name what it is", "<case>_adc.nii.gz", "IM_2: "],
    ),
    "the DWI alone": (
        lambda folder: write(folder, {"dwi": "dwi.nii.gz"}),
        ["in: has no ADC, and no b0 to compute it from. Add the ADC map or the b0"],
    ),
    "a folder that is empty": (lambda folder: (folder / "sub").mkdir(parents=True), ["sub: sub: is empty"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_files_are_said_before_the_model_is_loaded(fault, predict, monkeypatch, capsys):
    make, said = FAULTS[fault]
    make(predict.out.parent / "in")
    monkeypatch.setattr(predicting, "_load", lambda *_: pytest.fail("it takes seconds"))
    assert predict("in") == 1
    errors = capsys.readouterr().err
    for words in ["No study can be predicted", *said]:
        assert words in errors
    assert not predict.out.exists()


def test_adc_and_dwi_that_look_changed_about():
    arrays = scan()
    fluid = (arrays["dwi"] > 100) & (np.indices(arrays["dwi"].shape)[0] > 12)
    adc, dwi = np.where(fluid, 3000, arrays["adc"]), np.where(fluid, 120, arrays["dwi"])
    assert not look_changed_about(adc, dwi)
    assert look_changed_about(dwi, adc)
    assert not look_changed_about(np.zeros_like(adc), dwi)


def test_two_studies_of_one_name_are_not_mixed(tmp_path):
    for place in ("a", "b"):
        write_study(tmp_path / place / "p1", seed=1)
    first, second = find_studies([tmp_path / "a", tmp_path / "b"])
    assert first.problem is None
    assert second.name != first.name
    assert "another study is called p1" in second.problem.finding


def test_a_zip_a_data_set_and_the_command_itself(results, tmp_path, monkeypatch):
    """In a process of its own, from a shell with nothing exported."""
    monkeypatch.setenv("nnUNet_results", str(results))
    assert main(["export", str(results / DATASET), str(tmp_path / "tiny.zip"), "--small"]) == 0
    assert zipfile.is_zipfile(tmp_path / "tiny.zip")
    write_study(tmp_path / "in/p0")
    assert main(["predict", str(tmp_path / "in"), "-m", "901", "-o", str(tmp_path / "by_id")]) == 0
    command = [
        sys.executable,
        "-m",
        "nnunetv2_mscs.cli.main",
        "predict",
        "in",
        "--engine",
        "torch",
        "-m",
        "tiny.zip",
        "-o",
        "by_zip",
    ]
    place = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    kept = kept_variables() | place
    done = run_forked(command, tmp_path, kept)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nnUNet_raw is not defined" not in done.stdout + done.stderr
    assert same_place(placed(tmp_path / "by_id/p0.nii.gz"), placed(tmp_path / "by_zip/p0.nii.gz"))
    shutil.rmtree(tmp_path / "by_id")


def test_sheets_and_the_page(predict):
    studies = predict.out.parent / "in"
    write_study(studies / "plain")
    write(write_study(studies / "warned"), {"adc": "adc.nii.gz"}, affine=AFFINE + np.eye(4) * [2.0, 0, 0, 0])
    write_study(studies / "broken <b>")
    (studies / "broken <b>/adc.nii.gz").write_text("no scan")
    assert predict(studies) == 1
    page = (predict.out / "index.html").read_text()
    places = [page.index(f'<th scope="row" data-value="{case}">') for case in ("broken_b", "warned", "plain")]
    assert places == sorted(places), "failed first, then those with most warnings"
    assert "<b>" not in page
    assert str(predict.out.parent) not in page
    for case in ("plain", "warned"):
        with Image.open(predict.out / f"sheets/{case}.png") as sheet:
            assert sheet.width >= 900
        assert f'href="sheets/{case}.png"' in page
        assert (predict.out / f"sheets/{case}_small.png").stat().st_size < 60_000
        pictures = [predict.out / "slices" / f"{case}{end}" for end in (".webp", "_mask.png")]
        assert sum(picture.stat().st_size for picture in pictures) < 150_000
        record = json.loads((predict.out / f"{case}.json").read_text())
        assert record["slices"]["channels"] == ["DWI", "ADC"]
    assert 'sheets/broken_b.png"' not in page
    assert "A lesion was found in 2 of 2 cases." in page, "the methods"

    report = predict.out.parent / "report.html"
    assert main(["report", str(predict.out), "-o", str(report), "-np", "1"]) == 0
    text = report.read_text()
    assert [text.count(start) for start in ('src="data:', 'href="data:image', "data:image/webp")] == [2, 2, 2]
    assert "sheets/" not in text, "the file needs none beside it"
    assert "Failed: " in text
    assert main(["report", str(predict.out), "-o", str(report), "-np", "1"]) == 1, "it is there already"
    assert main(["report", str(predict.out), "-o", str(report), "-np", "1", "--cases", "1", "--overwrite"]) == 0
    assert report.read_text().count('href="data:image') == 0, "the worst case failed, and has no picture"


def test_a_report_of_masks_that_no_record_describes(tmp_path, monkeypatch, capsys):
    for variable in ("nnUNet_raw", "nnUNet_preprocessed"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    mask = np.zeros((20, 24, 6), np.uint8)
    mask[4:8, 4:8, 2:4] = mask[12:14, 12:14, 3] = 1
    write(tmp_path / "scans", {"adc": "a_adc.nii.gz", "dwi": "a_dwi.nii.gz"})
    (tmp_path / "masks").mkdir()
    for case, array in (("a", mask), ("b", mask * 0)):
        write_nifti(tmp_path / f"masks/{case}.nii.gz", array, AFFINE)
    out = tmp_path / "report.html"
    words = ["report", str(tmp_path / "masks"), "-o", str(out), "-np", "1"]
    assert main(words) == 0
    assert "no references are known" in capsys.readouterr().out
    page = out.read_text()
    assert "The scans are not shown: name their folder with --images." in page
    assert page.count("data:image/webp") == 0
    assert ">Lesions<" in page
    assert "Largest probability" not in page
    assert "A lesion was found in 1 of 2 cases. The median lesion volume is 32.26 mL" in page
    assert main([*words, "--case-pages", "--overwrite"]) == 1
    assert "--case-pages shows metrics" in capsys.readouterr().err

    assert main([*words, "--images", str(tmp_path / "scans"), "--overwrite"]) == 0
    assert out.read_text().count("data:image/webp") == 1, "the slices of a; b has no scan"


def test_a_study_is_known_by_its_files_whatever_their_form(tmp_path):
    """Results of other files, or of files that changed, are not taken for this study's."""
    files = [tmp_path / name for name in ("a.dcm", "b.dcm")]
    for file in files:
        file.write_bytes(b"one")
    known = {
        Study("p1", ScanFiles({"DWI": files[0]})).fingerprint,
        Study("p1", dicom=(files[0],)).fingerprint,
        Study("p1", dicom=tuple(files)).fingerprint,
        Study("p1", dicom=tuple(files), chosen={"DWI": files[1]}).fingerprint,
        Study("p1", dicom=tuple(files), b_value=1000.0).fingerprint,
    }
    assert len(known) == 5
    before = Study("p1", dicom=tuple(files)).fingerprint
    assert before == Study("p2", dicom=tuple(files)).fingerprint
    files[1].write_bytes(b"other")
    assert before != Study("p1", dicom=tuple(files)).fingerprint
