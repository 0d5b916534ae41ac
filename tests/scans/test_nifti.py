"""Headers that readers take otherwise give the voxels and the place that are meant, or name the field that is wrong."""

import gzip
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.nifti import as_plain_nifti
from nnunetv2_mscs.scans.reading import Volume, read_volume

SHAPE = (7, 6, 5)
AFFINE = np.array([[0.0, -3.0, 0, -48], [3.0, 0, 0, -20], [0, 0, 5.0, 7], [0, 0, 0, 1]])
STORED = np.random.default_rng(0).integers(0, 2000, SHAPE).astype(np.int16)
# Where fields stand in a header of NIfTI-1, and their types.
FIELDS = {
    "dim": (40, "8h"),
    "pixdim": (76, "8f"),
    "vox_offset": (108, "f"),
    "scl_slope": (112, "f"),
    "scl_inter": (116, "f"),
    "xyzt_units": (123, "B"),
    "qform_code": (252, "h"),
    "sform_code": (254, "h"),
    "quatern_b": (256, "f"),
    "qoffset_x": (268, "f"),
    "srow_x": (280, "4f"),
    "srow_y": (296, "4f"),
    "srow_z": (312, "4f"),
}
NAN, INF = float("nan"), float("inf")


def write(path: Path, *, dtype=np.int16, order: str = "<", affine: np.ndarray = AFFINE, **fields: object) -> Path:
    """The scan with some fields of its header as given; with `vox_offset` alone the voxels stay at byte 352."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(STORED.astype(dtype), affine)
    image.set_qform(affine, 1)
    header = image.header.as_byteswapped(order)
    content = bytearray(nibabel.Nifti1Image(image.dataobj, affine, header).to_bytes())
    for name, value in fields.items():
        offset, form = FIELDS[name]
        struct.pack_into(order + form, content, offset, *np.atleast_1d(value))
    path.write_bytes(gzip.compress(bytes(content)) if path.name.endswith(".gz") else bytes(content))
    return path


def values(volume: Volume) -> np.ndarray:
    return volume.array[0].transpose(2, 1, 0)


def check_place(volume: Volume) -> None:
    """The corners lie where the affine puts them."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ AFFINE
    for corner in np.ndindex(2, 2, 2):
        index = np.array(corner) * (np.array(SHAPE) - 1)
        ours = np.array(volume.grid.origin) + volume.grid.matrix @ (index * volume.grid.spacing)
        np.testing.assert_allclose(ours, (lps @ [*index, 1])[:3], atol=2e-4)


# Fields, what the stored numbers become (slope, intercept), and a word on it where something was decided.
ARITHMETIC = {
    "slope 0 beside 5": ({"scl_slope": 0, "scl_inter": 5}, (1, 0), "scl_slope is 0"),
    "slope 0 beside -1024": ({"scl_slope": 0, "scl_inter": -1024}, (1, 0), "scl_inter of -1024 does not count"),
    "slope 0 beside NaN": ({"scl_slope": 0, "scl_inter": NAN}, (1, 0), ""),
    "slope 0 beside infinity": ({"scl_slope": 0, "scl_inter": INF}, (1, 0), ""),
    "neither": ({"scl_slope": NAN, "scl_inter": NAN}, (1, 0), ""),
    "slope NaN beside 0": ({"scl_slope": NAN, "scl_inter": 0}, (1, 0), ""),
    "intercept NaN": ({"scl_slope": 1, "scl_inter": NAN}, (1, 0), "scl_inter is NaN"),
    "slope and intercept NaN": ({"scl_slope": 0.5, "scl_inter": NAN}, (0.5, 0), "scl_inter is NaN"),
    "intercept -1024": ({"scl_slope": 1, "scl_inter": -1024}, (1, -1024), ""),
    "slope below 0": ({"scl_slope": -2.5, "scl_inter": 4000}, (-2.5, 4000), ""),
    "slope of mm2/s": ({"scl_slope": 1e-6, "scl_inter": 0}, (1e-6, 0), ""),
    "voxels at 0": ({"vox_offset": 0}, (1, 0), "vox_offset is 0"),
    "voxels at 348": ({"vox_offset": 348}, (1, 0), "vox_offset is 348"),
    "voxels at NaN": ({"vox_offset": NAN}, (1, 0), "vox_offset is nan"),
    "voxels before the file": ({"vox_offset": -16}, (1, 0), "vox_offset is -16"),
    "voxels at 352.4": ({"vox_offset": 352.4}, (1, 0), ""),
    "voxels at 0 and slope 0": ({"vox_offset": 0, "scl_slope": 0, "scl_inter": 5}, (1, 0), "vox_offset is 0"),
    "a fourth axis of 0": ({"dim": (4, *SHAPE, 0, 1, 1, 1)}, (1, 0), ""),
}


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ARITHMETIC)
def test_the_numbers_are_those_that_are_meant(tmp_path, kind, order, ending):
    fields, (slope, inter), word = ARITHMETIC[kind]
    path = write(tmp_path / f"scan{ending}", order=order, **fields)
    for check in (True, False):
        volume = read_volume(path, check=check)
        np.testing.assert_allclose(values(volume), STORED * slope + inter, rtol=1e-6)
        check_place(volume)
        assert word in " ".join(volume.warnings)
        assert bool(volume.warnings) == bool(word)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int32])
@pytest.mark.parametrize("kind", ["slope 0 beside 5", "intercept NaN", "voxels at 0"])
def test_the_numbers_of_other_types_too(tmp_path, kind, dtype):
    volume = read_volume(write(tmp_path / "scan.nii", dtype=dtype, **ARITHMETIC[kind][0]))
    np.testing.assert_array_equal(values(volume), STORED.astype(dtype))


@pytest.mark.parametrize("kind", ARITHMETIC)
def test_all_readers_find_the_same_in_what_is_handed_to_them(tmp_path, kind):
    path = write(tmp_path / "scan.nii", **ARITHMETIC[kind][0])
    with as_plain_nifti(path) as (readable, _):
        by_itk = sitk.GetArrayFromImage(sitk.ReadImage(str(readable))).transpose(2, 1, 0)
        by_nibabel = np.asanyarray(nibabel.load(readable).dataobj).reshape(SHAPE)
    np.testing.assert_allclose(by_itk, by_nibabel, rtol=1e-6)
    assert not readable.exists() or readable == path


REFUSED = {
    "intercept infinite": ({"scl_slope": 1, "scl_inter": INF}, "its scl_inter is inf"),
    "intercept infinite, below 0": ({"scl_slope": 2, "scl_inter": -INF}, "its scl_inter is -inf"),
    "slope infinite": ({"scl_slope": INF, "scl_inter": 0}, "its scl_slope is inf"),
    "slope NaN beside 5": ({"scl_slope": NAN, "scl_inter": 5}, r"its scl_slope is nan beside .*scl_inter\) of 5"),
    "slope of next to nothing": ({"scl_slope": 1e-20, "scl_inter": 0}, "its scl_slope is 1e-20"),
    "voxels beyond the file": ({"vox_offset": 100000}, "its vox_offset is 100000"),
    "voxels a little late": ({"vox_offset": 368}, "its vox_offset is 368"),
    "sform NaN": ({"srow_x": (NAN, 0, 0, 0), "qform_code": 0}, "its sform holds NaN"),
    "sform NaN in its shift": ({"srow_z": (0, 0, 5, NAN), "qform_code": 0}, "its sform holds NaN"),
    "sform infinite": ({"srow_y": (INF, 0, 0, 0), "qform_code": 0}, "its sform holds infinite"),
    "sform of zeros": (
        {"srow_x": (0,) * 4, "srow_y": (0,) * 4, "srow_z": (0,) * 4, "qform_code": 0},
        "its sform puts all voxels into one plane",
    ),
    "sform flat": ({"srow_x": (0, 0, 5, 0), "qform_code": 0}, "its sform puts all voxels into one plane"),
    "qform NaN": ({"quatern_b": NAN, "sform_code": 0}, "its qform holds NaN"),
    "qform infinite": ({"qoffset_x": INF, "sform_code": 0}, "its qform holds infinite"),
    "both NaN": ({"quatern_b": NAN, "srow_x": (NAN, 0, 0, 0)}, "its sform holds NaN"),
    "metres that are mm": ({"xyzt_units": 1}, "impossible voxel size of 3 x 3 x 5 metres"),
    "microns that are mm": ({"xyzt_units": 3}, "impossible voxel size of 3 x 3 x 5 microns"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_no_one_can_know_is_refused_by_the_name_of_the_field(tmp_path, kind):
    fields, message = REFUSED[kind]
    path = write(tmp_path / "scan.nii.gz", **fields)
    with pytest.raises(ScanError, match=message) as caught:
        read_volume(path)
    assert caught.value.file == str(path)
    assert caught.value.remedy


def test_a_header_in_a_place_of_extensions_is_refused(tmp_path):
    content = bytearray(write(tmp_path / "scan.nii", vox_offset=0).read_bytes())
    content[348] = 1
    (tmp_path / "scan.nii").write_bytes(content[:352] + bytes(16) + content[352:])
    with pytest.raises(ScanError, match="its vox_offset is 0, where the header itself stands"):
        read_volume(tmp_path / "scan.nii")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("cls", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("extensions", [0, 1, 2])
@pytest.mark.parametrize("offset", [0, 352, 544])
def test_voxels_begin_behind_the_header_and_its_extensions(tmp_path, offset, extensions, order, cls, ending):
    end = 352 if cls is nibabel.Nifti1Image else 544
    image = cls(STORED, AFFINE, cls.header_class().as_byteswapped(order))
    image.header.extensions += [nibabel.nifti1.Nifti1Extension("comment", b"where")] * extensions
    image.set_sform(AFFINE, 0)
    image.set_qform(AFFINE, 1)
    content = bytearray(image.to_bytes())
    struct.pack_into(f"{order}f" if end == 352 else f"{order}q", content, 108 if end == 352 else 168, offset)
    path = tmp_path / f"scan{ending}"
    path.write_bytes(gzip.compress(bytes(content)) if ending == ".nii.gz" else bytes(content))
    if offset > end:
        with pytest.raises(ScanError, match=r"vox_offset|truncated"):
            read_volume(path)
    else:
        volume = read_volume(path)
        np.testing.assert_array_equal(values(volume), STORED)
        check_place(volume)
        assert bool(volume.warnings) == (offset < end or extensions > 0)


@pytest.mark.parametrize(
    ("content", "word"), [(b"version https://git-lfs.github.com/spec/v1", "LFS"), (b"<!DOCTYPE html>" * 99, "HTML")]
)
def test_a_header_whose_voxels_are_no_voxels_says_what_they_are(tmp_path, content, word):
    path = pair(tmp_path / "scan.hdr")
    path.with_suffix(".img").write_bytes(content)
    with pytest.raises(ScanError, match=rf"voxels lie in scan.img, which is .*{word}"):
        read_volume(path)


@pytest.mark.parametrize("broken", ["sform", "qform"])
def test_a_form_of_nan_gives_way_to_the_other(tmp_path, broken):
    fields = {"srow_x": (NAN, 0, 0, 0)} if broken == "sform" else {"quatern_b": NAN}
    volume = read_volume(write(tmp_path / "scan.nii.gz", **fields))
    check_place(volume)
    np.testing.assert_array_equal(values(volume), STORED)
    other = "qform" if broken == "sform" else "sform"
    assert volume.warnings == [f"its {broken} holds NaN: the {other} was used"]


@pytest.mark.parametrize("time", [0, 8])
@pytest.mark.parametrize("forms", [("sform", "qform"), ("sform",), ("qform",)])
@pytest.mark.parametrize(("unit", "code", "factor"), [("metres", 1, 1e-3), ("microns", 3, 1e3)])
def test_other_units_come_out_in_mm(tmp_path, unit, code, factor, forms, time):
    affine = AFFINE.copy()
    affine[:3] *= factor
    codes = {f"{form}_code": int(form in forms) for form in ("sform", "qform")}
    volume = read_volume(write(tmp_path / "scan.nii.gz", affine=affine, xyzt_units=code + time, **codes))
    np.testing.assert_array_equal(values(volume), STORED)
    assert volume.grid.spacing == pytest.approx((3, 3, 5), abs=1e-5)
    check_place(volume)
    assert volume.warnings == [f"its header is in {unit}: brought to mm"]


def nifti_2(path: Path) -> Path:
    nibabel.save(nibabel.Nifti2Image(STORED, AFFINE), path)
    return path


def nifti_2_in_metres(path: Path) -> Path:
    image = nibabel.Nifti2Image(STORED, np.diag([1e-3, 1e-3, 1e-3, 1]) @ AFFINE)
    image.header.set_xyzt_units("meter", "sec")
    nibabel.save(image, path)
    return path


def pair(path: Path) -> Path:
    nibabel.save(nibabel.Nifti1Pair(STORED, AFFINE), path.with_suffix(".hdr"))
    return path


def scaled_pair(path: Path) -> Path:
    image = nibabel.Nifti1Pair(STORED, AFFINE)
    image.header.set_slope_inter(1, 0)
    nibabel.save(image, path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<2f", content, FIELDS["scl_slope"][0], 0, 5)
    path.write_bytes(content)
    return path


def mgh(path: Path) -> Path:
    nibabel.save(nibabel.MGHImage(STORED.astype(np.int32), AFFINE), path)
    return path


def itk(path: Path, *, compressed: bool = False) -> Path:
    write(path.with_name("plain.nii"))
    sitk.WriteImage(sitk.ReadImage(str(path.with_name("plain.nii"))), str(path), compressed)
    path.with_name("plain.nii").unlink()
    return path


def compressed(path: Path) -> Path:
    return itk(path, compressed=True)


WRITERS = {
    "nifti-2 .nii": (nifti_2, ".nii"),
    "nifti-2 .nii.gz": (nifti_2, ".nii.gz"),
    "nifti-2 in metres": (nifti_2_in_metres, ".nii.gz"),
    "pair": (pair, ".hdr"),
    "pair with slope 0": (scaled_pair, ".hdr"),
    ".mgz": (mgh, ".mgz"),
    ".mgh": (mgh, ".mgh"),
    ".mhd": (itk, ".mhd"),
    ".mhd, compressed": (compressed, ".mhd"),
    ".nhdr": (itk, ".nhdr"),
    ".nhdr, compressed": (compressed, ".nhdr"),
    ".mha": (itk, ".mha"),
    ".nrrd": (itk, ".nrrd"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_same_voxels_at_the_same_place(tmp_path, kind):
    save, ending = WRITERS[kind]
    volume = read_volume(save(tmp_path / f"scan{ending}"))
    np.testing.assert_array_equal(values(volume), STORED)
    assert volume.has_geometry
    check_place(volume)


@pytest.mark.parametrize("kind", WRITERS)
def test_half_a_file_of_any_format_is_refused(tmp_path, kind):
    save, ending = WRITERS[kind]
    path = save(tmp_path / f"scan{ending}")
    [voxels] = [file for file in tmp_path.iterdir() if file != path] or [path]
    voxels.write_bytes(voxels.read_bytes()[:-40])
    with pytest.raises(ScanError) as caught:
        read_volume(path)
    assert caught.value.file == str(path)


@pytest.mark.parametrize(("writer", "ending", "voxels"), [(pair, ".hdr", ".img"), (itk, ".mhd", ".raw")])
def test_a_header_without_its_voxels_says_which_file_is_missing(tmp_path, writer, ending, voxels):
    path = writer(tmp_path / f"scan{ending}")
    (tmp_path / f"scan{voxels}").unlink()
    with pytest.raises(ScanError, match=rf"scan\{voxels}, which is not there"):
        read_volume(path)


@pytest.mark.parametrize("writer", ["analyze", "mgh"])
def test_files_that_do_not_say_where_they_lie_are_read_with_a_warning(tmp_path, writer):
    if writer == "analyze":
        path = tmp_path / "scan.hdr"
        image = nibabel.AnalyzeImage(STORED, None)
        image.header.set_zooms((3, 3, 5))
        nibabel.save(image, path)
    else:
        path = mgh(tmp_path / "scan.mgh")
        content = bytearray(path.read_bytes())
        struct.pack_into(">h", content, 28, 0)
        path.write_bytes(content)
    volume = read_volume(path)
    np.testing.assert_array_equal(values(volume), STORED)
    assert any("records no orientation" in warning for warning in volume.warnings)
    if writer == "analyze":
        assert volume.grid.spacing == pytest.approx((3, 3, 5))


def test_colours_are_no_channels(tmp_path):
    colours = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, AFFINE), tmp_path / "scan.nii.gz")
    with pytest.raises(ScanError, match="holds colours"):
        read_volume(tmp_path / "scan.nii.gz")
