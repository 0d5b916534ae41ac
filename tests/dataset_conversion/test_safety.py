"""What must not be lost or mixed up: the user's scans, the lesions, and other people's datasets."""

import csv
import errno
import os
import re
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from nnunetv2_mscs.dataset_conversion import staging, writer
from nnunetv2_mscs.dataset_conversion.destination import Destination
from nnunetv2_mscs.dataset_conversion.splits import choose_test_patients
from nnunetv2_mscs.dataset_conversion.staging import PUBLISHING, staged
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.scans.findings import Finding
from nnunetv2_mscs.scans.findings_table import findings_table
from nnunetv2_mscs.workplace.parallel import run_parallel


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("way", ["source", "link to it", "new scans", "linked file", "dataset is a link"])
def test_scans_in_the_dataset_to_be_replaced_are_safe(tmp_path, raw, mscs, tools, source, way):
    inside = raw / "Dataset001_X/scans"
    words = [source]
    if way == "dataset is a link":
        (raw / "Dataset001_X").symlink_to(source)
        inside = source
        (source / "dataset.json").write_text("{}")
    else:
        inside.mkdir(parents=True)
        (raw / "Dataset001_X/dataset.json").write_text("{}")
    if way in ("source", "link to it"):
        shutil.move(source, inside)
        words = [inside / "source"]
    if way == "link to it":
        (tmp_path / "link").symlink_to(inside / "source")
        words = [tmp_path / "link"]
    if way == "linked file":
        shutil.move(source / "masks/b.nii", inside)
        (source / "masks/b.nii").symlink_to(inside / "b.nii")
    if way == "new scans":
        for channel in ("adc", "dwi"):
            tools.save(getattr(tools.make_phantom(50), channel), inside / f"n_{channel}.nii")
        words += ["--unlabelled", inside]
    before = contents(raw)
    outcome = mscs("convert", words[0], 1, "X", "--overwrite", *words[1:])
    assert outcome.code == 1
    assert re.search("lies in .*Dataset001_X, which --overwrite would delete", outcome.err), outcome.err
    assert contents(raw) == before


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_only_a_dataset_is_overwritten(raw, mscs, source, kind):
    there = raw / "Dataset001_X"
    if kind == "folder":
        there.mkdir()
    (there / "thesis.txt" if kind == "folder" else there).write_text("x")
    outcome = mscs("convert", source, 1, "X", "--overwrite")
    assert outcome.code == 1
    assert "is not a dataset (it has no dataset.json)" in outcome.err
    assert (there / "thesis.txt" if kind == "folder" else there).read_text() == "x"


def test_two_names_of_one_id_are_told_apart_at_the_last_moment(raw):
    with pytest.raises(MscsError, match="id 1 is taken by"), staged(Destination(raw, "Dataset001_X"), overwrite=False):
        (raw / "Dataset001_Y").mkdir()
    assert [path.name for path in raw.iterdir()] == ["Dataset001_Y"]


def test_publishing_is_locked(raw, monkeypatch):
    """Whoever holds the lock keeps others from publishing, and it is gone afterwards."""
    import fcntl

    publish, looked = staging._publish, []

    def look(*args, **kwargs):
        with (raw / PUBLISHING).open("wb") as handle, pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        looked.append(raw)
        publish(*args, **kwargs)

    monkeypatch.setattr(staging, "_publish", look)
    with staged(Destination(raw, "Dataset001_X"), overwrite=False):
        pass
    assert looked
    assert [path.name for path in raw.iterdir()] == ["Dataset001_X"]


@pytest.mark.parametrize("kind", ["broken link", "cannot be made", "home"])
def test_a_place_that_cannot_be_is_refused_before_the_check(tmp_path, raw, mscs, source, monkeypatch, kind):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    place = {"broken link": tmp_path / "link", "cannot be made": tmp_path / "link/raw", "home": "~/raw"}[kind]
    message = "left ~ as it is. .*HOME/raw" if kind == "home" else "not a folder you may write to"
    monkeypatch.setenv("nnUNet_raw", str(place))
    (source / "images/a_adc.nii").write_bytes(b"")
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1
    assert re.search(message, outcome.err), outcome.err
    assert "a_adc.nii" not in outcome.err
    assert not (tmp_path / "nowhere").exists()


def test_a_dataset_that_is_a_broken_link(raw, mscs, source):
    (raw / "Dataset001_X").symlink_to(raw / "nowhere")
    for words in ([], ["--overwrite"]):
        outcome = mscs("convert", source, 1, "X", *words)
        assert outcome.code == 1
        assert "is a link to a place that is not there" in outcome.err


@pytest.mark.parametrize("step", ["_write_json", "write_cases_csv"])
def test_a_disk_that_fills_up_at_the_small_files(raw, mscs, source, monkeypatch, step):
    def fail(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(raw / "x/dataset.json"))

    monkeypatch.setattr(writer, step, fail)
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1
    assert "dataset.json could not be written: No space left on device. Do you have" in outcome.err
    assert list(raw.iterdir()) == []


def test_a_long_name_is_wrong_use(raw, mscs, source):
    assert mscs("convert", source, 1, "X" * 250).code == 2
    assert mscs("convert", source, 1, "X" * 100).code == 0


def test_a_channel_named_twice_is_wrong_use(raw, mscs, source):
    outcome = mscs("convert", source, 1, "X", "--channels", "ADC", "adc")
    assert outcome.code == 2
    assert "ADC is named twice" in outcome.err


@pytest.mark.parametrize("order", [("DWI", "ADC"), ("ADC", "DWI"), ("FLAIR", "ADC"), ()])
def test_an_npz_names_its_channels_itself(tmp_path, raw, mscs, tools, order):
    phantoms = {f"p{i}": tools.make_phantom(i) for i in range(2)}
    for name, phantom in phantoms.items():
        path = tmp_path / f"source/images/{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, dwi=phantom.dwi, flair=phantom.dwi[::-1], adc=phantom.adc, mask=phantom.mask)
        tools.save(phantom.mask, tmp_path / f"source/masks/{name}.npy")
    channels = ["--channels", *order] if order else []
    outcome = mscs("convert", tmp_path / "source", 1, "X", "--spacing", 1.2, 1.2, 5, *channels)
    assert outcome.code == 0, outcome.err
    first, second = (nibabel.load(raw / f"Dataset001_X/imagesTr/p1_000{i}.nii.gz").get_fdata() for i in range(2))
    np.testing.assert_allclose(first, phantoms["p1"].adc * 1e6, rtol=1e-5)
    np.testing.assert_allclose(second, phantoms["p1"].dwi[:: -1 if "FLAIR" in order else 1], rtol=1e-5)
    assert f"ignored in the file: {'DWI' if 'FLAIR' in order else 'FLAIR'}" in outcome.out
    assert "no image like ADC: mask" in outcome.out
    refused = mscs("convert", tmp_path / "source", 2, "X", "--spacing", 1.2, 1.2, 5, "--channels", "T2")
    assert "but no T2" in refused.err


def test_a_source_of_test_scans_alone(raw, mscs, source):
    source.rename(source.parent / "test")
    (source.parent / "all").mkdir()
    (source.parent / "test").rename(source.parent / "all/test")
    outcome = mscs("convert", source.parent / "all", 1, "X")
    assert outcome.code == 1
    assert "holds only test/: no scans to train on" in outcome.err


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.99])
def test_training_keeps_a_lesion(seed, fraction):
    volumes = {"a": 0.0, "b": 3.0, "c": 0.0, "d": 0.0}
    chosen = choose_test_patients(volumes, fraction, seed=seed)
    assert "b" not in chosen
    assert len(chosen) == min(max(1, round(fraction * 4)), 3)


@pytest.mark.parametrize("lost", ["all", "some"])
def test_resampling_that_takes_lesion_away_is_told(raw, mscs, source, tools, lost):
    """A mask at thrice the resolution in plane, with a dot between the DWI's voxel centres, or on one of many."""
    affine = tools.AFFINE.copy()
    affine[:3, :2] /= 3
    affine[:3, 3] = (tools.AFFINE @ [-1 / 3, -1 / 3, 0, 1])[:3]
    mask = np.zeros((60, 48, 8), np.uint8)
    mask[30, 24, 4] = 1
    if lost == "some":
        mask[31, 25, 4] = 1
    tools.save(mask, source / "masks/b.nii", affine)
    outcome = mscs("convert", source, 1, "X", "--resample")
    assert outcome.code == (1 if lost == "all" else 0), outcome.err
    if lost == "all":
        assert "resampling loses the lesion: 0.0008 mL in the mask, 0 mL" in outcome.err
    else:
        assert "resampling changes the lesion from 0.0016 mL to 0.0072 mL" in outcome.out


def test_one_mask_of_two_patients_is_told(raw, mscs, source):
    (source / "masks/b.nii").write_bytes((source / "masks/a.nii").read_bytes())
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 0, outcome.err
    assert re.search("warning +b +masks/b.nii +mask has the same content as that of a", outcome.out)
    for path in [*source.rglob("[ab]*")]:
        path.rename(path.with_name(f"sub1{path.name}"))
    assert "same content" not in mscs("convert", source, 2, "Y", "--patient-pattern", "sub1|c").out


def test_a_few_folds_are_told_by_number(raw, mscs, source):
    assert "train folds 0 to 2" in mscs("convert", source, 1, "X").out
    content = (raw / "Dataset001_X/cases.csv").read_bytes()
    assert b"\r" not in content
    assert len(list(csv.reader(content.decode().splitlines()))) == 4


def test_the_table_counts_cases_not_files():
    findings = [Finding("note", "odd", case=case, file=f"{case}{i}") for case in ("p0", "p1") for i in range(3)]
    table = findings_table(findings, [], wrap=False)
    assert "2 cases: p0, p1 " in table
    assert "6 files" in table
    assert re.search(r"note +p0 +4 files +odd", findings_table([findings[0]] * 4, [], wrap=False))


def test_a_dead_worker_is_blamed_on_what_it_worked_on():
    assert run_parallel(eval, [f"2 * {i}" for i in range(5)], processes=2, description="x") == [0, 2, 4, 6, 8]
    deadly = "__import__('os')._exit(1)"
    items = ["'first'", "'second'", "__import__('time').sleep(20)", deadly, "'last'"]
    with pytest.raises(MscsError) as caught:
        run_parallel(eval, items, processes=2, description="x")
    assert f"while it worked on one of: {items[2]}, {deadly}." in caught.value.finding
