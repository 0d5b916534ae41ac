"""How much of the machine's memory this process can still have, within the limits of its container or Slurm job."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

# Files of a control group by version of cgroups: its limit, its usage, and in memory.stat its cache that gives way.
V2 = ("memory.max", "memory.current", "inactive_file")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def free_host_memory_bytes(root: Path = Path("/")) -> float:
    """Memory that is free now: on the machine, or within the process's control group or one above it, if less.

    Args:
        root: where proc and sys are.
    """
    return min(_free_on_machine(root), _free_in_groups(root))


def _free_on_machine(root: Path) -> float:
    file = root / "proc/meminfo"
    if file.is_file():
        sizes = dict(line.split(":") for line in file.read_text().splitlines())
        return int(sizes["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _free_in_groups(root: Path) -> float:
    """The least that any of the control groups leaves; infinite where none has a limit, or none can be read."""
    return min((_free_in_group(folder, *files) for folder, files in _groups(root)), default=math.inf)


def _groups(root: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """Folders of the process's control groups for memory and of all above them, with the names of their files.

    In a container the path may be the host's, and its folder absent: the container's own is then the topmost.
    """
    membership = root / "proc/self/cgroup"
    if not membership.is_file():
        return
    mount = root / "sys/fs/cgroup"
    for line in membership.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            tops, files = [mount, mount / "unified"], V2
        elif "memory" in controllers.split(","):
            tops, files = [mount / "memory"], V1
        else:
            continue
        inside = PurePosixPath(path.lstrip("/"))
        for top in tops:
            yield from ((top / group, files) for group in (inside, *inside.parents))


def _free_in_group(folder: Path, limit_file: str, usage_file: str, cache: str) -> float:
    try:
        limit = (folder / limit_file).read_text().strip()
        if limit == "max":
            return math.inf
        used = int((folder / usage_file).read_text())
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:  # no such group here, or hidden from the process
        return math.inf
    return max(int(limit) - used + int(statistics.get(cache, 0)), 0)
