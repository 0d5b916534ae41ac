"""What doctor finds of shared memory; tests/installation runs it in environments of its own."""

import math

import pytest

from nnunetv2_mscs import doctor
from nnunetv2_mscs.workplace.resources import lack_of_shared_memory


@pytest.mark.parametrize(
    ("size", "workers", "state"),
    [
        (64e3, None, "MISSING"),  # as `docker run --shm-size=64k`
        (64e3, "1", "MISSING"),
        (64e3, "0", None),
        (67_108_864, None, "note"),  # docker's own
        (67_108_864, "1", None),
        (8e9, None, None),
        (None, None, None),
    ],
)
def test_shared_memory(size, workers, state, monkeypatch):
    monkeypatch.delenv("nnUNet_n_proc_DA", raising=False)
    if workers:
        monkeypatch.setenv("nnUNet_n_proc_DA", workers)
    monkeypatch.setattr(doctor, "shared_memory_bytes", lambda: math.inf if size is None else size)
    line = doctor._shared_memory()
    assert (line and line.state) == state
    if line:
        assert line.subject == "/dev/shm"
        assert "docker run --shm-size=8g" in line.remedy
        assert line.text.startswith(str(lack_of_shared_memory(size, 12)[0]))


def test_a_number_of_workers_that_is_none(monkeypatch):
    monkeypatch.setenv("nnUNet_n_proc_DA", "many")
    line = doctor._shared_memory()
    assert (line.state, line.text) == (doctor.MISSING, "many is no number of processes")
