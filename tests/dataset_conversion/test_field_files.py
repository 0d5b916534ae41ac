"""Odd files of ../shared/field, and others of their kinds, through `mscs convert`: right, or the true reason."""

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

RIGHT = {
    "01_vox_offset_0_nii": "vox_offset is 0",
    "03_slope0_inter5": "scl_slope is 0",
    "17_units_metre": "in metres",
    "19_nifti2_gz": "",
    "23_mgz_ignored": "",
    "31_slope1_inter_nan": "scl_inter is NaN",
}


def voxels(path: Path) -> np.ndarray:
    return np.asanyarray(nibabel.load(path).dataobj)


@pytest.mark.parametrize("kind", RIGHT)
def test_what_is_meant_is_read(kind, field_folder, raw, mscs):
    outcome = mscs("convert", field_folder / kind / "src", 650, "T")
    assert outcome.code == 0, outcome.err
    assert RIGHT[kind] in outcome.out
    written = sorted((raw / "Dataset650_T/labelsTr").glob("*.nii.gz"))
    assert len(written) == 3
    for mask in written:
        case = mask.name.removesuffix(".nii.gz")
        np.testing.assert_array_equal(voxels(mask), voxels(field_folder / f"good/masks/{case}.nii.gz"))
        for index, channel in enumerate(("adc", "dwi")):
            image = raw / f"Dataset650_T/imagesTr/{case}_{index:04d}.nii.gz"
            good = nibabel.load(field_folder / f"good/images/{case}_{channel}.nii.gz")
            np.testing.assert_allclose(voxels(image), np.asanyarray(good.dataobj), rtol=1e-6)
            np.testing.assert_allclose(nibabel.load(image).affine, good.affine, atol=1e-4)


REFUSED = {
    "21_lfs_pointer": ("p2_DWI.nii.gz", "is a Git LFS pointer", "git lfs pull"),
    "33_sform_nan": ("odd_adc.nii.gz", "its sform holds NaN"),
    "49_brain_mask_as_lesion": ("p1/p1_Mask.nii.gz", "mask marks 100% of the head's tissue", "--allow-large-masks"),
}


def check_refused(outcome, raw: Path, *said: str) -> None:
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    for part in said:
        assert part in outcome.err
    assert "Rename it to .nii" not in outcome.err
    assert list(raw.iterdir()) == []


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_refused_with_the_true_reason(kind, field_folder, raw, mscs):
    check_refused(mscs("convert", field_folder / kind / "src", 650, "T"), raw, *REFUSED[kind])


def test_large_masks_can_be_allowed(field_folder, raw, mscs):
    outcome = mscs("convert", field_folder / "49_brain_mask_as_lesion/src", 650, "T", "--allow-large-masks")
    assert outcome.code == 0, outcome.err
    assert "100% of the head's tissue" in outcome.out


DICOM = bytes(128) + b"DICM" + bytes(400)


def as_dicom(source: Path) -> None:
    for number, path in enumerate(sorted(source.rglob("*.nii"))):
        path.with_name(f"IM{number:04}").write_bytes(DICOM)
        path.unlink()


def as_dicom_without_layout(source: Path) -> None:
    as_dicom(source)
    (source / "images").rename(source / "patient1")
    (source / "masks").rename(source / "patient2")


def as_mrtrix(source: Path) -> None:
    for path in source.rglob("*.nii"):
        path.rename(path.with_suffix(".mif"))


def masks_as_mrtrix(source: Path) -> None:
    for path in (source / "masks").iterdir():
        path.rename(path.with_suffix(".mif"))


def as_case_folders_of_mrtrix(source: Path) -> None:
    for path in list(source.rglob("*.nii")):
        folder = source / path.name[0]
        folder.mkdir(exist_ok=True)
        path.rename(folder / f"{path.parent.name}_{path.stem}.mif")
    for name in ("images", "masks"):
        shutil.rmtree(source / name)


UNREAD = {
    "DICOM in the known folders": (as_dicom, ("DICOM", "dcm2niix")),
    "DICOM in others": (
        as_dicom_without_layout,
        ("no known layout", "dcm2niix", "DICOM studies go into images/<case>/"),
    ),
    "MRtrix": (as_mrtrix, (".mif (MRtrix)", "Formats that are read: .nii.gz")),
    "masks alone in MRtrix": (masks_as_mrtrix, ("image without a mask", ".mif (MRtrix)", "such as b.mif")),
    "folders of MRtrix": (as_case_folders_of_mrtrix, (".mif (MRtrix)", "Formats that are read: .nii.gz")),
}


@pytest.mark.parametrize("kind", UNREAD)
def test_formats_that_are_not_read_are_named_in_the_error(kind, source, raw, mscs):
    spoil, said = UNREAD[kind]
    spoil(source)
    outcome = mscs("convert", source, 1, "X")
    check_refused(outcome, raw, *said)
    errors = [line for line in outcome.err.splitlines() if line.startswith("error") or "mscs convert:" in line]
    assert any(said[-1] in line for line in errors)


def test_new_scans_in_dicom_without_diffusion_are_refused(source, raw, mscs, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new/IM0001").write_bytes(DICOM)
    check_refused(
        mscs("convert", source, 1, "X", "--unlabelled", tmp_path / "new"),
        raw,
        "holds DICOM, but no diffusion-weighted series",
    )


def test_the_command_for_a_file_of_several_volumes_works_as_it_is_told(source, raw, mscs, tmp_path):
    path = source / "images/b_dwi.nii"
    image = nibabel.load(path)
    series = np.stack([voxels(path) * 3, voxels(path)], axis=-1)
    nibabel.save(nibabel.Nifti1Image(series, image.affine), path)
    outcome = mscs("convert", source, 1, "X")
    check_refused(outcome, raw, "holds 2 volumes where one DWI volume is expected", "nib-roi -t 1:2 b_dwi.nii one.nii")
    assert "--channels" not in outcome.err


@pytest.mark.parametrize("ending", [".mgz", ".hdr", ".mhd", ".nhdr", ".mha", ".nrrd"])
def test_other_formats_give_the_same_data_set(ending, source, raw, mscs, tmp_path, tools):
    assert mscs("convert", source, 1, "X").code == 0
    for path in list(source.rglob("*.nii")):
        target = path.with_suffix(ending)
        image = nibabel.load(path)
        if ending == ".mgz":
            array = np.asanyarray(image.dataobj)
            nibabel.save(nibabel.MGHImage(array, image.affine), target)
        elif ending == ".hdr":
            nibabel.save(nibabel.Nifti1Pair(np.asanyarray(image.dataobj), image.affine), target)
        else:
            import SimpleITK as sitk

            sitk.WriteImage(sitk.ReadImage(str(path)), str(target))
        path.unlink()
    outcome = mscs("convert", source, 2, "X")
    assert outcome.code == 0, outcome.err
    assert "warning" not in outcome.out
    first, second = raw / "Dataset001_X", raw / "Dataset002_X"
    for path in first.rglob("*.nii.gz"):
        again = nibabel.load(second / path.relative_to(first))
        np.testing.assert_allclose(np.asanyarray(again.dataobj), voxels(path), rtol=1e-6)
        np.testing.assert_allclose(again.affine, nibabel.load(path).affine, atol=1e-4)
