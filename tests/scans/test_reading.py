"""Every format gives the same voxels on the same grid, and damaged files are never read in silence."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.intact import check_intact
from nnunetv2_mscs.scans.reading import read_volume

SHAPE_XYZ = (7, 6, 5)
SPACING = (1.5, 2.0, 4.0)


@pytest.fixture
def array() -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, SHAPE_XYZ).astype(np.float32)


def save_nifti(array: np.ndarray, path: Path, affine: np.ndarray | None = None) -> Path:
    nibabel.save(nibabel.Nifti1Image(array, np.diag([*SPACING, 1.0]) if affine is None else affine), path)
    return path


def save_itk(array: np.ndarray, path: Path, *, is_vector: bool = False) -> Path:
    axes = (2, 1, 0, 3)[: array.ndim]
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(axes)), isVector=is_vector)
    image.SetSpacing(SPACING)
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".npy", ".npz"])
def test_nifti_and_arrays_give_the_same_voxels(tmp_path, array, ending):
    path = tmp_path / f"scan{ending}"
    if ending == ".npy":
        np.save(path, array)
    elif ending == ".npz":
        np.savez_compressed(path, anything=array)
    else:
        save_nifti(array, path)
    volume = read_volume(path, spacing=SPACING)
    np.testing.assert_array_equal(volume.array[0].transpose(2, 1, 0), array)
    assert volume.grid.size == SHAPE_XYZ
    assert volume.grid.spacing == pytest.approx(SPACING)
    assert volume.has_geometry == (ending not in (".npy", ".npz"))


def test_channels_last_first_and_vectors_are_the_same(tmp_path, array):
    both = np.stack([array, array + 1000], axis=-1)
    np.save(tmp_path / "last.npy", both)
    np.save(tmp_path / "first.npy", np.moveaxis(both, -1, 0))
    np.savez(tmp_path / "named.npz", DWI=array + 1000, adc=array)
    paths = [tmp_path / name for name in ("last.npy", "first.npy", "named.npz")]
    paths += [save_nifti(both, tmp_path / "four.nii.gz"), save_nifti(both[..., None, :], tmp_path / "five.nii.gz")]
    paths += [save_itk(both, tmp_path / f"vector{e}", is_vector=True) for e in (".nrrd", ".mha", ".nii.gz")]
    for path in paths:
        volume = read_volume(path, spacing=SPACING)
        np.testing.assert_array_equal(volume.array.transpose(0, 3, 2, 1), np.moveaxis(both, -1, 0), err_msg=path.name)


def test_scaled_integers_and_a_single_trailing_volume(tmp_path, array):
    image = nibabel.Nifti1Image(array[..., None], np.diag([*SPACING, 1.0]))
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "scaled.nii.gz")
    assert nibabel.load(tmp_path / "scaled.nii.gz").dataobj.slope != 1
    volume = read_volume(tmp_path / "scaled.nii.gz")
    assert volume.array.shape == (1, *SHAPE_XYZ[::-1])
    np.testing.assert_allclose(volume.array[0].transpose(2, 1, 0), array, atol=0.01)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".mha", ".nrrd", ".npy", ".npz"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_a_truncated_file_is_an_error(tmp_path, array, ending, share):
    path = tmp_path / f"scan{ending}"
    if ending in (".npy", ".npz"):
        (np.save if ending == ".npy" else np.savez)(path, array)
    else:
        save_itk(array, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ScanError) as caught:
        read_volume(path, spacing=SPACING)
    assert caught.value.file == str(path)


def test_damage_inside_a_compressed_file_is_an_error(tmp_path, array):
    path = save_nifti(array, tmp_path / "scan.nii.gz")
    content = bytearray(gzip.decompress(path.read_bytes()))
    packed = bytearray(gzip.compress(bytes(content)))
    packed[len(packed) // 2] ^= 0xFF
    path.write_bytes(bytes(packed))
    with pytest.raises(ScanError, match="damaged"):
        check_intact(path)


def test_a_voxel_size_of_zero_is_an_error_though_itk_reads_it_as_one(tmp_path, array):
    path = save_nifti(array, tmp_path / "scan.nii")
    content = bytearray(path.read_bytes())
    content[88:92] = np.float32(0).tobytes()
    path.write_bytes(bytes(content))
    assert sitk.ReadImage(str(path)).GetSpacing()[2] == 1.0
    with pytest.raises(ScanError, match=r"impossible voxel size of 1\.5 x 2 x 0 mm"):
        read_volume(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_values_that_are_no_numbers_are_an_error_though_itk_reads_them_as_zero(tmp_path, array, value, ending):
    array[1, 2, 3] = value
    path = save_nifti(array, tmp_path / f"scan{ending}")
    assert np.isfinite(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))).all()
    with pytest.raises(ScanError, match="holds 1 NaN or infinite values"):
        read_volume(path)


@pytest.mark.parametrize("shape", [(7, 6), (7, 6, 5, 2, 3), (40, 41, 42, 43)])
def test_shapes_that_are_no_scan(tmp_path, shape):
    np.save(tmp_path / "scan.npy", np.zeros(shape, np.float32))
    with pytest.raises(ScanError, match=r"has shape \("):
        read_volume(tmp_path / "scan.npy", spacing=SPACING)


@pytest.mark.parametrize(
    ("shape", "channels", "size"),
    [
        ((24, 20, 12), 1, (24, 20, 12)),
        ((24, 20, 1), 1, (24, 20, 1)),
        ((24, 20, 12, 1), 1, (24, 20, 12)),
        ((24, 20, 1, 2), 2, (24, 20, 1)),
        ((24, 20, 2, 2), 2, (24, 20, 2)),
        ((2, 24, 20, 1), 2, (24, 20, 1)),
        ((2, 24, 20, 2), 2, (24, 20, 2)),
        ((3, 24, 20, 2), 3, (24, 20, 2)),
        ((1, 24, 20, 1), 1, (24, 20, 1)),
        ((2, 24, 20, 12), 2, (24, 20, 12)),
    ],
)
def test_channels_of_thin_arrays_are_told_from_slices(tmp_path, shape, channels, size):
    np.save(tmp_path / "scan.npy", np.zeros(shape, np.float32))
    volume = read_volume(tmp_path / "scan.npy", spacing=SPACING)
    assert (len(volume.array), volume.grid.size) == (channels, size)


@pytest.mark.parametrize("shape", [(24, 20, 2), (24, 20, 3), (2, 24, 20), (1, 24, 20), (3, 24, 20), (6, 24, 20, 1)])
def test_arrays_that_may_be_slices_or_channels_are_refused(tmp_path, shape):
    np.save(tmp_path / "scan.npy", np.zeros(shape, np.float32))
    with pytest.raises(ScanError, match=r"has shape \(") as caught:
        read_volume(tmp_path / "scan.npy", spacing=SPACING)
    assert "(x, y, z, channels)" in caught.value.remedy


def test_slices_objects_and_unnamed_arrays_are_errors(tmp_path, array):
    with pytest.raises(ScanError, match="has 2 dimensions"):
        read_volume(save_nifti(array[..., 0], tmp_path / "slice.nii.gz"))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(ScanError, match="cannot be read"):
        read_volume(tmp_path / "objects.npy", spacing=SPACING)
    np.savez(tmp_path / "many.npz", first=array, second=array)
    with pytest.raises(ScanError, match="several arrays: first, second"):
        read_volume(tmp_path / "many.npz", spacing=SPACING)
    np.save(tmp_path / "complex.npy", array.astype(np.complex64))
    with pytest.raises(ScanError, match="complex64"):
        read_volume(tmp_path / "complex.npy", spacing=SPACING)


def test_slightly_skewed_axes_are_straightened_and_skewed_ones_refused(tmp_path, array):
    affine = np.diag([*SPACING, 1.0])
    affine[0, 1] = 0.05
    image = nibabel.Nifti1Image(array, None)
    image.set_sform(affine, 1)
    image.set_qform(None, 0)
    nibabel.save(image, tmp_path / "skewed.nii.gz")
    with pytest.raises(RuntimeError, match="orthonormal"):
        sitk.ReadImage(str(tmp_path / "skewed.nii.gz"))
    volume = read_volume(tmp_path / "skewed.nii.gz")
    np.testing.assert_array_equal(volume.array[0].transpose(2, 1, 0), array)
    assert any("not quite perpendicular" in warning for warning in volume.warnings)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    corner = lps @ [6, 5, 4, 1]
    ours = np.array(volume.grid.origin) + volume.grid.matrix @ (np.array([6, 5, 4]) * volume.grid.spacing)
    np.testing.assert_allclose(ours, corner[:3], atol=0.3)

    affine[0, 1] = 1.0
    image.set_sform(affine, 1)
    nibabel.save(image, tmp_path / "oblique.nii.gz")
    with pytest.raises(ScanError, match="not perpendicular"):
        read_volume(tmp_path / "oblique.nii.gz")


def test_a_header_without_orientation_is_told(tmp_path, array):
    image = nibabel.Nifti1Image(array, np.diag([*SPACING, 1.0]))
    image.set_qform(None, 0)
    image.set_sform(None, 0)
    nibabel.save(image, tmp_path / "none.nii.gz")
    assert any("no orientation" in w for w in read_volume(tmp_path / "none.nii.gz").warnings)
