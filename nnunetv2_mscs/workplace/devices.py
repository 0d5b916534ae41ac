"""The GPUs of this machine, as PyTorch sees them, and the device that a command takes where none is named."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache

from nnunetv2_mscs.errors import MscsError

# PyTorch is asked in a process of its own: this one then holds no memory of a GPU, and need not import PyTorch.
QUESTION = """
import json, warnings, torch
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = [torch.cuda.get_device_properties(i) for i in range(count)]
gpus, said = [[gpu.name, gpu.total_memory] for gpu in found], [str(one.message) for one in said]
print(json.dumps([torch.__version__, gpus, said]))
"""
SECONDS_TO_ANSWER = 120
LONGEST_REASON = 200


@dataclass(frozen=True)
class Gpu:
    """A GPU that this process may use.

    Args:
        index: its entry in CUDA_VISIBLE_DEVICES: the driver's number, or the id of a GPU or of a part of one (MIG).
        name: of the product.
        memory_bytes: all of it.
    """

    index: str
    name: str
    memory_bytes: int = 0


@dataclass(frozen=True)
class Gpus:
    """The GPUs found, and in words what was found or why there are none."""

    found: tuple[Gpu, ...]
    words: str


def look_for_gpus() -> Gpus:
    """Ask PyTorch for its GPUs, in the order of nvidia-smi; CUDA_VISIBLE_DEVICES hides those that it leaves out."""
    return _look(os.environ.get("CUDA_VISIBLE_DEVICES"))


@lru_cache
def _look(visible: str | None) -> Gpus:
    environment = {**os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    try:
        asked = subprocess.run(
            [sys.executable, "-c", QUESTION], env=environment, capture_output=True, text=True, timeout=SECONDS_TO_ANSWER
        )
        version, gpus, said = json.loads(asked.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return Gpus((), f"PyTorch did not say within {SECONDS_TO_ANSWER} s which GPUs it sees")
    except (IndexError, ValueError):
        reason = next(iter(asked.stderr.strip().splitlines()[-1:]), f"exit code {asked.returncode}")
        return Gpus((), f"PyTorch cannot be asked for GPUs: {reason[:LONGEST_REASON]}")
    if not gpus:
        hidden = "" if visible is None else f" with CUDA_VISIBLE_DEVICES={visible!r}"
        return Gpus((), ": ".join([f"PyTorch {version} sees no GPU{hidden}", *said[-1:]])[:LONGEST_REASON])
    names = [str(number) for number in range(len(gpus))] if visible is None else visible.split(",")
    found = tuple(Gpu(index.strip(), *gpu) for index, gpu in zip(names, gpus, strict=False))
    return Gpus(found, f"PyTorch {version} sees " + ", ".join(f"GPU {gpu.index} ({gpu.name})" for gpu in found))


def check_device(device: str) -> None:
    """Raise MscsError if this is a GPU of CUDA, and PyTorch sees none."""
    if device.startswith("cuda") and not (gpus := look_for_gpus()).found:
        raise MscsError(f"There is no GPU for the device {device}: {gpus.words}.", "Choose cpu, or see mscs doctor.")


def default_device() -> tuple[str, str]:
    """The device of a command for which none was named, cuda or cpu, and a line that says which and why."""
    gpus = look_for_gpus()
    device = "cuda" if gpus.found else "cpu"
    return device, f"device {device}: {gpus.words}"
