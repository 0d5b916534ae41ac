"""Files that are no scan, or another one than their name says: what they really are, and advice that works."""

import bz2
import gzip
import io
import lzma
import re
import subprocess
import tarfile
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.formats import ENDINGS, unread_files
from nnunetv2_mscs.scans.reading import read_volume

ARRAY = np.random.default_rng(0).normal(100, 20, (7, 6, 5)).astype(np.float32)
NIFTI = nibabel.Nifti1Image(ARRAY, np.diag([3.0, 3, 5, 1])).to_bytes()
DICOM = bytes(128) + b"DICM\x02\x00\x00\x00UL\x04\x00" + bytes(500)
LFS = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def as_tar(content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo("scan.nii")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def as_zip(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("scan.nii", content)
    return stream.getvalue()


# What a file holds, what is said of it, and what to do.
FOREIGN = {
    "Git LFS pointer": (LFS, "is a Git LFS pointer", "git lfs pull"),
    "git-annex pointer": (b"/annex/objects/MD5E-s123--d41d8cd98f.nii.gz\n", "is a git-annex pointer", "datalad get"),
    "web page": (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "is a web page", "Download"),
    "web page of old": (b"\n<HTML><HEAD><TITLE>404</TITLE></HEAD></HTML>", "is a web page", "Download"),
    "XHTML": (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x">\n<html>', "is a web page", "Download"),
    "JSON": (b'{"message": "Not Found"}', r"is text, not .*: it begins with '{\"message\"", "Copy or export"),
    "text": ("Datei nicht gefunden: Schädel\n".encode(), "is text, not .*Datei nicht gefunden", "Copy or export"),
    "DICOM": (DICOM, "is DICOM", "dcm2niix"),
    "zip": (as_zip(NIFTI), "is a zip", "Unpack"),
    "tar": (as_tar(NIFTI), "is a tar archive", "Unpack"),
    "bzip2": (bz2.compress(NIFTI), "is bzip2-compressed", "bunzip2"),
    "xz": (lzma.compress(NIFTI), "is xz-compressed", "unxz"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "is HDF5", "Export"),
    "MATLAB": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(100), "is a MATLAB file", "Export"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(100), "is a PNG picture", "Export"),
    "zeros": (bytes(4000), "holds only bytes of 0", "Copy or export"),
    "nothing": (b"", r"is empty \(0 bytes", "Copy or export"),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_scan_is_called_by_its_name(tmp_path, kind, ending):
    content, message, remedy = FOREIGN[kind]
    if (kind, ending) == ("zip", ".npz"):
        pytest.skip("an .npz file is a zip")
    path = tmp_path / f"scan{ending}"
    path.write_bytes(content)
    (tmp_path / "scan.img").write_bytes(content)
    for content_is in ("image", "mask"):
        with pytest.raises(ScanError, match=message) as caught:
            read_volume(path, spacing=(1, 1, 1), content=content_is)
        assert caught.value.file == str(path)
        assert remedy in caught.value.remedy


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".mgz"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_the_same_once_more_compressed(tmp_path, kind, ending):
    content, message, _ = FOREIGN[kind]
    path = tmp_path / f"scan{ending}"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ScanError, match=message):
        read_volume(path)


@pytest.mark.parametrize("name", ["scan.nii.gz", "a scan.nii.gz", "scan.mha", "scan.npy"])
def test_files_compressed_twice_or_at_all_are_unpacked_by_the_command_that_is_told(tmp_path, name):
    path = tmp_path / name
    if name.endswith(".npy"):
        np.save(path, ARRAY)
    elif name.endswith(".mha"):
        sitk.WriteImage(sitk.GetImageFromArray(ARRAY.transpose(2, 1, 0)), str(path))
    else:
        path.write_bytes(gzip.compress(NIFTI))
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(ScanError, match="is gzip-compressed") as caught:
        read_volume(path, spacing=(1, 1, 1))
    assert "Rename" not in caught.value.remedy
    subprocess.run(caught.value.remedy.partition(": ")[2], shell=True, cwd=tmp_path, check=True)
    np.testing.assert_array_equal(read_volume(path, spacing=(1, 1, 1)).array[0].transpose(2, 1, 0), ARRAY)


def saved_as(ending: str, path: Path) -> bytes:
    """The content of the scan in the format of an ending."""
    file = path.with_name(f"other{ending}")
    if ending == ".npy":
        np.save(file, ARRAY)
    elif ending in (".mha", ".nrrd"):
        sitk.WriteImage(sitk.GetImageFromArray(ARRAY.transpose(2, 1, 0)), str(file))
    else:
        image = nibabel.MGHImage if ending.startswith(".mg") else nibabel.Nifti1Image
        nibabel.save(image(ARRAY, np.diag([3.0, 3, 5, 1])), file)
    return file.read_bytes()


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".mgz", ".mgh", ".mha", ".nrrd", ".npy"])
@pytest.mark.parametrize("better", [".nii.gz", ".nii", ".mgz", ".mgh", ".mha", ".nrrd", ".npy"])
def test_the_wrong_name_of_a_sound_scan_is_mended_as_told(tmp_path, ending, better):
    if ending == better:
        return
    path = tmp_path / f"scan{ending}"
    path.write_bytes(saved_as(better, path))
    with pytest.raises(ScanError) as caught:
        read_volume(path, spacing=(1, 1, 1))
    assert caught.value.finding.endswith(f"though its name ends in {ending}")
    told = re.fullmatch(r"Rename it to (?:end in )?(\.[a-z.]+)\.", caught.value.remedy)
    assert told, caught.value.remedy
    assert told[1] == better
    renamed = path.rename(tmp_path / f"renamed{told[1]}")
    np.testing.assert_array_equal(read_volume(renamed, spacing=(1, 1, 1)).array[0].transpose(2, 1, 0), ARRAY)


def test_links_to_nowhere_are_told_from_files_that_may_not_be_read(tmp_path):
    annexed = tmp_path / "annexed.nii.gz"
    annexed.symlink_to("../.git/annex/objects/xX/9v/MD5E-s1--d4/MD5E-s1--d4.nii.gz")
    with pytest.raises(ScanError, match="a link of git-annex") as caught:
        read_volume(annexed)
    assert "datalad get" in caught.value.remedy
    (tmp_path / "link.nii.gz").symlink_to("moved.nii.gz")
    with pytest.raises(ScanError, match=r"is a link to moved\.nii\.gz, which is not there"):
        read_volume(tmp_path / "link.nii.gz")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["IM0001", "IM0002"], ["2 without an ending (DICOM)", "dcm2niix"]),
        (["p1/dwi/1.dcm", "p1/dwi/2.dcm"], ["2 .dcm (DICOM)", "such as p1/dwi/1.dcm", "dcm2niix"]),
        (["p1_dwi.mif.gz"], ["1 .mif.gz (MRtrix)"]),
        (["p1.img"], ["1 .img (the voxels of a .hdr file that is not there)"]),
        (["p1.nii.zst"], ["1 .nii.zst (zstandard)"]),
        (["p1.hdr", "p1.img", "p2.mhd", "p2.zraw", "p3.nhdr", "p3.raw.gz", "p4.nii", "notes.txt", "a.json"], []),
    ],
)
def test_files_in_formats_that_are_not_read_are_named(tmp_path, names, said):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" if "." in name and not name.endswith(".dcm") else DICOM)
    text = unread_files(tmp_path)
    assert bool(text) == bool(said)
    for part in (*said, ".nii.gz, .nii") if said else ():
        assert part in text
