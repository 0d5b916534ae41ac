"""Checkpoints and postprocessing.pkl: nothing in them runs, and nothing in them takes memory or time without end."""

import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.postprocessing.remove_connected_components import remove_all_but_largest_component_from_segmentation

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.sharing.checkpoints import inspect_checkpoint
from nnunetv2_mscs.sharing.postprocessing import read_postprocessing
from tests.sharing.tiny_models import Command, rewrite, with_checkpoints

STEP = remove_all_but_largest_component_from_segmentation


def test_code_in_a_checkpoint_never_runs(exported, tmp_path, refused):
    mark = tmp_path / "ran"
    file = tmp_path / "checkpoint_final.pth"
    torch.save({"network_weights": {}, "logging": Command(mark)}, file)
    evil = rewrite(exported, tmp_path / "evil.zip", {"fold_0/checkpoint_final.pth": file.read_bytes()})
    refused(evil, r"fold_0/checkpoint_final.pth names (posix|nt)\.system")
    assert not mark.exists()
    torch.load(file, weights_only=False)
    assert mark.exists()  # the file is as dangerous as it is meant to be


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (lambda mark: pickle.dumps(Command(mark)), r"names (posix|nt)\.system"),
        (lambda mark: pickle.dumps(([Command(mark)], [{}])), r"names (posix|nt)\.system"),
        (lambda _: pickle.dumps(([print], [{}])), r"names builtins\.print"),
        (lambda _: pickle.dumps(([], [])) + b"x", "follows its end"),
        (lambda _: pickle.dumps({"a": 1, "b": 2}), "not a pair"),
        (lambda _: pickle.dumps(([], [], [])), "too many values"),
        (lambda _: b"\x80", "postprocessing.pkl is refused"),
    ],
)
def test_code_in_the_postprocessing_never_runs(exported, tmp_path, refused, content, match):
    mark = tmp_path / "ran"
    refused(rewrite(exported, tmp_path / "evil.zip", {"postprocessing.pkl": content(mark)}), match)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        # Each list is in the file once, and would be gone through 9000 * 9000 times.
        (pickle.dumps(([STEP], [{"labels_or_regions": [[[1] * 9000] * 9000] * 9000}])), "no labels"),
        (pickle.dumps(([STEP], [{"labels_or_regions": 1, "other": 1}])), "settings are not those"),
        (pickle.dumps(([STEP], [{"labels_or_regions": np.float64(1)}])), "numbers of the type 'f8'"),
        (pickle.dumps(([STEP], [{"labels_or_regions": list(range(70_000))}])), "too large"),
        (b"\x80\x04]r" + (2**31).to_bytes(4, "little") + b"]\x86.", "LONG_BINPUT"),
        (b"\x80\x04" + b"]" * 30_000 + b"a" * 29_999 + b"]\x86.", "not a pair"),
        (b"I" + b"9" * 50_000 + b"\n.", "is refused"),
    ],
)
def test_postprocessing_that_takes_time_or_memory_is_refused(tmp_path, content, match):
    (tmp_path / "postprocessing.pkl").write_bytes(content)
    with pytest.raises(MscsError, match=match):
        read_postprocessing(tmp_path / "postprocessing.pkl")


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
def test_postprocessing_of_nnunets_is_read(tmp_path, protocol):
    labels = [np.int64(1), np.int64(2)], np.int64(1), (1, 2), [(1, 2), 3]
    found = [STEP] * 4, [{"labels_or_regions": one} for one in labels]
    (tmp_path / "postprocessing.pkl").write_bytes(pickle.dumps(found, protocol))
    assert read_postprocessing(tmp_path / "postprocessing.pkl") == 4


@pytest.fixture
def checkpoint(model) -> Path:
    return model / "fold_0" / "checkpoint_final.pth"


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(10**11),  # takes no memory until somebody reads it
        torch.zeros(2).to(torch.float8_e4m3fn),
        torch.zeros(2).to(torch.complex64),
    ],
)
def test_tensors_that_no_network_here_has_are_refused(checkpoint, tensor):
    content = torch.load(checkpoint, weights_only=False)
    content["network_weights"]["odd"] = tensor
    torch.save(content, checkpoint)
    with pytest.raises(MscsError, match="not a checkpoint of nnU-Net's"):
        inspect_checkpoint(checkpoint)


def test_a_compressed_checkpoint_is_refused(checkpoint):
    with zipfile.ZipFile(checkpoint) as old, zipfile.ZipFile(f"{checkpoint}.new", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    shutil.move(f"{checkpoint}.new", checkpoint)
    with pytest.raises(MscsError, match="it is compressed"):
        inspect_checkpoint(checkpoint)


def test_words_of_a_checkpoint_cannot_paint_the_terminal(exported, tmp_path, capsys):
    def paint(content: dict) -> None:
        content["network_weights"]["\x1b[2J\nplaced: /"] = torch.zeros(1)

    file = with_checkpoints(exported, tmp_path / "evil.zip", paint)
    assert main(["install", str(file), "--results", str(tmp_path / "there")]) == 1
    shown = capsys.readouterr().err
    assert "do not fit" in shown
    assert shown.rstrip("\n").isprintable()
