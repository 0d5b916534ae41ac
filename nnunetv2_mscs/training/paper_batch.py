"""How large a batch the paper's recipe can have: the paper's, or what fits into the memory at hand."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from nnunetv2_mscs.planning.memory import GIGABYTE, training_memory
from nnunetv2_mscs.workplace import resources

PAPER_BATCH_SIZE = 8
# Share of the memory at hand that is counted on: the estimate is calculated, and a full GPU fails late.
USABLE_SHARE = 0.9
# Adam keeps a second float32 value for every weight; SGD's one is in the estimate.
SECOND_MOMENT_BYTES = 4


def batch_size_that_fits(
    build_network: Callable[[], nn.Module],
    input_channels: int,
    patch_size: Sequence[int],
    available_bytes: float,
    *,
    half_precision: bool,
    workers: int = 1,
) -> tuple[int, str]:
    """The paper's batch size or the largest below that fits; and in a sentence why.

    It is at least 2, and at least 1 for each of the distributed workers that share the batch and have `available_bytes`
    each. The estimate is that of a step in half precision; in float32 the activations take twice as much.
    """
    memory = training_memory(build_network, input_channels, patch_size, samples=2)
    fixed = memory.fixed + SECOND_MOMENT_BYTES * memory.parameters
    per_sample = memory.per_sample * (1 if half_precision else 2)
    fitting = workers * int((USABLE_SHARE * available_bytes - fixed) // per_sample)
    batch_size = max(min(PAPER_BATCH_SIZE, fitting), 2, workers)
    needed = fixed + math.ceil(batch_size / workers) * per_sample
    sizes = f"about {needed / GIGABYTE:.1f} GB needed, {available_bytes / GIGABYTE:.1f} GB free"
    if batch_size == PAPER_BATCH_SIZE <= fitting:
        return batch_size, f"Batch size {batch_size}, as in the paper ({sizes})."
    if fitting >= batch_size:
        return (
            batch_size,
            f"Batch size {batch_size}, the largest that fits ({sizes}); the paper's is {PAPER_BATCH_SIZE}.",
        )
    return batch_size, f"Batch size {batch_size}, the smallest, though it may not fit ({sizes})."


def free_memory_bytes(device: torch.device) -> float:
    """Memory that is free now: the GPU's, or the process's share of the machine's where the device has none."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else resources.free_memory_bytes()
