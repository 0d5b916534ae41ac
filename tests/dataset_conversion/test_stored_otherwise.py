"""All cases of a data set lie along the same axes, wherever and however their sources store them."""

import csv
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from tests.dataset_conversion.conftest import AFFINE, make_phantom
from tests.stored_scans import along, mirrored, moved, oblique, placed, same_place, write_nifti

LAYOUTS = {
    "images-masks": ("images/{case}_adc{ending}", "images/{case}_dwi{ending}", "masks/{case}{ending}"),
    "sample-folders": ("{case}/adc{ending}", "{case}/dwi{ending}", "{case}/mask{ending}"),
}
USUAL = "LAS"


def write_case(
    folder: Path, case: str, seed: int, axes: str, *, affine=AFFINE, layout="images-masks", ending=".nii"
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A case stored along some axes; its voxels and affine by the name of the file that they become."""
    phantom = make_phantom(seed, radius=2)
    arrays = {"adc": phantom.adc, "dwi": phantom.dwi, "mask": phantom.mask}
    for array, name in zip(arrays.values(), LAYOUTS[layout], strict=True):
        path = folder / name.format(case=case, ending=ending)
        stored = along(array, affine, axes)
        write_nifti(path.with_suffix(".nii") if ending in (".mha", ".nrrd") else path, *stored)
        if ending in (".mha", ".nrrd"):
            sitk.WriteImage(sitk.ReadImage(str(path.with_suffix(".nii"))), str(path))
            path.with_suffix(".nii").unlink()
    made = {
        f"imagesTr/{case}_0000": phantom.adc * 1e6,
        f"imagesTr/{case}_0001": phantom.dwi,
        f"labelsTr/{case}": phantom.mask,
    }
    return {name: (array, affine) for name, array in made.items()}


def axes_of(path: Path) -> str:
    return "".join(nibabel.aff2axcodes(nibabel.load(path).affine))


@pytest.mark.parametrize(
    ("axes", "degrees", "layout", "ending"),
    [
        ("SLA", (0, 0, 0), "images-masks", ".nii"),
        ("RAS", (0, 0, 0), "images-masks", ".nii.gz"),
        ("PSR", (0, 0, 0), "sample-folders", ".nii"),
        ("ALI", (25, 0, -15), "images-masks", ".nii.gz"),
        ("IPR", (0, 0, 0), "sample-folders", ".mha"),
        ("ASL", (20, 10, 30), "images-masks", ".nrrd"),
    ],
    ids=str,
)
def test_a_case_stored_otherwise_is_turned_to_the_others(tmp_path, mscs, raw, axes, degrees, layout, ending):
    source, made = tmp_path / "source", {}
    for seed, case in enumerate(("a", "odd", "b")):
        stored = axes if case == "odd" else USUAL
        affine = oblique(AFFINE, *degrees) if case == "odd" else AFFINE
        made |= write_case(source, case, seed, stored, affine=affine, layout=layout, ending=ending)
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 0, outcome.err
    folder = raw / "Dataset001_X"
    for name, volume in made.items():
        assert same_place(volume, placed(folder / f"{name}.nii.gz")), name
        assert axes_of(folder / f"{name}.nii.gz") == USUAL
    assert f"stored along the axes {axes}, most cases along {USUAL}: turned to {USUAL}" in outcome.out
    assert outcome.out.count("turned to") == 1
    assert json.loads((folder / "dataset.json").read_text())["overwrite_image_reader_writer"] == f"MSCSReader{USUAL}"
    rows = {row["case"]: row for row in csv.DictReader((folder / "cases.csv").open())}
    assert len({(row["size"], row["spacing"]) for row in rows.values()}) == 1


@pytest.mark.parametrize("axes", ["LPS", "RAS", "SAR"])
def test_cases_that_all_lie_alike_stay_as_they_are_stored(tmp_path, mscs, raw, axes):
    for seed, case in enumerate("ab"):
        write_case(tmp_path / "source", case, seed, axes)
    outcome = mscs("convert", tmp_path / "source", 1, "X")
    assert outcome.code == 0, outcome.err
    assert "turned to" not in outcome.out
    folder = raw / "Dataset001_X"
    for case in "ab":
        for written, source in ((f"imagesTr/{case}_0001", f"images/{case}_dwi"), (f"labelsTr/{case}", f"masks/{case}")):
            (found, affine), (stored, expected) = (
                placed(path) for path in (folder / f"{written}.nii.gz", tmp_path / f"source/{source}.nii")
            )
            np.testing.assert_array_equal(found, stored)
            np.testing.assert_allclose(affine, expected, atol=1e-5)
    assert json.loads((folder / "dataset.json").read_text())["overwrite_image_reader_writer"] == f"MSCSReader{axes}"


def test_scans_to_predict_on_keep_their_grid_and_test_cases_are_turned(tmp_path, mscs, raw):
    for split, cases in (("train", "ab"), ("test", "c")):
        for case in cases:
            write_case(tmp_path / "source" / split, case, ord(case), "RAS" if split == "train" else "SAR")
    new = write_case(tmp_path / "new", "n", 9, "PIL")
    shutil.rmtree(tmp_path / "new/masks")
    outcome = mscs("convert", tmp_path / "source", 1, "X", "--unlabelled", tmp_path / "new/images")
    assert outcome.code == 0, outcome.err
    folder = raw / "Dataset001_X"
    assert {axes_of(path) for path in folder.glob("*/c*.nii.gz")} == {"RAS"}
    assert {axes_of(path) for path in folder.glob("imagesTs/n*.nii.gz")} == {"PIL"}
    assert same_place(new["imagesTr/n_0000"], placed(folder / "imagesTs/n_0000.nii.gz"))


@pytest.mark.parametrize("axes", ["RAS", "SPL"])
def test_the_same_scan_stored_otherwise_is_the_same_scan(tmp_path, mscs, raw, axes):
    write_case(tmp_path / "source", "a", 1, "LPS")
    write_case(tmp_path / "source", "b", 2, "LPS")
    write_case(tmp_path / "source", "copy", 1, axes)
    outcome = mscs("convert", tmp_path / "source", 1, "X")
    assert outcome.code == 1
    assert "ADC has the same content as ADC of a" in outcome.err


FIELD = {"47_case_stored_sagittally": "SRA", "15_quaternion_above_1": "ARI"}


@pytest.mark.parametrize("case", FIELD)
def test_a_case_of_the_field_lies_as_its_neighbours(field_folder, mscs, raw, case):
    source = field_folder / case / "src"
    outcome = mscs("convert", source, 650, "T")
    assert outcome.code == 0, outcome.err
    assert f"stored along the axes {FIELD[case]}, most cases along RAS: turned to RAS" in outcome.out
    folder = raw / "Dataset650_T"
    assert {axes_of(path) for path in folder.glob("*Tr/*.nii.gz")} == {"RAS"}
    for written, stored in (("imagesTr/odd_0001", "images/odd_dwi"), ("labelsTr/odd", "masks/odd")):
        image = sitk.ReadImage(str(source / f"{stored}.nii.gz"))  # which takes quaternions above 1
        lps = np.eye(4)
        lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        lps[:3, 3] = image.GetOrigin()
        made = (sitk.GetArrayFromImage(image).T, np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps)
        assert same_place(made, placed(folder / f"{written}.nii.gz"))


def test_a_mask_of_the_field_that_contradicts_itself_is_refused(field_folder, mscs, raw):
    outcome = mscs("convert", field_folder / "05_mask_sform_mirrored/src", 650, "T")
    assert outcome.code == 1
    assert "masks/odd.nii.gz" in outcome.err
    assert "its qform and sform contradict each other" in outcome.err
    assert not any(raw.iterdir())


@pytest.mark.parametrize("form", ["sform", "qform"])
@pytest.mark.parametrize("where", ["moved", "mirrored"])
def test_a_mask_in_two_places_is_settled_or_refused(tmp_path, mscs, raw, form, where):
    made = write_case(tmp_path / "source", "a", 1, "LPS")
    array, affine = made["labelsTr/a"]
    array, stored = along(array, affine, "LPS")
    other = moved(stored, 30, 0, 0) if where == "moved" else mirrored(stored, array.shape)
    write_nifti(tmp_path / "source/masks/a.nii", array, stored, **{form: other})
    outcome = mscs("convert", tmp_path / "source", 1, "X")
    if where == "mirrored":
        assert outcome.code == 1
        assert "its qform and sform contradict each other" in outcome.err
        assert not any(raw.iterdir())
        return
    assert outcome.code == 0, outcome.err
    assert same_place(made["labelsTr/a"], placed(raw / "Dataset001_X/labelsTr/a.nii.gz"))
    right = {"sform": "qform", "qform": "sform"}[form]
    assert f"the {right} was used, which brings DWI, ADC and mask together" in outcome.out
