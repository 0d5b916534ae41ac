"""What doctor finds of shared memory; tests/installation runs it in environments of its own."""

import math

import pytest

from nnunetv2_mscs import doctor
from nnunetv2_mscs.workplace import resources
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


@pytest.mark.parametrize(
    ("cores", "training", "others", "state"),
    [
        (2, None, None, "note"),
        (2, "1", "2", "ok"),
        (2, "1", "8", "note"),
        (2, "many", "2", "note"),
        (64, None, None, "ok"),
    ],
)
def test_numbers_of_processes_that_the_machine_bears(cores, training, others, state, monkeypatch):
    for name, value in (("nnUNet_n_proc_DA", training), ("nnUNet_def_n_proc", others)):
        monkeypatch.delenv(name, raising=False)
        if value:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(resources, "cores", lambda: cores)
    monkeypatch.setattr(resources, "shared_memory_bytes", lambda: math.inf)
    line = doctor._processes()
    assert line.state == state
    assert line.remedy == ("" if state == "ok" else "export nnUNet_n_proc_DA=1 nnUNet_def_n_proc=2")


@pytest.mark.parametrize(("shared", "workers"), [(64e3, 0), (67e6, 1), (8e9, 12)])
def test_fewer_processes_augment_where_shared_memory_is_small(shared, workers, monkeypatch):
    monkeypatch.setattr(resources, "cores", lambda: 64)
    monkeypatch.setattr(resources, "shared_memory_bytes", lambda: shared)
    assert resources.processes_here() == resources.ProcessCounts(augmenting=workers, others=8)


def test_a_number_of_workers_that_is_none(monkeypatch):
    monkeypatch.setenv("nnUNet_n_proc_DA", "many")
    line = doctor._shared_memory()
    assert (line.state, line.text) == (doctor.MISSING, "many is not a number of processes")
