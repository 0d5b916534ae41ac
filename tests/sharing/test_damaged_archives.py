"""Zip files that are damaged, or made to hurt who reads them."""

import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.sharing.archive import look_into, opened
from nnunetv2_mscs.sharing.checkpoints import inspect_checkpoint
from nnunetv2_mscs.sharing.installing import install
from tests.sharing.tiny_models import DATASET, rewrite

OF_MODEL = f"{DATASET}/MSCSTrainer__nnUNetPlans__2d"


def test_no_flipped_bit_makes_it_pass_as_a_file_without_manifest(exported, tmp_path):
    content = exported.read_bytes()
    flipped = tmp_path / "flipped.zip"
    # Where the lengths of each name stand, with those of its comments, and the record at the end.
    entries = [found.start() for found in re.finditer(b"PK\x01\x02", content)]
    places = [entry + offset for entry in entries for offset in range(28, 34)]
    for position in (*places, *range(len(content) - 22, len(content))):
        for bit in range(8):
            changed = bytearray(content)
            changed[position] ^= 1 << bit
            flipped.write_bytes(changed)
            try:
                with opened(flipped) as (archive, _):
                    assert look_into(archive).manifest
            except MscsError:
                continue


def test_the_manifest_comes_first_and_is_needed_where_a_card_is(exported, tmp_path):
    with zipfile.ZipFile(exported) as archive:
        assert archive.namelist()[0] == f"{OF_MODEL}/mscs_manifest.json"
    file = rewrite(exported, tmp_path / "without.zip", {})
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / "bare.zip", "w") as new:
        for name in old.namelist():
            if not name.endswith("mscs_manifest.json"):
                new.writestr(name, old.read(name))
    with pytest.raises(MscsError, match=r"lacks the mscs_manifest.json"):
        install(tmp_path / "bare.zip", results=tmp_path / "there")
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_to_compress_are_refused(exported, tmp_path, method):
    with zipfile.ZipFile(exported) as old, zipfile.ZipFile(tmp_path / "new.zip", "w", method) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(MscsError, match="compressed by method"):
        install(tmp_path / "new.zip", results=tmp_path / "there")


def test_names_that_cannot_be_shown_or_stored_are_refused(exported, tmp_path, capsys):
    for name, match in (
        (f"{OF_MODEL}/\x9b2Jplans.json", "leads out"),
        (f"{OF_MODEL}/\N{RIGHT-TO-LEFT OVERRIDE}nosj.json", "leads out"),
        (f"{OF_MODEL}/fold_0/validation/{'a' * 260}.json", "too long"),
    ):
        file = rewrite(exported, tmp_path / "evil.zip", {name: b"{}"})
        assert main(["install", str(file), "--results", str(tmp_path / "there")]) == 1
        shown = capsys.readouterr().err
        assert match in shown
        assert shown.rstrip("\n").isprintable()


def test_an_entry_whose_name_is_no_text_is_refused_as_damaged(exported, tmp_path):
    content = exported.read_bytes()
    with zipfile.ZipFile(tmp_path / "umlaut.zip", "w") as archive:
        archive.writestr(f"{DATASET}/\N{LATIN SMALL LETTER A WITH DIAERESIS}", b"x")
    content = (tmp_path / "umlaut.zip").read_bytes().replace("ä".encode(), b"\xff\xff")
    (tmp_path / "umlaut.zip").write_bytes(content)
    with pytest.raises(MscsError, match="no zip file"):
        install(tmp_path / "umlaut.zip", results=tmp_path / "there")


@pytest.mark.parametrize("name", ["mscs_manifest.json", "plans.json", "dataset.json"])
def test_json_without_end_is_refused(exported, tmp_path, name):
    deep = b"[" * 100_000
    file = rewrite(exported, tmp_path / "deep.zip", {f"__2d/{name}": deep}, manifest=name != "mscs_manifest.json")
    with pytest.raises(MscsError, match="cannot be read"):
        install(file, results=tmp_path / "there")


def test_a_full_disk_is_told_only_where_the_disk_is_full(exported, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    for number, full in ((28, True), (13, False)):

        def fail(*_, number=number, **__):
            raise OSError(number, "no", str(tmp_path / "place"))

        monkeypatch.setattr(Path, "rename", fail)
        with pytest.raises(MscsError, match="could not be written") as caught:
            install(exported, results=tmp_path / "there")
        assert ("disk full" in caught.value.remedy) == full
        monkeypatch.undo()


@pytest.fixture
def checkpoint(model) -> Path:
    return model / "fold_0" / "checkpoint_final.pth"


def test_a_number_shown_as_a_billion_takes_no_memory(checkpoint):
    content = torch.load(checkpoint, weights_only=False)
    content["network_weights"]["bomb"] = torch.zeros(1).expand(10**11)
    torch.save(content, checkpoint)
    with pytest.raises(MscsError, match="no checkpoint of nnU-Net's"):
        inspect_checkpoint(checkpoint)


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "complex64"])
def test_numbers_that_no_network_here_has_are_refused(checkpoint, kind):
    content = torch.load(checkpoint, weights_only=False)
    content["network_weights"]["odd"] = torch.zeros(2).to(getattr(torch, kind))
    torch.save(content, checkpoint)
    with pytest.raises(MscsError, match="no checkpoint of nnU-Net's"):
        inspect_checkpoint(checkpoint)


def test_a_compressed_checkpoint_is_refused(checkpoint):
    with zipfile.ZipFile(checkpoint) as old, zipfile.ZipFile(f"{checkpoint}.new", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    shutil.move(f"{checkpoint}.new", checkpoint)
    with pytest.raises(MscsError, match="it is compressed"):
        inspect_checkpoint(checkpoint)


def test_words_of_a_checkpoint_cannot_paint_the_terminal(exported, tmp_path, capsys):
    with zipfile.ZipFile(exported) as archive, archive.open(f"{OF_MODEL}/fold_0/checkpoint_final.pth") as stream:
        content = torch.load(stream, weights_only=False)
    content["network_weights"]["\x1b[2J\nplaced: /"] = torch.zeros(1)
    torch.save(content, tmp_path / "checkpoint_final.pth")
    changed = (tmp_path / "checkpoint_final.pth").read_bytes()
    file = rewrite(exported, tmp_path / "evil.zip", {f"fold_{fold}/checkpoint_final.pth": changed for fold in "01"})
    assert main(["install", str(file), "--results", str(tmp_path / "there")]) == 1
    shown = capsys.readouterr().err
    assert "do not fit" in shown
    assert shown.rstrip("\n").isprintable()


def test_the_checksum_is_of_the_bytes_that_were_installed(exported, tmp_path):
    import hashlib

    file = Path(shutil.copy(exported, tmp_path / "moved.zip"))
    done = install(file, results=tmp_path / "there")
    assert done.sha256 == hashlib.sha256(exported.read_bytes()).hexdigest()
    assert json.loads((tmp_path / "there" / OF_MODEL / "plans.json").read_text())
