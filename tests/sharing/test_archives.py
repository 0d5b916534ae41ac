"""Zip files that are damaged, or made to harm whoever reads them: refused before anything is placed."""

import hashlib
import re
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.sharing import archive as archives
from nnunetv2_mscs.sharing.archive import look_into
from nnunetv2_mscs.sharing.installing import install
from tests.sharing.tiny_models import DATASET, OF_MODEL, contents, rewrite, write_zip


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(exported, tmp_path, refused, keep):
    content = exported.read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[: int(len(content) * keep)])
    refused(tmp_path / "cut.zip", "no zip file, or its end is missing")


@pytest.mark.parametrize("place", [0.05, 0.3, 0.5, 0.7, 0.85])
def test_a_flipped_bit_is_refused(exported, tmp_path, refused, place):
    content = bytearray(exported.read_bytes())
    content[int(len(content) * place)] ^= 1
    (tmp_path / "flipped.zip").write_bytes(content)
    refused(tmp_path / "flipped.zip", "checkpoint_final.pth in the zip is damaged")


def test_no_flipped_bit_makes_it_pass_as_a_file_without_manifest(exported, tmp_path):
    small = dict.fromkeys([f"fold_{fold}/checkpoint_final.pth" for fold in "01"], b"x")
    content = rewrite(exported, tmp_path / "small.zip", small).read_bytes()
    flipped = tmp_path / "flipped.zip"
    # The lengths of each name and of its comments, and the record at the end.
    entries = [found.start() for found in re.finditer(b"PK\x01\x02", content)]
    places = [entry + offset for entry in entries for offset in range(28, 34)]
    refusals = 0
    for position in (*places, *range(len(content) - 22, len(content))):
        for bit in range(8):
            changed = bytearray(content)
            changed[position] ^= 1 << bit
            flipped.write_bytes(changed)
            try:
                with archives.opened(flipped) as (archive, _):
                    assert look_into(archive).manifest
            except MscsError:
                refusals += 1
    assert refusals > 500


def test_a_file_with_other_contents_than_the_manifest_says_is_refused(exported, tmp_path, refused):
    fingerprint = contents(exported)[f"{OF_MODEL}/dataset_fingerprint.json"]
    for changes, match in (
        ({"dataset_fingerprint.json": fingerprint.replace(b"6.0", b"5.0")}, "differs from its checksum"),
        ({"dataset_fingerprint.json": b"{}"}, "size of .*dataset_fingerprint.json"),
        ({"fold_1/checkpoint_final.pth": None}, "lacks .*fold_1/checkpoint_final.pth"),
        ({f"{OF_MODEL}/evaluation.json": b"{}"}, "evaluation.json, which its manifest does not name"),
    ):
        refused(rewrite(exported, tmp_path / "changed.zip", changes, manifest=False), match)


def test_the_manifest_comes_first_and_is_needed_where_a_card_is(exported, tmp_path):
    content = contents(exported)
    assert next(iter(content)) == f"{OF_MODEL}/mscs_manifest.json"
    del content[f"{OF_MODEL}/mscs_manifest.json"]
    with pytest.raises(MscsError, match=r"lacks the mscs_manifest.json"):
        install(write_zip(tmp_path / "bare.zip", content), results=tmp_path / "there")
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize(
    "name", [f"{DATASET}/../../evil", "../evil", "/tmp/evil", "C:/evil", f"{DATASET}\\..\\evil", f"{OF_MODEL}/./evil"]
)
def test_paths_that_lead_out_are_refused(exported, tmp_path, refused, name):
    refused(rewrite(exported, tmp_path / "evil.zip", {name: b"x"}), "leads out")


def packed_on_windows(source: Path, out: Path, *, which: str = "") -> Path:
    """The zip anew, with backslashes in the names that hold `which`, and an entry for a folder."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in {f"{DATASET}/": b"", **contents(source)}.items():
            entry = zipfile.ZipInfo("x")
            entry.filename = name.replace("/", "\\") if which in name else name
            new.writestr(entry, content)
    return out


@pytest.mark.parametrize("which", ["", "fold_", "plans.json"])
def test_a_zip_packed_again_with_backslashes_is_installed(exported, tmp_path, there, which):
    install(exported, results=tmp_path / "plain")
    install(packed_on_windows(exported, tmp_path / "again.zip", which=which), results=there)
    files = {
        results: {
            path.relative_to(results).as_posix(): path.read_bytes() for path in results.rglob("*") if path.is_file()
        }
        for results in (tmp_path / "plain", there)
    }
    assert files[there] == files[tmp_path / "plain"]


@pytest.mark.parametrize("name", ["..\\evil", f"{DATASET}\\..\\..\\evil", "C:\\evil", "\\\\server\\evil"])
def test_backslashes_lead_out_no_more_than_slashes(exported, tmp_path, refused, name):
    refused(rewrite(exported, tmp_path / "evil.zip", {name: b"x"}), "leads out")


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
        assert not (tmp_path / "there").exists()


def test_an_entry_whose_name_is_no_text_is_refused_as_damaged(tmp_path, refused):
    name = f"{DATASET}/\N{LATIN SMALL LETTER A WITH DIAERESIS}"
    file = write_zip(tmp_path / "umlaut.zip", {name: b"x"})
    file.write_bytes(file.read_bytes().replace("ä".encode(), b"\xff\xff"))
    refused(file, "no zip file")


@pytest.mark.parametrize(
    "name",
    [
        f"{DATASET}/stray.json",
        f"{DATASET}/a/b",
        *(
            f"{OF_MODEL}/{name}"
            for name in (
                "run.sh",
                "fold_0/more.pkl",
                "fold_0/code.py",
                "a.pth",
                "fold_0/evil.pth",
                "fold_01/checkpoint_final.pth",
            )
        ),
        f"{DATASET}/ensembles/x/summary.json",
        f"{DATASET}/ensembles/fold_0/checkpoint_final.pth",
    ],
)
def test_files_that_no_export_writes_are_refused(exported, tmp_path, refused, name):
    refused(rewrite(exported, tmp_path / "stray.zip", {name: b"{}"}), "not part of a model")


def test_folders_that_are_no_model_are_refused(exported, tmp_path, refused):
    for name, match in (
        ("Dataset902_Other/a.json", "not one folder"),
        (f"{DATASET}/-tr__nnUNetPlans__2d/plans.json", "not a model of nnU-Net"),
        (f"{DATASET}/crossval_results_folds_0/plans.json", "not a model of nnU-Net"),
    ):
        refused(rewrite(exported, tmp_path / "stray.zip", {name: b"{}"}), match)
    refused(write_zip(tmp_path / "record.zip", {f"{DATASET}/inference_information.json": b"{}"}), "no model of nnU-Net")
    refused(write_zip(tmp_path / "empty.zip", {}), "holds nothing")


def test_what_file_managers_and_nnunet_leave_beside_a_model_is_left_out(exported, tmp_path, there):
    stray = ("__MACOSX/._plans.json", f"{OF_MODEL}/.DS_Store", f"{DATASET}/inference_instructions.txt")
    file = rewrite(exported, tmp_path / "mac.zip", dict.fromkeys(stray, b"x"), manifest=False)
    install(file, results=there)
    assert [path.name for path in there.iterdir()] == [DATASET]
    assert not any(path.name in (".DS_Store", "inference_instructions.txt") for path in there.rglob("*"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("kind", "name", "match"),
    [
        (stat.S_IFLNK, f"{OF_MODEL}/link", "link or a device"),
        (stat.S_IFLNK, "__MACOSX/link", "link or a device"),
        (stat.S_IFIFO, f"{OF_MODEL}/fold_0/progress.png", "link or a device"),
        (stat.S_IFREG, f"{OF_MODEL}/plans.json", "twice"),
    ],
)
def test_links_devices_and_doubles_are_refused(exported, tmp_path, refused, kind, name, match):
    changed = Path(shutil.copy(exported, tmp_path / "changed.zip"))
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (kind | 0o644) << 16
    with zipfile.ZipFile(changed, "a") as archive:
        archive.writestr(entry, "/etc/passwd")
    refused(changed, match)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_to_compress_are_refused(exported, tmp_path, refused, method):
    refused(write_zip(tmp_path / "new.zip", contents(exported), method), "compressed by method")


def test_an_encrypted_entry_is_refused(exported, tmp_path, refused):
    content = bytearray(exported.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "encrypted.zip").write_bytes(content)
    refused(tmp_path / "encrypted.zip", "encrypted")


def test_too_many_files_are_refused(exported, monkeypatch, refused):
    monkeypatch.setattr(archives, "MOST_FILES", 5)
    refused(exported, "more than 5 files")


def test_an_entry_larger_than_it_says_is_refused(exported, tmp_path, refused):
    bomb = rewrite(exported, tmp_path / "bomb.zip", {"dataset_fingerprint.json": b" " * 1_000_000})
    file = write_zip(tmp_path / "packed.zip", contents(bomb), zipfile.ZIP_DEFLATED)
    content = file.read_bytes()
    said = (1_000_000).to_bytes(4, "little")
    assert content.count(said) == 2
    file.write_bytes(content.replace(said, (82).to_bytes(4, "little")))
    refused(file, "size of .*dataset_fingerprint.json")
    told = contents(bomb)[f"{OF_MODEL}/mscs_manifest.json"]
    lying = {"mscs_manifest.json": told.replace(b'"bytes": 1000000', b'"bytes": 82')}
    file = write_zip(
        tmp_path / "packed.zip",
        contents(rewrite(bomb, tmp_path / "lying.zip", lying, manifest=False)),
        zipfile.ZIP_DEFLATED,
    )
    file.write_bytes(file.read_bytes().replace(said, (82).to_bytes(4, "little")))
    refused(file, "dataset_fingerprint.json in the zip is damaged")


@pytest.mark.parametrize("name", ["mscs_manifest.json", "plans.json", "dataset.json"])
def test_json_without_end_is_refused(exported, tmp_path, refused, name):
    deep = b"[" * 100_000
    file = rewrite(exported, tmp_path / "deep.zip", {f"__2d/{name}": deep}, manifest=name != "mscs_manifest.json")
    refused(file, "cannot be read")


def test_the_checksum_is_of_the_bytes_that_were_installed(exported, there):
    assert install(exported, results=there).sha256 == hashlib.sha256(exported.read_bytes()).hexdigest()
