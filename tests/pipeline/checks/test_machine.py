import os
from pathlib import Path

import pytest

from nnunetv2_mscs.pipeline.checks.machine import (
    Gpu,
    cores,
    existing,
    free_disk_bytes,
    gpus,
    listed_gpus,
    shared_memory_bytes,
    visible_gpus,
    workers_for,
    write_failure,
)

TABLE = """GPU-aaaa, 0, NVIDIA H100 80GB HBM3, 81559
GPU-bbbb, 1, NVIDIA H100 80GB HBM3, 81559
GPU-cccc, 2, NVIDIA GB10, [N/A]
"""
LISTED = listed_gpus(TABLE)
ALLOWED = len(os.sched_getaffinity(0))


def _group(root, path, name, content):
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)


def _member(root, line):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(line + "\n")


def test_without_groups_the_cores_are_those_allowed(tmp_path):
    assert cores(tmp_path) == ALLOWED


def test_a_group_above_grants_less_than_the_machine_has(tmp_path):
    _member(tmp_path, "0::/slurm/job_7/step_0")
    _group(tmp_path, "slurm/job_7", "cpu.max", "150000 100000\n")
    _group(tmp_path, "slurm/job_7/step_0", "cpu.max", "max 100000\n")

    assert cores(tmp_path) == 1


def test_half_a_core_is_one(tmp_path):
    _member(tmp_path, "4:cpu,cpuacct:/docker/x")
    _group(tmp_path, "cpu,cpuacct/docker/x", "cpu.cfs_quota_us", "50000\n")
    _group(tmp_path, "cpu,cpuacct/docker/x", "cpu.cfs_period_us", "100000\n")

    assert cores(tmp_path) == 1


def test_groups_grant_no_more_than_the_cores_allowed(tmp_path):
    _member(tmp_path, "0::/")
    _group(tmp_path, "", "cpu.max", "6400000 100000\n")

    assert cores(tmp_path) == ALLOWED


@pytest.mark.parametrize(("cores", "slots", "workers"), [(64, 1, 12), (16, 2, 7), (16, 8, 1), (2, 1, 1), (1, 4, 1)])
def test_workers_leave_a_core_for_each_training(cores, slots, workers):
    assert workers_for(cores, slots) == workers


def test_gpus_come_with_their_memory():
    assert LISTED["GPU-bbbb"] == Gpu("1", "NVIDIA H100 80GB HBM3", 81559 * 1024**2)
    assert LISTED["GPU-cccc"].memory_bytes == 0


@pytest.mark.parametrize(
    ("visible", "indices"),
    [
        (None, ["0", "1", "2"]),
        ("2,0", ["2", "0"]),
        ("GPU-bb", ["1"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),
        ("MIG-123", ["MIG-123"]),
    ],
)
def test_only_visible_gpus_count(visible, indices):
    assert [gpu.index for gpu in visible_gpus(LISTED, visible)] == indices


def test_without_a_driver_there_are_no_gpus(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    assert gpus() == []


def test_gpus_are_those_that_nvidia_smi_lists(monkeypatch, tmp_path):
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\ncat <<'END'\n{TABLE}END\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")

    assert [gpu.index for gpu in gpus()] == ["1"]


def test_places_that_do_not_exist_yet_are_judged_by_those_above(tmp_path):
    place = tmp_path / "not" / "yet"

    assert existing(place) == tmp_path
    assert free_disk_bytes(place) > 0
    assert write_failure(place) == ""
    assert not any(tmp_path.iterdir())


def test_where_nothing_can_be_written_the_reason_is_told():
    assert write_failure(Path("/proc/self")) != ""


def test_shared_memory(tmp_path):
    size, free = shared_memory_bytes(tmp_path)

    assert size >= free > 0
    assert shared_memory_bytes(tmp_path / "none") is None
