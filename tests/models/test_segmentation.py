"""The DICOM segmentation as dcmqi reads it and as dciodvfy judges it: programs that share no code with ours."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

from nnunetv2_mscs.models.segmentation import write_segmentation
from nnunetv2_mscs.scans.channels import DWI
from nnunetv2_mscs.scans.dicom_headers import dicom_files
from nnunetv2_mscs.scans.dicom_study import DicomScan, read_dicom_study
from nnunetv2_mscs.scans.writing import write_volume
from tests.models import dicom_files as written
from tests.models.new_scans import scan

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
OBLIQUE = written.ORIENTATION
# Which slices hold lesion: together, apart, alone at an end, none.
SLICES = {"together": (2, 3), "apart": (1, 4), "alone": (5,), "empty": ()}


def program(name: str) -> str:
    """A program of the extra `test`, beside Python or on the PATH."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def run(*words) -> str:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module", params=["axial", "oblique", "mosaic"])
def study(request, tmp_path_factory) -> DicomScan:
    if request.param == "mosaic":
        program("dcm2niix")
    made = {name: np.rint(np.maximum(array[:, ::-1], 0)) for name, array in scan().items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(written, "ORIENTATION", AXIAL if request.param == "axial" else OBLIQUE)
        folder = tmp_path_factory.mktemp("study")
        if request.param == "mosaic":
            written.write_mosaics(folder, made)
        else:
            written.write_study(folder, "siemens", made)
    return read_dicom_study(dicom_files(folder))


@pytest.fixture(params=SLICES)
def mask(request, study) -> np.ndarray:
    """(Z, Y, X), unlike itself in any mirror."""
    mask = np.zeros(study.new.channels[DWI].volume.array.shape[1:], np.uint8)
    for z in SLICES[request.param]:
        mask[z, 5:9, 4 + z : 9 + z] = mask[z, 15, 3] = 1
    return mask


def test_dcmqi_reads_the_mask_where_the_nifti_has_it_and_dciodvfy_finds_no_error(study, mask, tmp_path):
    grid = study.new.channels[DWI].volume.grid
    write_segmentation(mask, grid, study.dwi_images, tmp_path / "seg.dcm")
    write_volume(mask, grid, tmp_path / "mask.nii.gz")
    reader = program("segimage2itkimage")
    run(reader, "--inputDICOM", tmp_path / "seg.dcm", "--outputDirectory", tmp_path, "-t", "nifti")
    own, theirs = (sitk.ReadImage(str(tmp_path / name)) for name in ("mask.nii.gz", "1.nii.gz"))
    assert theirs.GetSpacing() == pytest.approx(own.GetSpacing(), abs=1e-4)
    # It counts slices along the normal of rows and columns; the NIfTI of a mosaic counts them the other way.
    parallel = np.abs(np.reshape(theirs.GetDirection(), (3, 3)).T @ np.reshape(own.GetDirection(), (3, 3)))
    np.testing.assert_allclose(parallel, np.eye(3), atol=1e-5)
    # It leaves out slices before and after the lesion: the first of its voxels is one of ours, and in its place.
    first = own.TransformPhysicalPointToContinuousIndex(theirs.GetOrigin())
    assert first == pytest.approx(np.rint(first), abs=1e-3)
    placed = sitk.Resample(theirs, own, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(placed) > 0, mask > 0)
    (segment,) = json.loads((tmp_path / "meta.json").read_text())["segmentAttributes"][0]
    assert segment["SegmentedPropertyTypeCodeSequence"]["CodeMeaning"] == "Infarct"
    assert segment["SegmentAlgorithmType"] == "AUTOMATIC"
    assert segment["SegmentAlgorithmName"] == "nnunetv2-mscs"
    red, green, blue = segment["recommendedDisplayRGBValue"]
    assert red > green > blue
    said = run(program("dciodvfy"), tmp_path / "seg.dcm")
    assert said.split() == ["Segmentation"], "the name of what it is, and neither error nor warning"
