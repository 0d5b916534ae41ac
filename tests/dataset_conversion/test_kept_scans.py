"""Scans are read once: what was checked is what the data set holds, and nothing is written after an error."""

import numpy as np
import SimpleITK as sitk

from nnunetv2_mscs.dataset_conversion import kept_scans
from nnunetv2_mscs.dataset_conversion.kept_scans import KeptScans
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
