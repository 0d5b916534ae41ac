"""What this machine really has for a run, within the limits of a container: cores, memory, GPUs, disk."""

import csv
import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nnunetv2_mscs.training.host_memory import free_host_memory_bytes

# nnU-Net's own default number of processes that augment the data of one training.
MOST_TRAINING_WORKERS = 12
SHARED_MEMORY = Path("/dev/shm")
SECONDS_TO_ANSWER = 30
MIB = 1024**2
PROBE_BYTES = 64 * 1024


def cores(root: Path = Path("/")) -> int:
    """CPU cores that this process may keep busy: of those it may run on, as many as its control groups grant time for.

    Args:
        root: where proc and sys are.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    granted = min((_granted(folder, version) for folder, version in _cpu_groups(root)), default=math.inf)
    return max(1, min(allowed, math.floor(granted) if math.isfinite(granted) else allowed))


def _cpu_groups(root: Path) -> Iterator[tuple[Path, int]]:
    """Folders of the process's control groups for CPU time and of all above them, with the version of cgroups."""
    membership = root / "proc/self/cgroup"
    if not membership.is_file():
        return
    mount = root / "sys/fs/cgroup"
    for line in membership.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            tops, version = [mount, mount / "unified"], 2
        elif "cpu" in controllers.split(","):
            tops, version = [mount / "cpu", mount / controllers], 1
        else:
            continue
        inside = PurePosixPath(path.lstrip("/"))
        for top in tops:
            yield from ((top / group, version) for group in (inside, *inside.parents))


def _granted(group: Path, version: int) -> float:
    """Cores' worth of CPU time that a group grants; infinite without a limit."""
    try:
        if version == 2:
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
    except (OSError, ValueError):  # no such group here, or hidden from the process
        return math.inf
    return math.inf if quota in ("max", "-1") else int(quota) / int(period)


def workers_for(cores: int, slots: int, gpus_per_training: int = 1) -> int:
    """Processes that augment data for one GPU, when `slots` trainings run side by side on so many cores.

    nnU-Net starts as many for each GPU of a training. Each GPU has its share of the cores, one of them for its main
    process. Never more than nnU-Net's own default.
    """
    return max(1, min(MOST_TRAINING_WORKERS, cores // (slots * gpus_per_training) - 1))


def free_memory_bytes() -> float:
    """Memory that this process and those it starts can still have."""
    return free_host_memory_bytes()


def shared_memory_bytes(folder: Path = SHARED_MEMORY) -> tuple[int, int] | None:
    """Size of the shared memory and what of it is free; None where there is none, as on macOS."""
    try:
        state = os.statvfs(folder)
    except OSError:
        return None
    return state.f_frsize * state.f_blocks, state.f_frsize * state.f_bavail


@dataclass(frozen=True)
class Gpu:
    """A GPU that this process may use.

    Args:
        index: as CUDA_VISIBLE_DEVICES takes it: the driver's number, or the id of a part of a GPU (MIG).
        name: of the product.
        memory_bytes: all of it; 0 if not known.
    """

    index: str
    name: str
    memory_bytes: int = 0


def gpus() -> list[Gpu]:
    """The GPUs that nvidia-smi lists and CUDA_VISIBLE_DEVICES leaves, in its order; none without a driver."""
    return visible_gpus(_listed(), os.environ.get("CUDA_VISIBLE_DEVICES"))


def _listed() -> dict[str, Gpu]:
    """Every GPU of the machine by its unique id."""
    words = ["nvidia-smi", "--query-gpu=uuid,index,name,memory.total", "--format=csv,noheader,nounits"]
    try:
        asked = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS_TO_ANSWER)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return listed_gpus(asked.stdout) if asked.returncode == 0 else {}


def listed_gpus(table: str) -> dict[str, Gpu]:
    """GPUs by their unique id, from the table of nvidia-smi."""
    rows = (row for row in csv.reader(table.splitlines(), skipinitialspace=True) if len(row) == 4)
    return {uuid: Gpu(index, name, _mib(total)) for uuid, index, name, total in rows}


def _mib(text: str) -> int:
    return int(text) * MIB if text.strip().isdigit() else 0  # "[N/A]" of a GPU that shares the host's memory


def visible_gpus(listed: dict[str, Gpu], visible: str | None) -> list[Gpu]:
    """Those that CUDA_VISIBLE_DEVICES leaves; as in CUDA, whatever follows an entry that is none is left out."""
    if visible is None or not listed:
        return list(listed.values())
    found: list[Gpu] = []
    for entry in visible.split(","):
        gpu = _named(listed, entry.strip())
        if gpu is None:
            break
        found.append(gpu)
    return found


def _named(listed: dict[str, Gpu], entry: str) -> Gpu | None:
    if entry.startswith("MIG-"):
        return Gpu(entry, "part of a GPU")
    by_id = [gpu for uuid, gpu in listed.items() if entry.startswith("GPU-") and uuid.startswith(entry)]
    return next((gpu for gpu in [*by_id, *listed.values()] if gpu in by_id or gpu.index == entry), None)


def free_disk_bytes(place: Path) -> int:
    """What is free on the file system that a place, which need not exist yet, lies or will lie on."""
    return shutil.disk_usage(existing(place)).free


def write_failure(place: Path) -> str:
    """Why nothing can be written to a folder, or to where it would be made; empty if it can, a quota included."""
    try:
        with tempfile.TemporaryFile(dir=existing(place)) as probe:
            probe.write(b"\0" * PROBE_BYTES)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""


def existing(place: Path) -> Path:
    """The place itself, or the nearest folder above it that there is."""
    return next(one for one in (place, *place.parents) if one.exists())
