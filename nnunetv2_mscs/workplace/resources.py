"""What this process may use of the machine, within the limits of a container or Slurm job: cores, memory, disk."""

import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# Files of a control group for memory, by version of cgroups: limit, usage, and in memory.stat the cache that gives way.
MEMORY_FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
SHARED_MEMORY = Path("/dev/shm")
# Shared memory by the number of processes that hand a training its data: none, one, several.
LEAST_SHARED_BYTES = (0.0, 32e6, 1e9)
PROBE_BYTES = 64 * 1024
# Beyond that the disk is the limit.
MOST_PROCESSES = 8
# nnU-Net's own default number of processes that augment the data of one training.
MOST_TRAINING_WORKERS = 12


@dataclass(frozen=True)
class ProcessCounts:
    """How many processes this machine bears.

    Args:
        augmenting: that augment the data of one training.
        others: of any other work.
    """

    augmenting: int
    others: int


def cores(root: Path = Path("/")) -> int:
    """CPU cores that this process may keep busy: those it may run on, or fewer if its control groups grant less time.

    Args:
        root: the folder that holds proc and sys.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    granted = min((_cores_of_group(*group) for group in _groups(root, "cpu")), default=math.inf)
    return max(1, math.floor(min(allowed, granted)))


def workers_for(cores: int, slots: int, gpus_per_training: int = 1) -> int:
    """Processes that augment data for one GPU, when `slots` trainings run side by side on so many cores.

    nnU-Net starts as many for each GPU of a training. Each GPU has its share of the cores, and one of them is for its
    main process. Never more than nnU-Net's own default.
    """
    return max(1, min(MOST_TRAINING_WORKERS, cores // (slots * gpus_per_training) - 1))


def default_processes() -> int:
    """The cores that this process may use, `MOST_PROCESSES` at most."""
    return min(cores(), MOST_PROCESSES)


def processes_here() -> ProcessCounts:
    """The numbers of processes for commands that are typed on this machine, one after another."""
    augmenting, shared = workers_for(cores(), 1), shared_memory_bytes()
    while lack_of_shared_memory(shared, augmenting):
        augmenting = min(augmenting, 2) - 1
    return ProcessCounts(augmenting, default_processes())


def free_memory_bytes(root: Path = Path("/")) -> float:
    """Memory that is free now: on the machine, or within the process's control group or one above it, if less.

    Args:
        root: the folder that holds proc and sys.
    """
    return min([_free_on_machine(root), *(_free_in_group(*group) for group in _groups(root, "memory"))])


def _groups(root: Path, controller: str) -> Iterator[tuple[Path, int]]:
    """Folders of the process's control groups and of all groups above them, with the version of cgroups.

    In a container the path may be the host's, and its folder absent; then the topmost is the container's own.
    """
    membership = root / "proc/self/cgroup"
    if not membership.is_file():
        return
    mount = root / "sys/fs/cgroup"
    for line in membership.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            tops, version = [mount, mount / "unified"], 2
        elif controller in controllers.split(","):
            tops, version = [mount / controller, mount / controllers], 1
        else:
            continue
        inside = PurePosixPath(path.lstrip("/"))
        for top in tops:
            yield from ((top / group, version) for group in (inside, *inside.parents))


def _cores_of_group(group: Path, version: int) -> float:
    """Cores' worth of CPU time that a group grants; infinite without a limit."""
    try:
        if version == 2:
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
    except (OSError, ValueError):  # no such group here, or hidden from the process
        return math.inf
    return math.inf if quota in ("max", "-1") else int(quota) / int(period)


def _free_on_machine(root: Path) -> float:
    file = root / "proc/meminfo"
    if file.is_file():
        sizes = dict(line.split(":") for line in file.read_text().splitlines())
        return int(sizes["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _free_in_group(group: Path, version: int) -> float:
    limit_file, usage_file, cache = MEMORY_FILES[version]
    try:
        limit = (group / limit_file).read_text().strip()
        if limit == "max":
            return math.inf
        used = int((group / usage_file).read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except OSError:  # no such group here, or hidden from the process
        return math.inf
    return max(int(limit) - used + int(statistics.get(cache, 0)), 0)


def shared_memory_bytes(folder: Path = SHARED_MEMORY) -> float:
    """Size of the shared memory; infinite where there is none, as on macOS."""
    return shutil.disk_usage(folder).total if folder.is_dir() else math.inf


def lack_of_shared_memory(size: float, workers: int) -> tuple[str, str] | None:
    """What is wrong with the shared memory for so many processes, and what to do; None if it is large enough.

    Args:
        size: of the shared memory, in bytes; infinite where there is none to look at.
        workers: processes that augment the data of one training.
    """
    if size >= LEAST_SHARED_BYTES[min(max(workers, 0), 2)]:
        return None
    shown = f"{size / 1e9:.2g} GB" if size >= 5e8 else f"{size / 1e6:.2g} MB"
    return f"the shared memory has {shown}", "Give the container more: docker run --shm-size=8g."


def free_disk_bytes(place: Path) -> int:
    """Free bytes of the file system of a place, which need not exist yet."""
    return shutil.disk_usage(existing(place)).free


def write_failure(place: Path) -> str:
    """Why nothing can be written to a folder, or to where it would be made; empty if it can, also within a quota."""
    there = next(one for one in (place, *place.parents) if os.path.lexists(one))  # a broken link, too
    try:
        with tempfile.TemporaryFile(dir=there) as probe:
            probe.write(b"\0" * PROBE_BYTES)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""


def existing(place: Path) -> Path:
    """The place itself, or the nearest folder above it that exists."""
    return next(one for one in (place, *place.parents) if one.exists())
