"""Cores and memory of the machine, and what a container or a Slurm job leaves of them; free disk."""

import math
import os
from pathlib import Path

import pytest

from nnunetv2_mscs.workplace.resources import (
    cores,
    existing,
    free_disk_bytes,
    free_memory_bytes,
    shared_memory_bytes,
    write_failure,
)

ALLOWED = len(os.sched_getaffinity(0))
MACHINE = 64 * 1024**2 * 1024  # 64 GiB
GIB = 1024**3


def group(folder: Path, limit: int | str, used: int, cache: int = 0) -> None:
    """A control group's files, of version 1 or 2 by where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    v1 = "memory" in folder.parts
    (folder / ("memory.limit_in_bytes" if v1 else "memory.max")).write_text(f"{limit}\n")
    (folder / ("memory.usage_in_bytes" if v1 else "memory.current")).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 7\n{'total_inactive_file' if v1 else 'inactive_file'} {cache}\n")


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 134217728 kB\nMemAvailable:   67108864 kB\n")
    return tmp_path


def membership(root: Path, text: str) -> Path:
    (root / "proc" / "self" / "cgroup").write_text(text)
    return root / "sys" / "fs" / "cgroup"


def test_without_control_groups_it_is_the_machines(root):
    assert free_memory_bytes(root) == MACHINE
    membership(root, "0::/\n")
    assert free_memory_bytes(root) == MACHINE


def test_without_proc_it_is_the_whole_machines(tmp_path):
    assert free_memory_bytes(tmp_path) > 0


def test_a_limit_of_the_own_group(root):
    folder = membership(root, "0::/job_1/step_0\n") / "job_1" / "step_0"
    group(folder, 8 * GIB, 5 * GIB)
    assert free_memory_bytes(root) == 3 * GIB
    group(folder, 8 * GIB, 5 * GIB, cache=2 * GIB)
    assert free_memory_bytes(root) == 5 * GIB
    group(folder, 8 * GIB, 9 * GIB)
    assert free_memory_bytes(root) == 0
    group(folder, "max", 5 * GIB)
    assert free_memory_bytes(root) == MACHINE
    group(folder, 200 * GIB, 5 * GIB)
    assert free_memory_bytes(root) == MACHINE


def test_a_limit_above_the_own_group(root):
    """Slurm limits the job, and the step and task below it are without a limit."""
    mount = membership(root, "0::/slurm/job_1/step_0/task_0\n")
    group(mount / "slurm" / "job_1" / "step_0" / "task_0", "max", 1 * GIB)
    group(mount / "slurm" / "job_1", 16 * GIB, 4 * GIB)
    assert free_memory_bytes(root) == 12 * GIB


@pytest.mark.parametrize("path", ["/", "/docker/0123abc", "/../other"])
def test_a_containers_own_group_is_the_topmost_it_sees(root, path):
    group(membership(root, f"0::{path}\n"), 4 * GIB, 1 * GIB)
    assert free_memory_bytes(root) == 3 * GIB


@pytest.mark.parametrize("folder", [".", "slurm/job_1"])
def test_version_1(root, folder):
    mount = membership(root, "5:cpu,cpuacct:/slurm\n4:memory:/slurm/job_1\n1:name=systemd:/a:b\n0::/\n")
    group(mount / "memory" / folder, 6 * GIB, 2 * GIB, cache=1 * GIB)
    assert free_memory_bytes(root) == 5 * GIB
    group(mount / "memory" / folder, 9223372036854771712, 2 * GIB)
    assert free_memory_bytes(root) == MACHINE


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


def test_places_that_do_not_exist_yet_are_judged_by_those_above(tmp_path):
    place = tmp_path / "not" / "yet"

    assert existing(place) == tmp_path
    assert free_disk_bytes(place) > 0
    assert write_failure(place) == ""
    assert not any(tmp_path.iterdir())


def test_where_nothing_can_be_written_the_reason_is_told():
    assert write_failure(Path("/proc/self")) != ""


def test_shared_memory(tmp_path):
    assert 0 < shared_memory_bytes(tmp_path) < math.inf
    assert shared_memory_bytes(tmp_path / "none") == math.inf
