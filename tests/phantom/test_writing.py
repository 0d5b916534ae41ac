"""A set on the disk: every layout as `mscs convert` reads it, whole or not at all."""

import csv
import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.dataset_conversion.layouts import LAYOUTS as READ_LAYOUTS
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.phantom import PhantomSettings, phantom_case, write_phantoms, writing
from nnunetv2_mscs.phantom.layouts import STORES, scaled_by_slice, split_of

TINY = PhantomSettings(size=(32, 32, 4))
WORDS = ["--size", "32", "32", "4"]


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_processes_number_and_order_change_nothing(tmp_path):
    write_phantoms(tmp_path / "one", TINY, cases=1, first=1, seed=3)
    write_phantoms(tmp_path / "two", TINY, cases=2, seed=3, processes=2)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    for name in ("images/phantom_001_adc.nii.gz", "images/phantom_001_dwi.nii.gz", "masks/phantom_001.nii.gz"):
        assert one[name] == two[name]
    rows = list(csv.DictReader((tmp_path / "two/phantoms.csv").open()))
    assert [row["case"] for row in rows] == ["phantom_000", "phantom_001"]
    assert rows[1] == next(csv.DictReader((tmp_path / "one/phantoms.csv").open()))


def test_scattered_lesions_by_the_command_line(tmp_path):
    words = ["--cases", "1", "--seed", "3", "--lesion-free", "0", "--lesions", "scattered", *WORDS, "-np", "1"]
    assert main(["phantom", str(tmp_path / "set"), *words]) == 0
    case = phantom_case(replace(TINY, lesion_free=0.0, lesions="scattered"), 3, 0)
    stored = nibabel.load(tmp_path / "set/masks/phantom_000.nii.gz")
    assert np.array_equal(np.asarray(stored.dataobj), case.mask)
    (row,) = csv.DictReader((tmp_path / "set/phantoms.csv").open())
    assert row["kind"] == "emboli"


def test_files_hold_the_arrays_and_their_place(tmp_path):
    write_phantoms(tmp_path / "set", TINY, cases=1, seed=4)
    case = phantom_case(TINY, 4, 0)
    stored = nibabel.load(tmp_path / "set/images/phantom_000_adc.nii.gz")
    assert np.array_equal(np.asarray(stored.dataobj), case.adc)
    assert stored.get_data_dtype() == np.int16
    assert nibabel.aff2axcodes(stored.affine) == ("L", "P", "S")
    assert np.allclose(stored.header.get_zooms(), case.spacing)
    assert np.allclose(stored.affine @ [15.5, 15.5, 1.5, 1], [0, 0, 0, 1], atol=1e-4)


@pytest.mark.parametrize("layout", list(READ_LAYOUTS))
def test_convert_takes_every_layout(layout, tmp_path, nnunet_folders, capsys):
    """With phantoms.csv among the files, and with unseen cases beside."""
    source, unseen = tmp_path / "set", tmp_path / "unseen"
    words = ["--cases", "3", "--seed", "1", *WORDS, "-np", "1"]
    assert main(["phantom", str(source), "--layout", layout, *words]) == 0
    spacing = ["--spacing", "7.1875", "7.1875", "32.5"] if layout == "array-splits" else []
    new = []
    if not spacing:
        assert (
            main(["phantom", str(unseen), *words[:1], "1", *words[2:], "--layout", "unlabelled", "--first", "4"]) == 0
        )
        new = ["--unlabelled", str(unseen / "scans")]
    assert main(["convert", str(source), "7", "P", *spacing, *new, "-np", "1"]) == 0
    dataset = nnunet_folders / "nnUNet_raw/Dataset007_P"
    facts = json.loads((dataset / "dataset.json").read_text())
    assert facts["channel_names"] == {"0": "ADC", "1": "DWI"}
    assert facts["layout"] == layout
    assert facts["adc_unit"] == ("min-max scaled" if spacing else "10^-6 mm2/s")
    rows = {row["case"]: row for row in csv.DictReader((dataset / "cases.csv").open())}
    for truth in csv.DictReader((source / "phantoms.csv").open()):
        number = int(truth["case"].rsplit("_", 1)[1])
        row = rows[f"sample_{number}" if spacing else truth["case"]]
        assert float(row["lesion_volume_ml"]) == pytest.approx(float(truth["volume_mask_ml"]), rel=1e-3)
        assert row["pieces"] == truth["pieces"]
    assert len(list((dataset / "imagesTs").glob("*phantom_004*"))) == (0 if spacing else 2)
    if new:
        assert (unseen / "references/phantom_004.nii.gz").is_file()


def test_arrays_are_scaled_slice_by_slice_and_masks_one_hot(tmp_path):
    write_phantoms(tmp_path / "set", TINY, cases=2, seed=1, layout="array-splits")
    image = np.load(tmp_path / "set/train/images/sample_0_image.npy")
    mask = np.load(tmp_path / "set/train/masks/sample_0_mask.npy")
    assert image.shape == (*TINY.size, 2)
    assert image.dtype == np.float32
    assert np.array_equal(image.min(axis=(0, 1)), np.zeros((TINY.size[2], 2)))
    assert np.array_equal(image.max(axis=(0, 1)), np.ones((TINY.size[2], 2)))
    assert np.array_equal(mask.sum(axis=-1), np.ones(TINY.size))
    assert np.array_equal(mask[..., 1], phantom_case(TINY, 1, 0).mask)
    assert np.array_equal(scaled_by_slice(np.full((2, 2, 1), 7)), np.zeros((2, 2, 1)))


@pytest.mark.parametrize(("cases", "expected"), [(1, (1, 0, 0)), (2, (2, 0, 0)), (20, (14, 3, 3)), (100, (70, 15, 15))])
def test_splits_are_70_15_15(cases, expected):
    splits = [split_of(position, cases) for position in range(cases)]
    assert tuple(splits.count(name) for name in ("train", "val", "test")) == expected
    assert splits == sorted(splits, key=("train", "val", "test").index)


def test_an_error_leaves_nothing_and_the_former_set_as_it_was(tmp_path, monkeypatch):
    out = tmp_path / "set"
    write_phantoms(out, TINY, cases=1, seed=1)
    before = contents(out)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "_write_table", interrupted)
    for place in (out, tmp_path / "deep/new"):
        with pytest.raises(KeyboardInterrupt):
            write_phantoms(place, TINY, cases=1, seed=2, overwrite=True)
    assert contents(out) == before
    assert os.listdir(tmp_path) == ["set"]


def test_only_a_former_set_is_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(MscsError, match="thesis"):
            write_phantoms(tmp_path / "thesis", TINY, cases=1, seed=1, overwrite=overwrite)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(MscsError, match="not a folder"):
        write_phantoms(tmp_path / "file", TINY, cases=1, seed=1, overwrite=True)
    (tmp_path / "empty").mkdir()
    write_phantoms(tmp_path / "empty", TINY, cases=1, seed=1)
    with pytest.raises(MscsError, match="--overwrite"):
        write_phantoms(tmp_path / "empty", TINY, cases=1, seed=1)
    write_phantoms(tmp_path / "empty", TINY, cases=1, seed=2, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["empty", "file", "thesis"]


def test_the_picture_is_drawn_and_the_seed_is_0_unless_said(tmp_path):
    drawn = tmp_path / "overview.png"
    assert main(["phantom", str(tmp_path / "set"), "--cases", "1", *WORDS, "--picture", str(drawn)]) == 0
    table = next(csv.DictReader((tmp_path / "set/phantoms.csv").open()))
    assert float(table["volume_true_ml"]) == pytest.approx(phantom_case(TINY, 0, 0).facts.volume_true_ml, rel=1e-2)
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert sorted(os.listdir(tmp_path)) == ["overview.png", "set"]


@pytest.mark.parametrize(
    "words",
    [
        ["--cases", "0"],
        ["--cases", "two"],
        ["--seed", "-1"],
        ["--size", "0", "32", "4"],
        ["--size", "32", "32", "4", "--spacing", "1", "1", "1"],
        ["--spacing", "-1", "1", "5"],
        ["--spacing", "nan", "1", "5"],
        ["--noise", "-0.1"],
        ["--noise", "0.2"],
        ["--lesion-free", "2"],
        ["--layout", "dicom"],
        ["--picture", "nowhere/x.png"],
        ["--picture", "x.jpg"],
        ["-np", "0"],
    ],
)
def test_wrong_use_is_2(words, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["phantom", str(tmp_path / "set"), "--cases", "1", "--seed", "1", *words])
    assert stopped.value.code == 2
    assert "error:" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_the_command_offers_what_can_be_written():
    from nnunetv2_mscs.cli import phantom

    assert list(STORES) == phantom.LAYOUTS
    assert set(READ_LAYOUTS) < set(STORES)


def test_what_a_killed_run_left_goes_with_the_next(tmp_path):
    command = [sys.executable, "-m", "nnunetv2_mscs.cli.main", "phantom", str(tmp_path / "out"), "--cases", "50"]
    words = [*command, "--seed", "1", "--size", "32", "32", "4", "-np", "1"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path) as killed:
        for _ in range(600):
            if list(tmp_path.glob(".mscs-phantom-*/new/images/*")):
                break
            time.sleep(0.1)
        killed.kill()
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.glob(".mscs-phantom-*"))
    write_phantoms(tmp_path / "out", TINY, cases=1, seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
