"""Free memory of the machine, and what a container or a Slurm job leaves of it."""

from pathlib import Path

import pytest

from nnunetv2_mscs.training.host_memory import free_host_memory_bytes

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
    assert free_host_memory_bytes(root) == MACHINE
    membership(root, "0::/\n")
    assert free_host_memory_bytes(root) == MACHINE


def test_without_proc_it_is_the_whole_machines(tmp_path):
    assert free_host_memory_bytes(tmp_path) > 0


def test_a_limit_of_the_own_group(root):
    folder = membership(root, "0::/job_1/step_0\n") / "job_1" / "step_0"
    group(folder, 8 * GIB, 5 * GIB)
    assert free_host_memory_bytes(root) == 3 * GIB
    group(folder, 8 * GIB, 5 * GIB, cache=2 * GIB)
    assert free_host_memory_bytes(root) == 5 * GIB
    group(folder, 8 * GIB, 9 * GIB)
    assert free_host_memory_bytes(root) == 0
    group(folder, "max", 5 * GIB)
    assert free_host_memory_bytes(root) == MACHINE
    group(folder, 200 * GIB, 5 * GIB)
    assert free_host_memory_bytes(root) == MACHINE


def test_a_limit_above_the_own_group(root):
    """Slurm limits the job, and the step and task below it are without a limit."""
    mount = membership(root, "0::/slurm/job_1/step_0/task_0\n")
    group(mount / "slurm" / "job_1" / "step_0" / "task_0", "max", 1 * GIB)
    group(mount / "slurm" / "job_1", 16 * GIB, 4 * GIB)
    assert free_host_memory_bytes(root) == 12 * GIB


@pytest.mark.parametrize("path", ["/", "/docker/0123abc", "/../other"])
def test_a_containers_own_group_is_the_topmost_it_sees(root, path):
    group(membership(root, f"0::{path}\n"), 4 * GIB, 1 * GIB)
    assert free_host_memory_bytes(root) == 3 * GIB


@pytest.mark.parametrize("folder", [".", "slurm/job_1"])
def test_version_1(root, folder):
    mount = membership(root, "5:cpu,cpuacct:/slurm\n4:memory:/slurm/job_1\n1:name=systemd:/a:b\n0::/\n")
    group(mount / "memory" / folder, 6 * GIB, 2 * GIB, cache=1 * GIB)
    assert free_host_memory_bytes(root) == 5 * GIB
    group(mount / "memory" / folder, 9223372036854771712, 2 * GIB)
    assert free_host_memory_bytes(root) == MACHINE
