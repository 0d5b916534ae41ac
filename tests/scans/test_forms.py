"""Files whose qform and sform contradict each other are settled by the case as a whole, or refused."""

from pathlib import Path

import numpy as np
import pytest

from nnunetv2_mscs.scans.channels import ReadingRules, ScanFiles
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.forms import Placed, settle_forms
from nnunetv2_mscs.scans.grid import distance_mm
from nnunetv2_mscs.scans.reading import read_volume
from nnunetv2_mscs.scans.scan import load_scan
from tests.dataset_conversion.conftest import AFFINE, make_phantom
from tests.stored_scans import along, mirrored, moved, oblique, write_nifti

PHANTOM = make_phantom(3, radius=2)
SHAPE = PHANTOM.mask.shape
TILTED = oblique(AFFINE, 12, -7, 20)
FAR = moved(AFFINE, 20, 0, 0)
OTHER = {
    "sform moved": {"sform": FAR},
    "qform moved": {"qform": FAR},
    "sform in the other hemisphere": {"sform": np.diag([-1.0, 1, 1, 1]) @ AFFINE},
    "qform tilted": {"qform": TILTED},
    "sform of other voxels": {"sform": np.eye(4)},
    "sform along other axes": {"sform": AFFINE[:, [1, 0, 2, 3]] @ np.diag([1.0, 1, 1, 1])},
}
FILES = ("adc", "dwi", "mask")


def write_case(folder: Path, ending: str = ".nii", **forms: dict) -> ScanFiles:
    """A case whose files have other forms than AFFINE where given."""
    arrays = {"adc": PHANTOM.adc, "dwi": PHANTOM.dwi, "mask": PHANTOM.mask}
    files = {
        name: write_nifti(folder / f"{name}{ending}", array, AFFINE, **forms.get(name, {}))
        for name, array in arrays.items()
    }
    return ScanFiles({"ADC": files["adc"], "DWI": files["dwi"]}, files["mask"])


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("other", OTHER)
def test_the_form_that_brings_the_case_together_is_taken_and_said(tmp_path, file, other):
    scan, findings = load_scan(write_case(tmp_path, **{file: OTHER[other]}), ReadingRules())
    plain, _ = load_scan(write_case(tmp_path / "plain"), ReadingRules())
    assert scan is not None, findings
    assert plain is not None
    assert distance_mm(scan.grid, plain.grid) < 0.01
    np.testing.assert_array_equal(scan.labels, plain.labels)
    for name, channel in plain.channels.items():
        np.testing.assert_array_equal(scan.channels[name], channel)
    right = "sform" if "qform" in OTHER[other] else "qform"
    said = [
        item for item in findings if f"the {right} was used, which brings DWI, ADC and mask together" in item.finding
    ]
    assert [(item.severity, Path(item.file).stem) for item in said] == [("warning", file)]


def test_two_files_that_contradict_themselves_are_settled_by_the_third(tmp_path):
    scan, findings = load_scan(write_case(tmp_path, adc={"qform": FAR}, dwi={"sform": TILTED}), ReadingRules())
    assert scan is not None, findings
    assert sum("was used" in item.finding for item in findings) == 2


REFUSED = {
    "every file in two places": ({name: {"sform": FAR} for name in FILES}, "dwi", "either brings DWI, ADC and mask"),
    "every file in both hemispheres": (
        {name: {"qform": mirrored(AFFINE, SHAPE)} for name in FILES},
        "dwi",
        "either brings DWI, ADC and mask",
    ),
    "a mask mirrored in its own place": ({"mask": {"sform": mirrored(AFFINE, SHAPE)}}, "mask", "either brings"),
    "two others that disagree": (
        {"dwi": {"sform": FAR}, "adc": {"sform": FAR, "qform": FAR}},
        "dwi",
        "no choice of one brings DWI, ADC and mask together",
    ),
    "a mask that is elsewhere in both": ({"mask": {"sform": FAR, "qform": TILTED}}, "mask", "no choice of one brings"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_none_or_several_is_refused_by_the_file_and_both_forms(tmp_path, what):
    forms, file, reason = REFUSED[what]
    scan, findings = load_scan(write_case(tmp_path, **forms), ReadingRules())
    assert scan is None
    (error,) = [item for item in findings if item.severity == "error"]
    assert Path(error.file).stem == file
    assert "its qform and sform contradict each other by up to" in error.finding
    assert reason in error.finding


def test_forms_of_one_file_alone_settle_nothing(tmp_path):
    path = write_nifti(tmp_path / "dwi.nii", PHANTOM.dwi, AFFINE, sform=FAR)
    with pytest.raises(ScanError, match=r"contradict each other .*sform.*qform.*nothing says which is right"):
        settle_forms({"DWI": Placed(path, read_volume(path))})


def test_forms_less_than_a_voxel_apart_are_said_and_the_usual_one_is_used(tmp_path):
    near = {name: {"qform": moved(AFFINE, 0.6, 0, 0)} for name in FILES}
    scan, findings = load_scan(write_case(tmp_path, **near), ReadingRules())
    assert scan is not None
    assert {item.finding for item in findings} == {
        "the header's qform and sform differ by up to 0.6 mm; the sform was used"
    }


def test_a_case_mirrored_in_storage_needs_no_form(tmp_path):
    files = write_case(tmp_path, adc={"qform": FAR})
    array, affine = along(PHANTOM.mask, AFFINE, "ASR")
    write_nifti(files.mask, array, affine, qform=moved(affine, 0, 30, 0))
    scan, _ = load_scan(files, ReadingRules())
    plain, _ = load_scan(write_case(tmp_path / "plain"), ReadingRules())
    assert scan is not None
    assert plain is not None
    np.testing.assert_array_equal(scan.labels, plain.labels)


QUATERNIONS = {"rounded": 1.00001, "a little more": 1.001, "less": 1 - 1e-7}


@pytest.mark.parametrize("codes", [(0, 1), (1, 1), (2, 4)], ids=["qform alone", "beside an sform", "other codes"])
@pytest.mark.parametrize("what", QUATERNIONS)
@pytest.mark.parametrize("axes", ["LPS", "LAI", "RPI", "ARI", "SPL"])
def test_quaternions_that_square_to_a_little_more_than_1_are_read(tmp_path, codes, what, axes):
    """All these axes are half a turn away from RAS, or mirrored: the quaternion has no real part."""
    array, affine = along(PHANTOM.adc, AFFINE, axes)
    for name in ("a.nii", "a.nii.gz"):
        path = write_nifti(tmp_path / name, array, affine, codes=codes, quaternion_square=QUATERNIONS[what])
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.array[0].T, array)
        assert volume.warnings == []
        assert settle_forms({"ADC": Placed(path, volume)}) == []
        assert volume.grid.axes == axes
        path.unlink()


def test_a_quaternion_that_is_no_rotation_is_refused_or_left_aside(tmp_path):
    path = write_nifti(tmp_path / "a.nii", PHANTOM.adc, AFFINE, codes=(0, 1), quaternion_square=1.5)
    with pytest.raises(ScanError, match="quaternion that is no rotation"):
        read_volume(path)
    path = write_nifti(tmp_path / "b.nii", PHANTOM.adc, AFFINE, quaternion_square=1.5)
    assert read_volume(path).warnings == [
        "its qform holds a quaternion that is no rotation (it squares to 1.5): the sform was used"
    ]
