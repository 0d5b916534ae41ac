"""DICOM studies with masks become the same data set as their voxels in files; no header's text leaves them."""

import gzip
import re
import sys

import nibabel
import numpy as np
import pytest

from tests.models.new_scans import scan
from tests.stored_scans import moved, write_nifti

pytest.importorskip("pydicom")

from tests.models.dicom_files import ORIENTATION, ORIGIN, SPACING, VENDORS, siemens, write_series, write_study

PLANTED = re.compile("PLANTED|4711|19480215|Doe|1.2.3.4".replace(".", r"\."))
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def affine() -> np.ndarray:
    """Where the voxels of the studies lie, RAS."""
    x, y = np.array(ORIENTATION[:3]), np.array(ORIENTATION[3:])
    result = np.eye(4)
    result[:3, :3] = np.stack([x, y, np.cross(x, y)], axis=1) * SPACING
    result[:3, 3] = ORIGIN
    return LPS_FROM_RAS @ result


def made(seed: int) -> dict[str, np.ndarray]:
    """ADC, DWI, b0 along LPS in whole numbers, and the mask."""
    arrays = {name: np.rint(np.maximum(array[:, ::-1], 0)) for name, array in scan(seed).items()}
    return arrays | {"mask": ((arrays["adc"] > 0) & (arrays["adc"] < 600)).astype(np.uint8)}


CASES = {f"p{number}": (vendor, made(number)) for number, vendor in enumerate(VENDORS, 1)}
# where a study lies, and its mask
PLACES = {
    "images and masks": ("images/{}", "masks/{}"),
    "names with words": ("images/{}", "masks/{}_lesion_mask"),
    "in its series' folders, masks called otherwise": ("Images/{}/export", "Masks/lesion-{}"),
    "mask in the case's folder": ("{}", "{}/mask"),
    "mask and images in folders of the case": ("{}/dicom", "{}/roi/{}_infarct"),
}


def fill(root, images, mask, *, adc=True):
    for name, (vendor, arrays) in CASES.items():
        write_study(root / images.replace("{}", name), vendor, arrays, adc=adc, study=f"1.2.3.4.{name[1]}")
        write_nifti(root / f"{mask.replace('{}', name)}.nii.gz", arrays["mask"], affine())
    return root


def as_files(root):
    for name, (_, arrays) in CASES.items():
        for what in ("adc", "dwi"):
            write_nifti(root / f"images/{name}_{what}.nii.gz", arrays[what].astype(np.float32), affine())
        write_nifti(root / f"masks/{name}.nii.gz", arrays["mask"], affine())
    return root


def voxels(path):
    return np.asanyarray(nibabel.load(path).dataobj)


def texts(dataset):
    """The bytes of all files of a data set, unpacked, as text."""
    for path in dataset.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            yield (gzip.decompress(content) if path.suffix == ".gz" else content).decode("latin1")


@pytest.mark.parametrize("kind", PLACES)
def test_studies_equal_their_voxels_in_files(kind, tmp_path, raw, mscs):
    outcome = mscs("convert", fill(tmp_path / "studies", *PLACES[kind]), 1, "X")
    assert outcome.code == 0, outcome.err
    plain = mscs("convert", as_files(tmp_path / "plain"), 2, "Y")
    assert plain.code == 0, plain.err
    found, expected = raw / "Dataset001_X", raw / "Dataset002_Y"
    files = [f"imagesTr/{name}_000{i}.nii.gz" for name in CASES for i in (0, 1)]
    files += [f"labelsTr/{name}.nii.gz" for name in CASES]
    assert sorted(files) == sorted(str(path.relative_to(found)) for path in found.glob("*Tr/*"))
    for file in files:
        np.testing.assert_array_equal(voxels(found / file), voxels(expected / file))
        np.testing.assert_allclose(nibabel.load(found / file).affine, nibabel.load(expected / file).affine, atol=1e-4)
    assert "DWI: series 4 (6 images, b = 1000 s/mm2, trace)" in outcome.out
    assert not PLANTED.search(outcome.out + outcome.err)
    assert not any(map(PLANTED.search, texts(found)))


def test_studies_beside_files(tmp_path, raw, mscs):
    """One case as a study among cases of files, and the DWI alone."""
    source = as_files(tmp_path / "plain")
    for what in ("adc", "dwi"):
        (source / f"images/p2_{what}.nii.gz").unlink()
    write_study(source / "images/p2", "siemens", CASES["p2"][1])
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 0, outcome.err
    np.testing.assert_array_equal(voxels(raw / "Dataset001_X/imagesTr/p2_0000.nii.gz"), CASES["p2"][1]["adc"])
    alone = mscs("convert", source, 2, "Y", "--channels", "DWI")
    assert alone.code == 0, alone.err
    np.testing.assert_array_equal(voxels(raw / "Dataset002_Y/imagesTr/p2_0000.nii.gz"), CASES["p2"][1]["dwi"])


def test_a_missing_adc_is_computed_from_the_b0(tmp_path, raw, mscs):
    outcome = mscs("convert", fill(tmp_path / "studies", *PLACES["images and masks"], adc=False), 1, "X")
    assert outcome.code == 0, outcome.err
    assert "ADC computed from b0 and DWI, with b = 1000 s/mm2" in outcome.out
    for name, (_, arrays) in CASES.items():
        inside = (arrays["b0"] > 0) & (arrays["dwi"] > 0)
        adc = -np.log(np.where(inside, arrays["dwi"] / np.maximum(arrays["b0"], 1), 1)) / 1000 * 1e6
        written = voxels(raw / f"Dataset001_X/imagesTr/{name}_0000.nii.gz")
        np.testing.assert_allclose(written, np.where(inside, adc, 0), rtol=1e-4, atol=0.1)


@pytest.mark.parametrize("kind", ["studies", "one study", "series of one study", "beside files"])
def test_new_scans(kind, tmp_path, raw, mscs):
    new, arrays = tmp_path / "new", made(9)
    place = {"one study": new, "series of one study": new}.get(kind, new / "n1")
    write_study(place, "ge", arrays, study="1.2.3.5")
    if kind == "one study":
        for path in [path for path in new.rglob("*") if path.is_file()]:
            path.rename(new / path.name)
    if kind == "studies":
        write_nifti(new / "n1/lesion_mask.nii.gz", arrays["mask"], affine())
    if kind == "beside files":
        for what in ("adc", "dwi"):
            write_nifti(new / f"n2/{what}.nii.gz", made(8)[what].astype(np.float32), affine())
    outcome = mscs("convert", as_files(tmp_path / "plain"), 1, "X", "--unlabelled", new)
    assert outcome.code == 0, outcome.err
    names = {path.name[:-12] for path in (raw / "Dataset001_X/imagesTs").iterdir()}
    assert names == {"studies": {"n1"}, "beside files": {"n1", "n2"}}.get(kind, {"new"})
    name = "n1" if "n1" in names else "new"
    for number, what in enumerate(("adc", "dwi")):
        np.testing.assert_array_equal(voxels(raw / f"Dataset001_X/imagesTs/{name}_000{number}.nii.gz"), arrays[what])


def two_series(root):
    array = CASES["p1"][1]["dwi"]
    write_series(
        root / "images/p1/s7", array, number=7, mark=lambda one: siemens(one, "trace", 1000), study="1.2.3.4.1"
    )


def moved_mask(root):
    write_nifti(root / "masks/p1.nii.gz", CASES["p1"][1]["mask"], moved(affine(), 60, 0, 0))


def no_mask(root):
    (root / "masks/p1.nii.gz").unlink()


def no_slice(root):
    (root / "images/p1/s5" / f"IM{3 * 7:04d}_5").unlink()


def no_adc(root):
    for path in [*(root / "images/p1/s5").iterdir()]:
        path.unlink()
    for path in (root / "images/p1/s4").iterdir():
        if int(path.name[2:6]) in [(7 * number) % 101 for number in range(1, 7)]:
            path.unlink()


REFUSED = {
    "two series": (two_series, "2 series could be the DWI.*Move the other series out of the folder"),
    "mask elsewhere": (moved_mask, "grid"),
    "no mask": (no_mask, "p1 .*image without a mask"),
    "a slice is missing": (no_slice, "slices of series 5 .*missing"),
    "no ADC and no b0": (no_adc, "has no ADC, and no b0 to compute it from.*--channels DWI"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind, tmp_path, raw, mscs):
    spoil, said = REFUSED[kind]
    source = fill(tmp_path / "studies", *PLACES["images and masks"])
    spoil(source)
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1
    assert re.search(said, outcome.err), outcome.err
    assert "--dwi" not in outcome.err
    assert not PLANTED.search(outcome.out + outcome.err)
    assert list(raw.iterdir()) == []


@pytest.mark.parametrize("new", [False, True])
def test_the_missing_extra_is_named(new, tmp_path, raw, mscs, monkeypatch):
    studies = fill(tmp_path / "studies", *PLACES["images and masks"])
    monkeypatch.setitem(sys.modules, "pydicom", None)
    what = [as_files(tmp_path / "plain"), 1, "X", "--unlabelled", studies / "images"] if new else [studies, 1, "X"]
    outcome = mscs("convert", *what)
    assert outcome.code == 1
    assert "pip install 'nnunetv2-mscs[dicom]'" in outcome.err


def test_show_says_that_studies_are_to_be_converted_first(tmp_path, mscs):
    source = fill(tmp_path / "studies", *PLACES["images and masks"])
    outcome = mscs("show", source, "-o", tmp_path / "sheets")
    assert outcome.code == 1
    assert "holds DICOM studies. Convert them with mscs convert" in outcome.err


def test_a_run_measures_studies(tmp_path, nnunet_folders):
    from nnunetv2_mscs.nnunet_files.environment import Folders
    from nnunetv2_mscs.pipeline.settings import RunSettings
    from nnunetv2_mscs.pipeline.source import measure_scans

    source = fill(tmp_path / "studies", *PLACES["mask in the case's folder"])
    folders = Folders(*(nnunet_folders / name for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")))
    scans = measure_scans(RunSettings(source=str(source), dataset_id=1, name="X"), folders)
    assert (scans.labelled, scans.values) == (3, 2 * 20 * 24 * 6)
