"""Scans are read once: what was checked is what the data set holds, and nothing is written after an error."""

import errno

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.dataset_conversion import convert as converting
from nnunetv2_mscs.dataset_conversion import kept_scans
from nnunetv2_mscs.dataset_conversion.kept_scans import KeptScans
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.scans import scan as scans


def test_each_file_is_read_once(raw, source, mscs, monkeypatch):
    read = []
    channels, mask = scans.read_channels, scans.read_mask
    monkeypatch.setattr(scans, "read_channels", lambda files, *words: read.append(files) or channels(files, *words))
    monkeypatch.setattr(scans, "read_mask", lambda path, *words: read.append(path) or mask(path, *words))
    assert mscs("convert", source, 1, "X").code == 0
    cases = len(list((raw / "Dataset001_X/labelsTr").iterdir()))
    assert len(read) == 2 * cases == 2 * len(list((source / "masks").iterdir()))


def test_a_scan_turned_after_it_was_kept_is_the_scan_turned_before(tmp_path, tools):
    phantom = tools.make_phantom(0)
    tools.save(phantom.adc, tmp_path / "adc.nii")
    tools.save(phantom.mask, tmp_path / "mask.nii")
    scan, _ = scans.load_scan(
        scans.ScanFiles({"ADC": tmp_path / "adc.nii"}, tmp_path / "mask.nii"), scans.ReadingRules()
    )
    folders = [tmp_path / name for name in ("before", "after")]
    before, after = (KeptScans.beside(folder / "new") for folder in folders)
    axes = "PIR" if scan.grid.axes != "PIR" else "LPS"
    before.put("a", scan.turned_to(axes))
    after.put("a", scan)
    after.turn("a", tuple(scan.channels), scan.grid, axes)
    for folder in (before.folder, after.folder):
        assert len(list(folder.rglob("*.nii.gz"))) == 2
    for file in before.folder.rglob("*.nii.gz"):
        other = after.folder / file.relative_to(before.folder)
        assert file.read_bytes() == other.read_bytes()
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
        assert array.shape != scan.grid.shape
        assert np.isfinite(array).all()


def test_nothing_is_written_after_the_first_error(raw, source, mscs, monkeypatch):
    written = []
    write = kept_scans.write_volume
    monkeypatch.setattr(kept_scans, "write_volume", lambda *words: written.append(words[-1].name) or write(*words))
    first, *_ = sorted((source / "images").glob("*_adc.nii"))
    first.write_bytes(b"")
    assert mscs("convert", source, 1, "X").code == 1
    assert written == []
    assert list(raw.iterdir()) == []


def test_nothing_is_written_if_the_names_are_wrong_already(raw, source, mscs, monkeypatch):
    monkeypatch.setattr(kept_scans, "write_volume", lambda *words: 1 / 0)
    next((source / "masks").iterdir()).unlink()
    assert mscs("convert", source, 1, "X").code == 1
    assert list(raw.iterdir()) == []


def test_nothing_of_new_scans_is_written_if_a_name_is_taken(tmp_path, raw, source, mscs, tools, monkeypatch):
    for seed, name in enumerate(("a", "new")):
        phantom = tools.make_phantom(70 + seed)
        for channel in ("adc", "dwi"):
            tools.save(getattr(phantom, channel), tmp_path / f"unlabelled/{name}_{channel}.nii")
    written = []
    write = kept_scans.write_volume
    monkeypatch.setattr(kept_scans, "write_volume", lambda *words: written.append(words[-1].name) or write(*words))
    outcome = mscs("convert", source, 1, "X", "--unlabelled", tmp_path / "unlabelled")
    assert outcome.code == 1
    assert "same name" in outcome.out + outcome.err
    assert len(written) == 9
    assert not [name for name in written if name.startswith("new")]


def test_a_full_disk_hides_no_error_of_the_source(raw, source, mscs, monkeypatch):
    def fail(array, grid, path):
        raise MscsError(f"{path.name} could not be written in full.", "Free some.")

    monkeypatch.setattr(kept_scans, "write_volume", fail)
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1
    assert "a_0000.nii.gz could not be written in full" in outcome.err
    (source / "images/c_adc.nii").write_bytes(b"")
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1
    assert "c_adc.nii" in outcome.out + outcome.err
    assert "could not be written" not in outcome.out + outcome.err
    assert list(raw.iterdir()) == []


def test_the_place_of_the_work_is_no_part_of_the_source(raw, source, mscs):
    (raw / "scans").mkdir()
    source.rename(raw / "scans/source")
    outcome = mscs("convert", raw / "scans/source", 1, "X", "--unlabelled", raw)
    assert ".mscs-convert" not in outcome.out + outcome.err


@pytest.mark.parametrize(
    "words", [(errno.ENOMEM, "Cannot allocate memory"), (errno.EACCES, "Permission denied", "/scans/a.nii")]
)
def test_an_error_that_has_nothing_to_do_with_writing_is_not_put_down_to_it(raw, source, mscs, monkeypatch, words):
    def fail(*_, **named):
        raise OSError(*words)

    monkeypatch.setattr(converting, "check_cases", fail)
    outcome = mscs("convert", source, 1, "X")
    assert outcome.code == 1
    assert "could not be written" not in outcome.err
    assert words[1] in outcome.err
