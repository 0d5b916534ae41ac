"""Resampling, warnings, processes, help, and the pieces that read file names."""

import csv
import subprocess
import sys

import nibabel
import numpy as np
import pytest

from nnunetv2_mscs.dataset_conversion.cases import natural_key
from nnunetv2_mscs.dataset_conversion.file_names import ImageName, KnownCases, channel_name, parse_image_name
from nnunetv2_mscs.dataset_conversion.layouts import LAYOUTS
from nnunetv2_mscs.dataset_conversion.options import LAYOUT_NAMES
from nnunetv2_mscs.scans.findings import Finding
from nnunetv2_mscs.scans.findings_table import findings_table


def test_every_layout_can_be_chosen():
    assert tuple(LAYOUTS) == LAYOUT_NAMES


def rewrite(path, array=None, affine=None):
    image = nibabel.load(path)
    data = np.asanyarray(image.dataobj).copy() if array is None else array
    nibabel.save(nibabel.Nifti1Image(data, image.affine if affine is None else affine), path)


def test_resample_brings_adc_and_mask_onto_the_dwi(source, raw, mscs, tools):
    """An ADC map and a mask at half the resolution in plane, their voxels centred between the DWI's."""
    for name in "abc":
        for path in (source / f"images/{name}_adc.nii", source / f"masks/{name}.nii"):
            affine = tools.AFFINE.copy()
            affine[:3, :2] *= 2
            affine[:3, 3] = (tools.AFFINE @ [0.5, 0.5, 0, 1])[:3]
            rewrite(path, np.asanyarray(nibabel.load(path).dataobj).copy()[::2, ::2], affine)
    assert mscs("convert", source, 1, "X").code == 1
    outcome = mscs("convert", source, 1, "X", "--resample")
    assert outcome.code == 0, outcome.err
    folder = raw / "Dataset001_X"
    adc, dwi = (nibabel.load(folder / f"imagesTr/b_{i:04d}.nii.gz") for i in range(2))
    labels = nibabel.load(folder / "labelsTr/b.nii.gz")
    assert adc.shape == dwi.shape == labels.shape == (20, 16, 8)
    np.testing.assert_allclose(adc.affine, tools.AFFINE, atol=1e-4)
    coarse = np.asanyarray(nibabel.load(source / "masks/b.nii").dataobj).copy()
    np.testing.assert_array_equal(np.asanyarray(labels.dataobj), coarse.repeat(2, axis=0).repeat(2, axis=1))
    assert "resampled (linear) onto the grid of DWI" in outcome.out
    assert "mask was resampled (nearest)" in outcome.out


def test_headers_that_differ_in_the_last_digits_are_healed(source, raw, mscs, tools):
    affine = tools.AFFINE + np.random.default_rng(0).uniform(-1e-4, 1e-4, (4, 4)) * [[1], [1], [1], [0]]
    rewrite(source / "images/b_adc.nii", affine=affine)
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 0, outcome.err
    adc, dwi = (nibabel.load(raw / f"Dataset001_X/imagesTr/b_{i:04d}.nii.gz") for i in range(2))
    np.testing.assert_array_equal(adc.affine, dwi.affine)
    np.testing.assert_allclose(dwi.affine, tools.AFFINE, atol=1e-6)
    stored = np.asanyarray(nibabel.load(source / "images/b_adc.nii").dataobj).copy()
    np.testing.assert_allclose(np.asanyarray(adc.dataobj), stored * 1e6, rtol=1e-6)


def test_warnings_do_not_stop_and_are_kept(source, raw, mscs):
    image = nibabel.load(source / "images/a_adc.nii")
    array = np.asanyarray(image.dataobj).copy()
    array[:2] = -1e-4
    rewrite(source / "images/a_adc.nii", array)
    rewrite(source / "masks/b.nii", np.zeros(image.shape, np.uint8))
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 0, outcome.err
    assert "ADC is negative in 10 % of all voxels" in outcome.out
    assert "1 without lesion" in outcome.out
    rows = {row["case"]: row for row in csv.DictReader((raw / "Dataset001_X/cases.csv").open())}
    assert "negative" in rows["a"]["warnings"]
    assert "mask is empty" in rows["b"]["warnings"]
    assert (rows["b"]["pieces"], float(rows["b"]["lesion_volume_ml"])) == ("0", 0.0)
    written = np.asanyarray(nibabel.load(raw / "Dataset001_X/imagesTr/a_0000.nii.gz").dataobj)
    np.testing.assert_allclose(written[:2], -100, rtol=1e-5)


def test_a_source_without_any_lesion_converts_with_a_warning(source, raw, mscs):
    for path in (source / "masks").iterdir():
        rewrite(path, np.zeros(nibabel.load(path).shape, np.uint8))
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 0, outcome.err
    assert "every training mask is empty" in outcome.out
    assert (raw / "Dataset001_X/labelsTr/a.nii.gz").is_file()


def test_kinds_of_lesion_are_named(source, raw, mscs):
    path = source / "masks/a.nii"
    array = np.asanyarray(nibabel.load(path).dataobj).copy()
    array[2, 2, 2] = 2
    rewrite(path, array)
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 0, outcome.err
    assert '"lesion_2": 2' in (raw / "Dataset001_X/dataset.json").read_text()
    assert "2 kinds of lesion (2 in a)" in outcome.out


def test_processes_change_nothing(source, raw, mscs):
    assert mscs("convert", source, 1, "X", "-np", 1).code == 0
    assert mscs("convert", source, 2, "X", "-np", 2).code == 0
    first, second = raw / "Dataset001_X", raw / "Dataset002_X"
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    for name in names:
        if name.name == "dataset.json":
            continue
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_converting_loads_neither_torch_nor_nnunet(source, raw):
    script = (
        "import sys\n"
        "from nnunetv2_mscs.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "sys.exit(code or str({'torch', 'nnunetv2'} & set(sys.modules) or '') or 0)\n"
    )
    words = ["convert", str(source), "1", "X", "-np", "1"]
    done = subprocess.run([sys.executable, "-c", script, *words], cwd=raw, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_image_names():
    assert parse_image_name("p1_adc") == ImageName("p1", "ADC", "adc")
    assert parse_image_name("p1.DWI2") == ImageName("p1", "DWI", "DWI2")
    assert parse_image_name("image_1") == ImageName("image_1")
    assert parse_image_name("sample_3_image") == ImageName("sample_3")
    assert parse_image_name("p_0001") == ImageName("p_0001"), "no sibling _0000: a case's number"
    assert parse_image_name("p_0001", siblings={"p_0000"}) == ImageName("p", "DWI", "0001")
    assert parse_image_name("p_adc", mask_names={"p_adc"}) == ImageName("p_adc"), "a mask has this very name"
    assert parse_image_name("p_Perf", channel_names=["perf"]) == ImageName("p", "perf", "Perf")
    assert channel_name("0000", ["DWI", "ADC"]) == "DWI"
    assert sorted(["image_10", "image_2", "Image_1"], key=natural_key) == ["Image_1", "image_2", "image_10"]


@pytest.mark.parametrize(
    ("mask", "stems", "case"),
    [
        ("p_mask", ["p"], "p"),
        ("p_mask", ["p_mask"], "p_mask"),
        ("p_lesion_mask", ["p_adc", "p_dwi"], "p"),
        ("p_lesion_mask", ["p_lesion_adc", "p_lesion_dwi", "p_adc"], "p_lesion"),
        ("p_dwi_mask", ["p_adc", "p_dwi"], "p"),
        ("p_DWI", ["p_adc", "p_dwi"], "p"),
        ("p_adc", ["p_adc"], "p"),
        ("p_t2_seg", ["p_adc", "p_dwi", "p_t2"], "p"),
        ("p_t2", ["p_t1", "p_t2"], "p_t2"),
        ("s_3_image_mask", ["s_3_image"], "s_3"),
        ("p_0001", ["p_0000", "p_0001"], "p_0001"),
        ("q_mask", ["p_adc", "p_dwi"], "q"),
    ],
)
def test_mask_names(mask, stems, case):
    images = {parse_image_name(stem, siblings=stems) for stem in stems}
    assert KnownCases(images, stems).of_mask(mask) == case


@pytest.mark.parametrize("count", [3, 4])
def test_the_table_groups_what_is_the_same(count):
    findings = [Finding("warning", "odd", "look", case=f"case_{i}") for i in range(count)]
    table = findings_table([*findings, Finding("error", "bad", "mend", case="x")], [], wrap=False).splitlines()
    assert table[0].startswith("severity")
    assert table[2].startswith("error")
    assert len(table) == 2 + 1 + (count if count == 3 else 1)
    wide = Finding("error", "word " * 60, "mend " * 30, case="x")
    assert max(len(line) for line in findings_table([wide], [], wrap=True).splitlines()) <= 121
