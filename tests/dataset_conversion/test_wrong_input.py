"""Wrong input of every kind: the exit code, one clear message, and nothing written."""

import os
import re
from pathlib import Path

import nibabel
import numpy as np
import pytest

CONVERT = ("convert", "SOURCE", "1", "X")


def listing(folder: Path) -> list[tuple[str, int]]:
    """All files and folders by name, and when each file was last changed."""
    return sorted(
        (str(path.relative_to(folder)), path.stat().st_mtime_ns if path.is_file() else 0) for path in folder.rglob("*")
    )


def adc(source: Path) -> Path:
    return source / "images/b_adc.nii"


def edit(path: Path, change) -> None:
    """Replace a file's voxels by what `change` makes of them, in its own type if it keeps it."""
    image = nibabel.load(path)
    array, affine = np.asanyarray(image.dataobj).copy(), image.affine
    nibabel.save(nibabel.Nifti1Image(change(array), affine), path)


def put(path: Path, index, value):
    def change(array):
        array[index] = value
        return array

    edit(path, change)


def move(path: Path, by_mm: float) -> None:
    image = nibabel.load(path)
    affine = image.affine.copy()
    affine[0, 3] += by_mm
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(image.dataobj).copy(), affine), path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def as_arrays(source: Path) -> None:
    for path in [*source.rglob("*.nii")]:
        np.save(path.with_suffix(".npy"), np.asanyarray(nibabel.load(path).dataobj).copy())
        path.unlink()


def copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())


def scale_case(source: Path) -> None:
    for channel in ("adc", "dwi"):
        edit(source / f"images/b_{channel}.nii", lambda a: (a - a.min()) / (a.max() - a.min()))


def zero_spacing(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[88:92] = np.float32(0).tobytes()
    path.write_bytes(bytes(content))


def spoil_datatype(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[70] = 14
    path.write_bytes(bytes(content))


def halve_pixdim(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[80:92] = np.array([0.6, 0.6, 2.5], np.float32).tobytes()
    content[252:254] = bytes(2)
    path.write_bytes(bytes(content))


def rename_apart(source: Path) -> None:
    for path in [*source.rglob("b*")]:
        path.rename(path.with_name(path.name.replace("b", "a ", 1)))
    for path in [*source.rglob("c*")]:
        path.rename(path.with_name(path.name.replace("c", "a.", 1)))


# what is spoilt in a good source of cases a, b, c, and what the message must hold
SPOILT = {
    "mask missing": (lambda s: (s / "masks/b.nii").unlink(), r"error\s+b .*image without a mask"),
    "image missing": (
        lambda s: [path.unlink() for path in (s / "images").glob("b*")],
        r"error\s+b .*mask without an image",
    ),
    "ADC missing": (lambda s: adc(s).unlink(), r"error\s+b .*has no ADC file"),
    "DWI missing": (lambda s: (s / "images/b_dwi.nii").unlink(), r"error\s+b .*has no DWI file"),
    "truncated file": (lambda s: cut(adc(s)), r"b_adc.nii .*truncated: 5000 of \d+ bytes"),
    "empty file": (lambda s: adc(s).write_bytes(b""), r"b_adc.nii .*is empty \(0 bytes\)"),
    "not an image": (lambda s: adc(s).write_text("hello" * 200), r"b_adc.nii .*not NIfTI"),
    "NaN": (lambda s: put(adc(s), (3, 3, 3), np.nan), r"b_adc.nii .*holds 1 NaN or infinite"),
    "Inf": (lambda s: put(s / "images/b_dwi.nii", (3, 3, 3), np.inf), r"b_dwi.nii .*holds 1 NaN or infinite"),
    "constant image": (lambda s: edit(adc(s), lambda a: a * 0 + 7), r"b_adc.nii .*constant \(7 everywhere\)"),
    "shapes differ": (lambda s: edit(adc(s), lambda a: a[:-1]), r"b_adc.nii .*different grids \(in size\)"),
    "grids differ": (lambda s: move(adc(s), 0.5), r"b_adc.nii .*by up to 0.5 mm.*ADC: 20x16x8 .*DWI: 20x16x8 "),
    "mask elsewhere": (lambda s: move(s / "masks/b.nii", 3), r"masks/b.nii .*mask and DWI lie on different grids"),
    "unknown label": (lambda s: put(s / "masks/b.nii", (3, 3, 3), 9), r"masks/b.nii .*unknown label values: 0, 1, 9"),
    "gap in the labels": (lambda s: put(s / "masks/b.nii", (3, 3, 3), 7), r"unknown label values: .*0, 1, 7.*7 in b"),
    "probabilities": (lambda s: edit(s / "masks/b.nii", lambda a: a * 0.4), r"masks/b.nii .*probabilities"),
    "full mask": (lambda s: edit(s / "masks/b.nii", lambda a: a * 0 + 1), r"masks/b.nii .*marks every voxel"),
    "unknown unit": (lambda s: edit(adc(s), lambda a: a * 30), r"b_adc.nii .*unit not recognised.*median is 0\.025"),
    "scaled and not": (scale_case, "min-max scaled in b but in physical units in a, c"),
    "same content": (
        lambda s: [copy(s / f"images/a_{c}.nii", s / f"images/b_{c}.nii") for c in ("adc", "dwi")],
        r"error\s+b .*ADC has the same content as ADC of a",
    ),
    "ADC is DWI": (lambda s: copy(s / "images/b_dwi.nii", adc(s)), r"b_adc.nii .*(same content|unit not recognised)"),
    "duplicate case": (lambda s: copy(adc(s), s / "images/b_ADC.nii.gz"), r"duplicate case: .* are both its ADC"),
    "duplicate mask": (lambda s: copy(s / "masks/b.nii", s / "masks/b_mask.nii"), "duplicate case: .* both its mask"),
    "names that clean to one": (rename_apart, "2 cases would share the name a_"),
    "several volumes": (
        lambda s: edit(adc(s), lambda a: np.stack([a, a], axis=-1)),
        "b_adc.nii .*holds 2 volumes where one ADC volume is expected",
    ),
    "one slice": (lambda s: edit(adc(s), lambda a: a[..., 3]), r"b_adc.nii .*has 2 dimensions"),
    "header damage": (lambda s: spoil_datatype(adc(s)), r"b_adc.nii .*data code 14 not recognized"),
    "inverted mask": (lambda s: edit(s / "masks/b.nii", lambda a: 1 - a), r"masks/b.nii .*of all voxels: inverted\?"),
    "two voxel sizes": (lambda s: halve_pixdim(adc(s)), r"b_adc.nii .*0.6 x 0.6 x 2.5 mm \(pixdim\), 1.2 x 1.2 x 5"),
    "voxel size 0": (lambda s: zero_spacing(adc(s)), r"b_adc.nii .*impossible voxel size of 1.2 x 1.2 x 0 mm"),
    "arrays without spacing": (as_arrays, r"3 case\(s\) are arrays .*voxel size: a, b, c .*--spacing X Y Z"),
    "no scans": (lambda s: [path.unlink() for path in s.rglob("*.nii")], "no case found in the layout images-masks"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_spoilt_source(kind, source, raw, mscs):
    spoil, message = SPOILT[kind]
    spoil(source)
    before = listing(raw.parent)
    outcome = mscs(*(source if word == "SOURCE" else word for word in CONVERT))
    assert outcome.code == 1
    assert re.search(message, outcome.err), outcome.err
    assert re.search(r"mscs convert: \d+ errors? ?.*; nothing was written\.", outcome.err)
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    assert listing(raw.parent) == before


WRONG_USE = {
    "id 0": (("convert", "SOURCE", "0", "X"), "'0' is not a whole number from 1 to 999"),
    "id too large": (("convert", "SOURCE", "1000", "X"), "1 to 999"),
    "id no number": (("convert", "SOURCE", "one", "X"), "1 to 999"),
    "name": (("convert", "SOURCE", "1", "a/b"), "letters, digits"),
    "spacing of 0": ((*CONVERT, "--spacing", "1", "1", "0"), "no voxel size"),
    "spacing of 2": ((*CONVERT, "--spacing", "1", "1"), "--spacing"),
    "test fraction": ((*CONVERT, "--test-fraction", "1.5"), "not between 0 and 1"),
    "pattern": ((*CONVERT, "--patient-pattern", "("), "not a regular expression"),
    "processes": ((*CONVERT, "-np", "0"), "argument -np: '0' is not a whole number from 1"),
    "layout": ((*CONVERT, "--layout", "bids"), "images-masks"),
    "no name": (("convert", "SOURCE", "1"), "NAME"),
}


@pytest.mark.parametrize("kind", WRONG_USE)
def test_wrong_use(kind, source, raw, mscs):
    words, message = WRONG_USE[kind]
    outcome = mscs(*(source if word == "SOURCE" else word for word in words))
    assert outcome.code == 2
    assert message in outcome.err
    assert listing(raw) == []


REFUSED = {
    "missing source": (lambda s, w: [*w, "--layout", "images-masks"], "nowhere", "does not exist"),
    "empty source": (lambda s, w: (s.parent / "empty").mkdir() or w, "empty", "is empty"),
    "a file as source": (lambda s, w: w, "source/images/a_adc.nii", "is a file, not a folder"),
    "no layout": (lambda s, w: w, "source/images", "no known layout. Looked for images-masks: .* Found: a_adc.nii, "),
    "missing new scans": (lambda s, w: [*w, "--unlabelled", s / "none"], "source", "is no folder"),
    "no new scans": (
        lambda s, w: (s.parent / "empty").mkdir() or [*w, "--unlabelled", s.parent / "empty"],
        "source",
        "holds no scan with the channels ADC, DWI",
    ),
    "spacing for nothing": (lambda s, w: [*w, "--spacing", 1, 1, 5], "source", "all files carry their own voxel size"),
    "pattern without a match": (lambda s, w: [*w, "--patient-pattern", "sub-(.+)"], "source", "finds no patient"),
    "another layout": (lambda s, w: [*w, "--layout", "array-splits"], "source", "has no training case"),
    "one patient to split": (
        lambda s, w: [*w, "--test-fraction", 0.5, "--patient-pattern", "^"],
        "source",
        "finds no patient|needs two patients",
    ),
    "channel that is not there": (lambda s, w: [*w, "--channels", "ADC", "FLAIR"], "source", "has no FLAIR file"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind, source, raw, mscs):
    prepare, folder, message = REFUSED[kind]
    words = prepare(source, ["convert", source.parent / folder, 1, "X"])
    outcome = mscs(*words)
    assert outcome.code == 1
    assert re.search(message, outcome.err), outcome.err
    assert "Traceback" not in outcome.err
    assert listing(raw) == []


DICOM = b"\0" * 128 + b"DICM" + b"\0" * 99
UNREAD = {
    "DICOM without ending": (
        "c/ADC/IM0001",
        DICOM,
        "error .* c .*(image without a mask|holds DICOM, but no diffusion)",
    ),
    "DICOM": ("c/DWI/1.dcm", DICOM, "error .* c .*(image without a mask|holds DICOM, but no diffusion)"),
    "MRtrix": ("c/adc.mif", b"mrtrix image", "warning .* c .*format that is not read.*MRtrix"),
}


@pytest.mark.parametrize("new", [False, True], ids=["SOURCE", "unlabelled"])
@pytest.mark.parametrize("kind", UNREAD)
def test_a_case_in_a_format_that_is_not_read_is_told(kind, new, source, raw, mscs, tools, tmp_path):
    name, content, said = UNREAD[kind]
    for i, case in enumerate(("m", "n")):
        phantom = tools.make_phantom(70 + i)
        for what in ("adc", "dwi", "mask"):
            if what != "mask" or not new:
                tools.save(getattr(phantom, what), tmp_path / f"cases/{case}/{what}.nii")
    path = tmp_path / "cases" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    what = (source, 1, "X", "--unlabelled", tmp_path / "cases") if new else (tmp_path / "cases", 1, "X")
    outcome = mscs("convert", *what)
    assert outcome.code == int(said.startswith("error"))
    assert re.search(said, outcome.out + outcome.err), outcome.err


@pytest.mark.parametrize("factor", [0.1, 10])
def test_a_header_in_another_unit_than_the_others_is_warned_of(factor, source, raw, mscs):
    for path in (*(source / "images").glob("a_*"), source / "masks/a.nii"):
        image = nibabel.load(path)
        nibabel.save(nibabel.Nifti1Image(image.get_fdata(), np.diag([factor] * 3 + [1]) @ image.affine), path)
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 0, outcome.err
    assert re.search("warning .* a .* mm large, most cases .* is its header in mm", outcome.out)


def test_pictures_of_dicom_alone_beside_masks_are_called_so(source, raw, mscs):
    for path in (source / "images").iterdir():
        path.rename(path.with_name(f"IMG{path.stem}.IMA"))
        path.with_name(f"IMG{path.stem}.IMA").write_bytes(DICOM)
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1
    assert re.search("mask without an image .*DICOM.*dcm2niix", outcome.err)


def test_all_findings_come_in_one_table(source, raw, mscs):
    adc(source).write_bytes(b"")
    put(source / "images/a_dwi.nii", (3, 3, 3), np.nan)
    edit(source / "masks/c.nii", lambda a: a * 0)
    (source / "masks/b.nii").unlink()
    (source / "images/readme.txt").write_text("x")
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1
    rows = [line for line in outcome.err.splitlines() if line.startswith(("error", "warning", "note"))]
    assert [row.split()[0] for row in rows] == ["error"] * 3 + ["warning", "note"]
    for part in ("severity", "what to do", "readme.txt", "mask is empty", "3 errors in 2 cases"):
        assert part in outcome.err


def test_shapes_of_arrays_are_compared(source, raw, mscs):
    as_arrays(source)
    path = source / "images/b_adc.npy"
    np.save(path, np.load(path)[:-2])
    outcome = mscs("convert", source, 1, "X", "--spacing", 1, 1, 5)
    assert outcome.code == 1
    assert "shapes differ (x, y, z): ADC (18, 16, 8), DWI (20, 16, 8)" in outcome.err


def test_nan_in_arrays(source, raw, mscs):
    as_arrays(source)
    for path, what in ((source / "images/b_adc.npy", "ADC"), (source / "masks/c.npy", "mask")):
        array = np.load(path).astype(np.float32)
        array[1, 1, 1] = np.nan
        np.save(path, array)
        outcome = mscs("convert", source, 1, "X", "--spacing", 1, 1, 5)
        assert outcome.code == 1
        assert f"{what} holds 1 NaN or infinite values" in outcome.err


def test_nnunet_raw_unset_or_in_the_way(source, raw, mscs, monkeypatch, tmp_path):
    monkeypatch.delenv("nnUNet_raw")
    outcome = mscs("convert", source, 1, "X")
    assert (outcome.code, "export nnUNet_raw=" in outcome.err) == (1, True)
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "file"))
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1
    assert "not a folder you may write to" in outcome.err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read and write anything")
def test_permissions(source, raw, mscs):
    adc(source).chmod(0)
    outcome = mscs("convert", source, 1, "X")
    assert (outcome.code, "cannot be opened: Permission denied" in outcome.err) == (1, True)
    raw.chmod(0o500)
    outcome = mscs("convert", source, 1, "X")
    assert (outcome.code, "may write to" in outcome.err) == (1, True)


def test_a_folder_that_cannot_be_listed(source, raw, mscs, monkeypatch):
    iterdir, scandir = Path.iterdir, os.scandir

    def refuse(folder):
        if Path(folder).name == "masks":
            raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", lambda self: (refuse(self), iterdir(self))[1])
    monkeypatch.setattr(os, "scandir", lambda folder=".": (refuse(folder), scandir(folder))[1])
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1
    assert f"{source / 'masks'} cannot be listed: Permission denied" in outcome.err


def test_an_id_taken_and_a_dataset_there(source, raw, mscs, nnunet_folders):
    (nnunet_folders / "nnUNet_preprocessed" / "Dataset001_Other").mkdir()
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1
    assert "The id 1 is taken by" in outcome.err
    assert "Dataset001_Other" in outcome.err
    (raw / "Dataset002_X").mkdir()
    outcome = mscs("convert", source, 2, "X")
    assert outcome.code == 1
    assert "--overwrite" in outcome.err
    assert [path.name for path in raw.iterdir()] == ["Dataset002_X"]
    assert not list((raw / "Dataset002_X").iterdir())
