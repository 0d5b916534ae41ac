"""Headers that contradict themselves never give a wrong voxel size in silence."""

import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.reading import read_volume

AFFINE = np.diag([4.0, 4.0, 6.0, 1.0])


def save(path: Path, *, sform: np.ndarray | None, qform: np.ndarray | None) -> Path:
    image = nibabel.Nifti1Image(np.random.default_rng(0).normal(100, 20, (7, 6, 5)).astype(np.float32), AFFINE)
    image.set_qform(qform, 1 if qform is not None else 0)
    image.set_sform(sform, 1 if sform is not None else 0)
    nibabel.save(image, path)
    return path


def set_pixdim(path: Path, *sizes: float) -> Path:
    content = bytearray(path.read_bytes())
    struct.pack_into("<3f", content, 80, *sizes)
    path.write_bytes(bytes(content))
    return path


def test_an_sform_that_scales_otherwise_than_pixdim_is_an_error(tmp_path):
    path = set_pixdim(save(tmp_path / "scan.nii", sform=AFFINE, qform=None), 1, 1, 1)
    assert sitk.ReadImage(str(path)).GetSpacing() == (1, 1, 1), "ITK goes by pixdim"
    assert nibabel.affines.voxel_sizes(nibabel.load(path).affine) == pytest.approx([4, 4, 6])
    with pytest.raises(ScanError, match=r"two voxel sizes.* 1 x 1 x 1 mm \(pixdim\), 4 x 4 x 6 mm \(sform\)") as caught:
        read_volume(path)
    assert caught.value.file == str(path)


def test_rounding_between_sform_and_pixdim_is_none(tmp_path):
    path = set_pixdim(save(tmp_path / "scan.nii", sform=AFFINE, qform=None), 4.01, 4, 6)
    assert read_volume(path).warnings == []


@pytest.mark.parametrize("affine", [{"sform": AFFINE, "qform": AFFINE}, {"sform": None, "qform": AFFINE}])
def test_headers_in_order_are_silent(tmp_path, affine):
    assert read_volume(save(tmp_path / "scan.nii", **affine)).warnings == []


def test_contradicting_forms_are_kept_for_the_case_to_settle(tmp_path):
    moved = AFFINE.copy()
    moved[:3, 3] = 10
    path = save(tmp_path / "scan.nii", sform=AFFINE, qform=moved)
    volume = read_volume(path)
    assert volume.warnings == []
    assert [(form, grid.origin) for form, grid in volume.forms] == [("sform", (0, 0, 0)), ("qform", (-10, -10, 10))]
    assert sitk.ReadImage(str(path)).GetOrigin() == (0, 0, 0)


def test_a_form_that_is_no_rectangular_grid_is_left_aside_and_that_is_told(tmp_path):
    moved = AFFINE.copy()
    moved[:3, 3] = 10
    stretched = AFFINE @ np.diag([1.2, 1.1, 1.0, 1.0])
    stretched[0, 1] = 1.5
    path = save(tmp_path / "standard.nii", sform=stretched, qform=moved)
    volume = read_volume(path)
    assert volume.grid.spacing == pytest.approx((4, 4, 6))
    assert volume.forms == ()
    assert volume.warnings[0].endswith("the qform was used")
