"""Remedies are found by what the libraries really print."""

import traceback

import numpy as np
import pytest

from nnunetv2_mscs.pipeline.remedies import SYMPTOMS, remedies_for


def _finding(*texts):
    return [remedy.finding for remedy in remedies_for(*texts)]


def _traceback(action):
    try:
        action()
    except Exception:
        return traceback.format_exc()
    raise AssertionError("nothing was raised")


def test_a_gpu_that_is_not_there():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")

    assert _finding(_traceback(lambda: torch.zeros(1, device="cuda"))) == [
        "PyTorch cannot use the GPU that was asked for."
    ]


@pytest.mark.parametrize("damage", ["cut", "scrambled", "empty"])
def test_a_damaged_preprocessed_file(tmp_path, damage):
    import blosc2

    file = tmp_path / "case.b2nd"
    blosc2.asarray(np.random.default_rng(0).random((40, 40, 40)), urlpath=str(file))
    content = bytearray(file.read_bytes())
    half = len(content) // 2
    content[half : half + 4000] = np.random.default_rng(1).bytes(4000)
    file.write_bytes({"cut": content[:half], "scrambled": content, "empty": b""}[damage])

    assert _finding(_traceback(lambda: blosc2.open(str(file))[:])) == ["A preprocessed file is damaged or missing."]


def test_a_case_without_preprocessed_data(tmp_path):
    import blosc2

    said = _traceback(lambda: blosc2.open(str(tmp_path / "case.b2nd")))

    assert _finding(said) == ["A preprocessed file is damaged or missing."]


def test_a_damaged_checkpoint(tmp_path):
    import torch

    file = tmp_path / "checkpoint_latest.pth"
    torch.save({"weights": torch.zeros(1000)}, file)
    file.write_bytes(file.read_bytes()[:2000])

    assert _finding(_traceback(lambda: torch.load(file))) == ["A checkpoint is damaged."]


def test_a_full_disk():
    assert _finding(_traceback(lambda: _write_to_full_disk())) == ["A disk is full, or a quota used up."]


def _write_to_full_disk():
    with open("/dev/full", "w") as full:
        full.write("x")


def test_memory_that_cannot_be_had():
    said = _traceback(lambda: np.zeros((10**7, 10**8)))

    assert _finding(said) == ["The machine, or the job, has too little memory."]


def test_out_of_memory_on_the_gpu():
    said = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of ..."

    assert _finding(said) == ["The GPU has too little memory."]


def test_dead_workers_are_a_symptom_that_a_cause_explains():
    dead = "RuntimeError: One or more background workers are no longer alive. Exiting."

    assert _finding(dead) == [SYMPTOMS[0].finding]
    assert _finding("OSError: [Errno 28] No space left on device", dead) == ["A disk is full, or a quota used up."]


def test_a_command_killed_by_signal_9_lacked_memory():
    assert _finding("", "nnUNetv2_train 1 2d 0 was killed by signal 9:") == [SYMPTOMS[0].finding]


def test_a_training_whose_starts_all_failed():
    from nnunetv2_mscs.training.starting import StartFailedError

    finding = "All 3 starts of the training failed: in the last, the network predicted no foreground during 500 steps."

    assert len(_finding(_traceback(lambda: _raise(StartFailedError(finding, "Look at the labels."))))) == 1


def _raise(error):
    raise error


def test_nothing_is_made_up():
    assert remedies_for("AssertionError", "nnUNetv2_train 1 2d 0 exited with 1") == []
