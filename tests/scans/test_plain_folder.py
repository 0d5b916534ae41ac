"""New scans are handed to nnU-Net so that it reads what we read, or refused before it starts."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.scans.plain_folder import plain_scans
from tests.scans.test_nifti import ARITHMETIC, STORED, mgh, write


def test_sound_scans_are_handed_on_as_they_are(tmp_path):
    write(tmp_path / "new/a_0000.nii.gz")
    (tmp_path / "new/dataset.json").write_text("{}")
    assert plain_scans(tmp_path / "new", tmp_path / "plain") == tmp_path / "new"
    assert not (tmp_path / "plain").exists()


@pytest.mark.parametrize("kind", ["slope 0 beside 5", "voxels at 0", "intercept NaN", "metres"])
def test_odd_headers_are_written_anew_beside_links_to_the_others(tmp_path, kind):
    write(tmp_path / "new/a_0000.nii.gz")
    if kind == "metres":
        write(tmp_path / "new/a_0001.nii.gz", affine=np.diag([3e-3, 3e-3, 5e-3, 1]), xyzt_units=1)
    else:
        write(tmp_path / "new/a_0001.nii.gz", **ARITHMETIC[kind][0])
    folder = plain_scans(tmp_path / "new", tmp_path / "plain")
    assert sorted(path.name for path in folder.iterdir()) == ["a_0000.nii.gz", "a_0001.nii.gz"]
    assert (folder / "a_0000.nii.gz").is_symlink()
    image = sitk.ReadImage(str(folder / "a_0001.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).transpose(2, 1, 0), STORED)
    assert image.GetSpacing() == pytest.approx((3, 3, 5))


def test_other_formats_are_written_as_nifti(tmp_path):
    (tmp_path / "new").mkdir()
    mgh(tmp_path / "new/a_0000.mgz")
    [written] = plain_scans(tmp_path / "new", tmp_path / "plain").iterdir()
    assert written.name == "a_0000.nii.gz"
    np.testing.assert_array_equal(np.asanyarray(nibabel.load(written).dataobj), STORED)


def test_what_cannot_be_read_is_named(tmp_path):
    write(tmp_path / "new/a_0000.nii.gz")
    (tmp_path / "new/a_0001.nii.gz").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    with pytest.raises(MscsError, match=r"a_0001\.nii\.gz is a Git LFS pointer.*git lfs pull"):
        plain_scans(tmp_path / "new", tmp_path / "plain")
    assert not (tmp_path / "plain").exists()
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom/IM1").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(MscsError, match=r"holds no scans.*DICOM.*dcm2niix"):
        plain_scans(tmp_path / "dicom", tmp_path / "plain")
