"""Damage that ITK reads over - checksums, lengths, names, headers - is an error that names the file."""

import bz2
import gzip
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.intact import check_intact
from nnunetv2_mscs.scans.reading import read_volume

SHAPE_XYZ = (10, 9, 8)


@pytest.fixture
def array() -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, SHAPE_XYZ).astype(np.float32)


def write(array: np.ndarray, path: Path, *, compressed: bool = True) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0))), str(path), compressed)
    return path


def replace(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    return path


def edit_header(path: Path, offset: int, packed: bytes) -> Path:
    content = bytearray(path.read_bytes())
    content[offset : offset + len(packed)] = packed
    path.write_bytes(bytes(content))
    return path


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
def test_one_damaged_byte_of_compressed_voxels_is_an_error(tmp_path, array, ending):
    path = write(array, tmp_path / f"scan{ending}")
    np.testing.assert_array_equal(read_volume(path).array[0].transpose(2, 1, 0), array)
    whole = path.read_bytes()
    read_by_itk = 0
    for position in range(len(whole) - 1000, len(whole), 100):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        with pytest.raises(ScanError, match="damaged or truncated") as caught:
            read_volume(path)
        assert caught.value.file == str(path)
        try:
            sitk.ReadImage(str(path))
            read_by_itk += 1
        except RuntimeError:
            pass
    assert read_by_itk > 0


def test_bzip2_voxels_are_checked_too(tmp_path, array):
    path = write(array, tmp_path / "scan.nrrd", compressed=False)
    header, voxels = path.read_bytes().split(b"\n\n", 1)
    packed = bytearray(bz2.compress(voxels))
    packed[len(packed) // 2] ^= 0xFF
    path.write_bytes(header.replace(b"encoding: raw", b"encoding: bzip2") + b"\n\n" + bytes(packed))
    with pytest.raises(ScanError, match="damaged or truncated"):
        check_intact(path)


def test_voxels_more_or_fewer_than_the_header_tells_are_an_error(tmp_path, array):
    for compressed in (True, False):
        path = write(array, tmp_path / "scan.mha", compressed=compressed)
        with pytest.raises(ScanError, match=r"holds 2880 bytes of voxels, its header says 2520"):
            read_volume(replace(path, b"DimSize = 10 9 8", b"DimSize = 10 9 7"))
    path = write(array, tmp_path / "scan.nrrd")
    with pytest.raises(ScanError, match=r"holds 2880 bytes of voxels, its header says 2304"):
        read_volume(replace(path, b"sizes: 10 9 8", b"sizes: 8 9 8"))


def test_a_compressed_mha_file_that_does_not_tell_its_size_is_an_error(tmp_path, array):
    path = replace(write(array, tmp_path / "scan.mha"), b"CompressedDataSize", b"CompressedDataSixe")
    with pytest.raises(ScanError, match="CompressedDataSize"):
        read_volume(path)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("scan.mha", b"= LOCAL\n", b"= voxels.raw\n"), ("scan.nrrd", b"encoding:", b"data file: voxels.raw\nencoding:")],
)
def test_voxels_in_another_file_are_refused(tmp_path, array, name, old, new):
    path = replace(write(array, tmp_path / name), old, new)
    with pytest.raises(ScanError, match=r"another file \(voxels.raw\)"):
        read_volume(path)


def test_names_that_say_wrongly_whether_a_file_is_compressed(tmp_path, array):
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "plain.nii")
    plain = (tmp_path / "plain.nii").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(plain)
    (tmp_path / "b.nii").write_bytes(gzip.compress(plain))
    with pytest.raises(ScanError, match=r"is not gzip-compressed, though its name ends in \.nii\.gz"):
        read_volume(tmp_path / "a.nii.gz")
    with pytest.raises(ScanError, match=r"is gzip-compressed, though its name ends in \.nii"):
        read_volume(tmp_path / "b.nii")


def test_a_file_that_itk_passes_over_for_its_neighbour_is_an_error(tmp_path, array):
    for name, image in (("scan.nii.gz", array), ("scan.nii", array + 1)):
        nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), tmp_path / name)
    itk = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "scan.nii.gz"))).transpose(2, 1, 0)
    np.testing.assert_array_equal(itk, array + 1)
    with pytest.raises(ScanError, match=r"beside scan\.nii, which ITK reads in its place"):
        read_volume(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "scan.nii").array[0].transpose(2, 1, 0), array + 1)


def test_every_failure_to_read_names_the_file(tmp_path, array):
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "type.nii")
    edit_header(tmp_path / "type.nii", 70, struct.pack("<h", 14))
    write(array[..., 0:1], tmp_path / "slice.nii.gz")
    sitk.WriteImage(sitk.GetImageFromArray(array[..., 0]), str(tmp_path / "slice.nii.gz"))
    np.save(tmp_path / "header.npy", array)
    replace(tmp_path / "header.npy", b"(10, 9, 8)", b"(10, 9, 8 ")
    write(array, tmp_path / "cut.mha", compressed=False)
    (tmp_path / "cut.mha").write_bytes((tmp_path / "cut.mha").read_bytes()[:-500])
    found = {}
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(ScanError) as caught:
            read_volume(path)
        assert caught.value.file == str(path)
        found[path.name] = caught.value.finding
    assert len(found) == 4
    assert found["type.nii"] == "is damaged, truncated or not NIfTI: data code 14 not recognized"
    assert "has 2 dimensions" in found["slice.nii.gz"]
    assert "0x" not in found["cut.mha"]
    assert "No such file" not in found["cut.mha"]


def test_what_no_list_of_exceptions_foresees_names_the_file_too(tmp_path, array, monkeypatch):
    def fail(*_, **__):
        raise LookupError("a parser's own trouble")

    np.save(tmp_path / "scan.npy", array)
    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(ScanError, match="cannot be read: a parser's own trouble") as caught:
        read_volume(tmp_path / "scan.npy")
    assert caught.value.file == str(tmp_path / "scan.npy")
