"""DICOM studies of three vendors: what is chosen, the mask in its place, and nothing that names the patient."""

import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.models import predicting
from nnunetv2_mscs.models.studies import find_studies
from nnunetv2_mscs.scans import dicom_headers
from nnunetv2_mscs.scans.alignment import turn
from nnunetv2_mscs.scans.channels import ADC, DWI
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.grid import distance_mm
from nnunetv2_mscs.scans.new_scan import B0
from tests.models.new_scans import scan
from tests.models.new_scans import write_study as write_nifti_study
from tests.stored_scans import write_nifti

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

from nnunetv2_mscs.scans.dicom_headers import dicom_files, read_headers  # noqa: E402
from nnunetv2_mscs.scans.dicom_study import read_dicom_study  # noqa: E402
from tests.models.dicom_files import (  # noqa: E402
    ORIENTATION,
    ORIGIN,
    SPACING,
    VENDORS,
    siemens,
    write_enhanced,
    write_mosaics,
    write_series,
    write_study,
)


@pytest.fixture(scope="module")
def made() -> dict[str, np.ndarray]:
    """Along LPS, where DICOM stores; values as whole numbers."""
    return {name: np.rint(np.maximum(array[:, ::-1], 0)) for name, array in scan().items()}


@pytest.fixture
def predict(model, predictor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predicting, "_load", lambda *_: predictor)
    return lambda *words: main(["predict", *map(str, words), "-m", str(model), "-o", "out", "--device", "cpu"])


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_trace_and_the_adc_are_chosen(vendor, made, tmp_path):
    found = read_dicom_study(dicom_files(write_study(tmp_path, vendor, made)))
    assert set(found.new.channels) == {ADC, DWI}
    assert found.new.b_value == 1000
    for name in (ADC, DWI):
        np.testing.assert_array_equal(found.new.channels[name].volume.array[0], made[name.lower()].T)
    assert found.picked[:2] == [
        "DWI: series 4 (6 images, b = 1000 s/mm2, trace)",
        "ADC: series 5 (6 images, ADC)",
    ]
    assert any(one.startswith("passed over: series 1 (3 images): no b-value") for one in found.picked)


@pytest.mark.parametrize("vendor", VENDORS)
def test_without_an_adc_there_is_the_b0(vendor, made, tmp_path):
    found = read_dicom_study(dicom_files(write_study(tmp_path, vendor, made, adc=False)))
    assert set(found.new.channels) == {B0, DWI}
    np.testing.assert_array_equal(found.new.channels[B0].volume.array[0], made["b0"].T)


@pytest.mark.parametrize("vendor", VENDORS)
def test_private_tags_of_unknown_type(vendor, made, tmp_path):
    """Archives that do not know a vendor's tags store them as bytes (UN)."""
    folder = write_study(tmp_path, vendor, made)
    for file in dicom_files(folder):
        image = pydicom.dcmread(file)
        for element in [one for one in image if one.tag.is_private and not one.tag.is_private_creator]:
            content = {"FL": np.float32, "SS": np.int16}.get(element.VR)
            text = (
                element.value if isinstance(element.value, str) else "\\".join(map(str, np.atleast_1d(element.value)))
            )
            raw = np.array(element.value, content).tobytes() if content else text.encode()
            image[element.tag] = pydicom.DataElement(element.tag, "UN", raw + b" " * (len(raw) % 2))
        if "SequenceName" in image:
            del image.SequenceName
        image.save_as(file)
    found = read_dicom_study(dicom_files(folder))
    assert found.new.b_value == 1000
    np.testing.assert_array_equal(found.new.channels[DWI].volume.array[0], made["dwi"].T)


def test_the_mask_lies_on_the_series_and_the_segmentation_says_the_same(predict, made, tmp_path, capsys):
    write_study(tmp_path / "in/study", "siemens", made)
    assert predict("in/study") == 0
    assert "DWI: series 4 (6 images, b = 1000 s/mm2, trace)" in capsys.readouterr().out
    mask = sitk.ReadImage("out/study.nii.gz")
    marked = sitk.GetArrayFromImage(mask)
    assert 0 < marked.mean() < 1
    source = {pydicom.dcmread(file).SOPInstanceUID: pydicom.dcmread(file) for file in dicom_files(tmp_path / "in")}
    seg = pydicom.dcmread("out/study_seg.dcm")
    assert seg.Modality == "SEG"
    assert seg.PatientID == "PLANTED-4711", "the standard demands it"
    frames = np.zeros_like(marked)
    pixels = seg.pixel_array.reshape(-1, *marked.shape[1:])
    for frame, item in zip(pixels, seg.PerFrameFunctionalGroupsSequence, strict=True):
        uid = item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert source[uid].SeriesNumber == 4
        position = [float(p) for p in item.PlanePositionSequence[0].ImagePositionPatient]
        assert position == pytest.approx([float(p) for p in source[uid].ImagePositionPatient])
        z = round(mask.TransformPhysicalPointToContinuousIndex(position)[2])
        assert mask.TransformPhysicalPointToContinuousIndex(position) == pytest.approx((0, 0, z), abs=1e-3)
        frames[z] = frame
    np.testing.assert_array_equal(frames, marked > 0)


def test_dicom_and_nifti_give_one_mask(predictor, made, tmp_path):
    found = predictor.predict_dicom(read_dicom_study(dicom_files(write_study(tmp_path / "dicom", "philips", made))))
    affine = np.eye(4)
    normal = np.cross(ORIENTATION[:3], ORIENTATION[3:])
    affine[:3, :3] = np.stack([ORIENTATION[:3], ORIENTATION[3:], normal], axis=1) * SPACING
    affine[:3, 3] = ORIGIN
    affine[:2] *= -1  # NIfTI's world is RAS
    for name in ("adc", "dwi"):
        write_nifti(tmp_path / f"{name}.nii.gz", made[name].astype(np.float32), affine)
    plain = predictor.predict(adc=tmp_path / "adc.nii.gz", dwi=tmp_path / "dwi.nii.gz")
    np.testing.assert_array_equal(found.mask, plain.mask)
    assert distance_mm(found.grid, plain.grid) < 1e-3


def test_nothing_names_the_patient(predict, made, tmp_path, capsys):
    write_study(tmp_path / "in/s1", "ge", made)
    write_study(tmp_path / "in/broken", "philips", made, study="1.2.3.5")
    shutil.rmtree(tmp_path / "in/broken/s4")
    assert predict("in") == 1
    said = capsys.readouterr()
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != "s1_seg.dcm"]
    assert len(files) >= 6
    for text in (said.out, said.err, *(path.read_bytes().decode("latin-1") for path in files), *map(str, files)):
        for planted in ("PLANTED", "Doe", "4711", "19480215", "0815"):
            assert planted not in text


def test_ids_are_kept_if_they_are_asked_for_and_never_printed(predict, made, tmp_path, capsys):
    write_study(tmp_path / "in", "ge", made)
    assert predict("in", "--keep-ids") == 0
    record = json.loads(Path("out/in.json").read_text())
    assert record["dicom"] == {
        "PatientID": "PLANTED-4711",
        "AccessionNumber": "PLANTED99",
        "StudyDate": "20260101",
        "StudyInstanceUID": "1.2.3.4",
        "SeriesInstanceUIDs": {"DWI": "1.2.3.4.4", "ADC": "1.2.3.4.5"},
    }
    (row,) = pd.read_csv("out/cases.csv").to_dict("records")
    assert (row["patient_id"], row["accession_number"]) == ("PLANTED-4711", "PLANTED99")
    said = capsys.readouterr()
    page = Path("out/index.html").read_text()
    for text in (said.out, said.err, page, json.dumps({**record, "dicom": None})):
        assert "PLANTED" not in text
    for text in (json.dumps(record), page, Path("out/cases.csv").read_text()):
        assert "Doe" not in text
        assert "19480215" not in text
    # The same folder does not mix records with and without them.
    assert predict("in") == 1
    assert "other settings (keep_ids)" in capsys.readouterr().err


def test_several_series_that_fit_are_an_error_that_an_option_settles(predict, made, tmp_path, capsys):
    folder = write_study(tmp_path / "in/p", "siemens", made)
    write_series(folder / "s8", made["dwi"] * 2, number=8, mark=lambda image: siemens(image, "trace", 1000))
    assert predict("in") == 1
    said = capsys.readouterr().err
    assert "2 series could be the DWI: series 4 (6 images, b = 1000 s/mm2, trace); series 8" in said
    assert "--dwi FILE" in said
    chosen = next((folder / "s8").iterdir())
    found = read_dicom_study(dicom_files(folder), chosen={DWI: chosen})
    np.testing.assert_array_equal(found.new.channels[DWI].volume.array[0], 2 * made["dwi"].T)
    shutil.rmtree(tmp_path / "out")
    assert predict("--dwi", chosen, "--adc", next((folder / "s5").iterdir())) == 0
    record = json.loads(Path("out/p.json").read_text())
    assert record["picked"][0].startswith("DWI: series 8")


def test_single_directions_are_joined(made, tmp_path):
    def directional(image) -> None:
        image.Manufacturer, image.DiffusionBValue, image.DiffusionDirectionality = "Canon", 1000.0, "DIRECTIONAL"

    for number, weight in enumerate((0.5, 1.0, 2.0)):
        write_series(tmp_path, made["dwi"] * weight, number=4, mark=directional, first=10 * number)
    found = read_dicom_study(dicom_files(tmp_path))
    mean = np.cbrt(np.prod([np.rint(made["dwi"] * weight) for weight in (0.5, 1.0, 2.0)], axis=0))
    np.testing.assert_allclose(found.new.channels[DWI].volume.array[0], mean.T, rtol=1e-6)


def test_copies_of_files_count_once_and_an_adc_is_never_averaged(made, tmp_path):
    folder = write_study(tmp_path, "siemens", made)
    shutil.copytree(folder / "s5", folder / "copies")
    plain = read_dicom_study(dicom_files(folder))
    np.testing.assert_array_equal(plain.new.channels[ADC].volume.array[0], made["adc"].T)
    write_series(folder / "s5", made["adc"], number=5, mark=lambda image: siemens(image, "adc", 0), first=50)
    with pytest.raises(ScanError, match="holds 2 images at each position"):
        read_dicom_study(dicom_files(folder))


def test_missing_slices_are_an_error(made, tmp_path):
    folder = write_study(tmp_path, "ge", made)
    images = {one.along_normal_mm: one.file for one in read_headers(dicom_files(folder)) if one.b_value == 1000}
    images[sorted(images)[2]].unlink()
    with pytest.raises(ScanError, match=r"slices of series 4 .* are missing"):
        read_dicom_study(dicom_files(folder))


def test_studies_in_folders(made, tmp_path):
    for i, patient in enumerate(("a/one", "a/two", "b")):
        write_study(tmp_path / patient, "ge", made, study=f"1.2.3.{i + 1}")
    studies = find_studies([tmp_path])
    assert [study.name for study in studies] == ["a_one", "a_two", "b"]
    assert [len(study.dicom) for study in studies] == [21, 21, 21]
    (alone,) = find_studies([tmp_path / "b"])
    assert alone.name == "b"


def test_a_folder_is_listed_once_and_each_file_looked_at_once(made, tmp_path, monkeypatch):
    for i, patient in enumerate(("h/a/one", "h/a/two", "h/b/three")):
        write_study(tmp_path / patient, "ge", made, study=f"1.2.3.{i + 1}")
    listed, looked_at = Counter(), Counter()
    scandir, is_dicom = os.scandir, dicom_headers.is_dicom
    monkeypatch.setattr(os, "scandir", lambda folder=".": (listed.update([str(folder)]), scandir(folder))[1])
    monkeypatch.setattr(dicom_headers, "is_dicom", lambda path: (looked_at.update([path]), is_dicom(path))[1])
    assert [study.name for study in find_studies([tmp_path])] == ["h_a_one", "h_a_two", "h_b"]
    assert len(listed) == 1 + 3 + 3 + 3 * 3
    assert set(listed.values()) == set(looked_at.values()) == {1}
    assert len(looked_at) == 3 * 21


def test_each_folder_of_a_mixed_tree_is_judged_by_itself(made, tmp_path):
    write_study(tmp_path / "dicom", "ge", made, study="1.2.3.1")
    write_nifti_study(tmp_path / "nifti")
    write_study(tmp_path / "patient/first", "ge", made, study="1.2.3.2")
    write_nifti_study(tmp_path / "patient/second")
    for i in (3, 4):
        write_study(tmp_path / f"deep/er/study{i}", "ge", made, study=f"1.2.3.{i}")
    write_nifti_study(tmp_path / "deep/er/nifti")
    # An image of another kind lies beside the DICOM files.
    write_study(tmp_path / "beside", "ge", made, study="1.2.3.5")
    (write_nifti_study(tmp_path / "beside") / "adc.nii.gz").unlink()
    (tmp_path / "beside/dwi.nii.gz").rename(tmp_path / "beside/t1.nii.gz")
    (tmp_path / "nothing").mkdir()
    studies = find_studies([tmp_path])
    found = {one.name: len(one.dicom) or (len(one.files.images) if one.files else 0) for one in studies}
    assert found == {
        "beside": 21,
        "deep_er_nifti": 2,
        "deep_er_study3": 21,
        "deep_er_study4": 21,
        "dicom": 21,
        "nifti": 2,
        "nothing": 0,
        "patient_first": 21,
        "patient_second": 2,
    }
    assert [one.name for one in studies if one.problem] == ["nothing"]


def test_a_link_that_leads_back_up_is_not_followed(made, tmp_path):
    write_study(tmp_path / "a/one", "ge", made)
    (tmp_path / "a/loop").symlink_to(tmp_path / "a", target_is_directory=True)
    assert [study.name for study in find_studies([tmp_path])] == [tmp_path.name]


def test_without_pydicom_the_extra_is_named(predict, made, tmp_path, monkeypatch, capsys):
    write_study(tmp_path / "in", "ge", made)
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    assert predict("in") == 1
    said = capsys.readouterr().err
    assert "pip install 'nnunetv2-mscs[dicom]'" in said
    assert "dcm2niix" in said


def test_an_enhanced_file_of_many_frames(predict, made, tmp_path):
    (tmp_path / "in").mkdir()
    write_enhanced(tmp_path / "in/IM1", made)
    found = read_dicom_study(dicom_files(tmp_path / "in"))
    for name in (B0, DWI):
        np.testing.assert_array_equal(found.new.channels[name].volume.array[0], made[name.lower()].T)
    assert "passed over: series 4 (6 images, b = 1000 s/mm2)" in found.picked
    write_study(tmp_path / "classic", "philips", made, adc=False)
    classic = read_dicom_study(dicom_files(tmp_path / "classic"))
    assert distance_mm(found.new.channels[DWI].volume.grid, classic.new.channels[DWI].volume.grid) < 1e-3
    assert predict("in") == 0
    seg = pydicom.dcmread("out/in_seg.dcm")
    marked = sitk.GetArrayFromImage(sitk.ReadImage("out/in.nii.gz")) > 0
    positions = [item.PlanePositionSequence[0].ImagePositionPatient for item in seg.PerFrameFunctionalGroupsSequence]
    heights = np.argsort(np.argsort([float(position[2]) for position in positions]))
    kept = marked[marked.any(axis=(1, 2))]
    np.testing.assert_array_equal(seg.pixel_array.reshape(-1, *marked.shape[1:]), kept[heights])


@pytest.fixture
def dcm2niix(monkeypatch, tmp_path) -> Path:
    """The folder for temporary files, which has to be empty afterwards; skips without dcm2niix."""
    if importlib.util.find_spec("dcm2niix") is None and not shutil.which("dcm2niix"):
        pytest.skip("dcm2niix is not installed")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


@pytest.mark.parametrize("directions", [0, 3])
def test_mosaics_are_unpacked(directions, made, tmp_path, dcm2niix):
    found = read_dicom_study(dicom_files(write_mosaics(tmp_path / "in", made, directions=directions)))
    many = "3 mosaics, b = 1000 s/mm2" if directions else "1 mosaic, b = 1000 s/mm2, trace"
    assert found.picked[:2] == [f"DWI: series 4 ({many})", "ADC: series 5 (1 mosaic, ADC)"]
    classic = read_dicom_study(dicom_files(write_study(tmp_path / "classic", "siemens", made))).new.channels
    weights = (0.8, 1.0, 1.2) if directions else (1.0,)
    mean = np.prod([np.rint(made["dwi"] * weight) for weight in weights], axis=0) ** (1 / len(weights))
    for name, expected in ((DWI, mean), (ADC, made["adc"])):
        unpacked = found.new.channels[name].volume
        array, grid = turn(unpacked.array, unpacked.grid, classic[name].volume.grid)
        np.testing.assert_allclose(array[0], expected.T, rtol=1e-6)
        assert distance_mm(grid, classic[name].volume.grid) < 1e-3
    assert not any(dcm2niix.iterdir())


def test_the_segmentation_of_a_mosaic(predict, made, tmp_path, dcm2niix):
    abandoned = dcm2niix / ".mscs-mosaic-of-a-killed-run"
    abandoned.mkdir()
    (abandoned / "lock").touch()
    write_mosaics(tmp_path / "in", made)
    assert predict("in") == 0
    assert not any(dcm2niix.iterdir())
    mask, seg = sitk.ReadImage("out/in.nii.gz"), pydicom.dcmread("out/in_seg.dcm")
    marked = sitk.GetArrayFromImage(mask) > 0
    frames = np.zeros_like(marked)
    pixels = seg.pixel_array.reshape(-1, *marked.shape[1:])
    for frame, item in zip(pixels, seg.PerFrameFunctionalGroupsSequence, strict=True):
        index = mask.TransformPhysicalPointToContinuousIndex(item.PlanePositionSequence[0].ImagePositionPatient)
        assert index == pytest.approx((0, 0, round(index[2])), abs=1e-3)
        frames[round(index[2])] = frame
    np.testing.assert_array_equal(frames, marked)
    orientation = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    columns = np.reshape(mask.GetDirection(), (3, 3)).T
    assert list(orientation) == pytest.approx([*columns[0], *columns[1]], abs=1e-5)


def test_mosaics_without_dcm2niix_name_the_extra(made, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dcm2niix", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ScanError, match="mosaics, which dcm2niix unpacks; it is not installed") as caught:
        read_dicom_study(dicom_files(write_mosaics(tmp_path / "in", made)))
    assert "nnunetv2-mscs[dicom]" in caught.value.remedy


def test_a_mosaic_without_its_private_tags_is_refused(made, tmp_path, dcm2niix):
    folder = write_mosaics(tmp_path / "in", made)
    for file in dicom_files(folder / "s4"):
        image = pydicom.dcmread(file)
        image.remove_private_tags()
        image.save_as(file)
    with pytest.raises(ScanError, match="dcm2niix"):
        read_dicom_study(dicom_files(folder))
    assert not any(dcm2niix.iterdir())


def test_the_record_says_what_was_picked(predict, made, tmp_path):
    write_study(tmp_path / "in", "philips", made)
    assert predict("in") == 0
    record = json.loads(Path("out/in.json").read_text())
    assert record["picked"][0] == "DWI: series 4 (6 images, b = 1000 s/mm2, trace)"
    assert "passed over: series 4 (18 images, b = 1000 s/mm2)" in record["picked"]
    assert dicom_headers.EXTRA not in json.dumps(record)
