"""How much GPU memory a training step of a planned network needs, without a GPU and without data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

GIGABYTE = 1e9
# CUDA context with the cuBLAS and cuDNN handles.
CONTEXT_BYTES = 0.5 * GIGABYTE
# A weight in float32, its gradient, the momentum of SGD, and the half precision copy that autocast keeps.
BYTES_PER_PARAMETER = 4 + 4 + 4 + 2
# Of these, what there is at the peak of the activations: gradients come as the activations go.
HELD_PER_PARAMETER = 4 + 4 + 2
# In the optimiser: weight, gradient, momentum, and the gradients with weight decay that PyTorch's SGD makes for all
# weights at once.
STEPPED_PER_PARAMETER = 4 + 4 + 4 + 4
# What the backward pass holds at its peak beyond what the forward pass has kept: gradients in flight at full
# resolution, counted in the largest tensor that is kept, the concatenation there (benchmarks/memory.py).
IN_FLIGHT = 2.2
# What a step is granted beyond the activations it keeps for the backward pass (gradients in flight, cuDNN workspaces,
# loss, fragmentation), as a factor on those. Set so that nnU-Net's own U-Net gets the memory that nnU-Net's planner
# grants it (PlainConvUNet, 32 to 320 features, 128^3, batch 2: 6.5 GB).
ACTIVATION_FACTOR = 1.55


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of GPU memory to plan with, and the bytes of its tensors at the peak of a training step.

    What is planned with is what nnU-Net grants its own U-Net: the tensors, and what no count of tensors sees (CUDA's
    context, workspaces of cuDNN, fragmentation).

    Args:
        parameters: their number.
        fixed: planned with, whatever the batch.
        per_sample: planned with for each patch of the batch.
        kept_per_sample: activations in half precision that the forward pass keeps for the backward pass.
        largest_kept: the largest of them.
    """

    parameters: int
    fixed: float
    per_sample: float
    kept_per_sample: float
    largest_kept: float

    def at_batch_size(self, batch_size: int) -> float:
        """Bytes at a batch size."""
        return self.fixed + batch_size * self.per_sample

    def peak_of_tensors(self, batch_size: int, *, mixed_precision: bool = True) -> float:
        """Bytes of all tensors at the peak of a step, as PyTorch's allocator counts them.

        Without mixed precision it is a step on a CPU: all in float32, and the optimiser takes one weight at a time.
        """
        activations = batch_size * (self.kept_per_sample + IN_FLIGHT * self.largest_kept)
        held, stepped = HELD_PER_PARAMETER, STEPPED_PER_PARAMETER
        if not mixed_precision:
            held, stepped, activations = held - 2, stepped - 4, 2 * activations
        return max(held * self.parameters + activations, stepped * self.parameters)

    def largest_batch_size(self, available: float) -> int:
        """The most patches that fit into `available` bytes; 0 if not even one does."""
        return max(int((available - self.fixed) / self.per_sample), 0)


def training_memory(
    build_network: Callable[[], nn.Module], input_channels: int, patch_size: Sequence[int], samples: int = 1
) -> TrainingMemory:
    """Estimate a training step in mixed precision with SGD, as nnU-Net trains.

    The network is built on PyTorch's meta device (shapes without data) in half precision and run forward once; counted
    is what autograd keeps for the backward pass, each storage once.

    Args:
        build_network: makes the network as it is trained, deep supervision on.
        input_channels: channels of the input.
        patch_size: voxels per axis.
        samples: patches in that forward pass; BatchNorm needs two where a patch ends in a single voxel.
    """
    with torch.device("meta"):
        network = build_network().half().train()
        image = torch.empty((samples, input_channels, *(int(size) for size in patch_size)), dtype=torch.half)
    parameters = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in parameters:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(image)
    count = sum(parameter.numel() for parameter in network.parameters())
    sizes = [storage.nbytes() / samples for storage in kept.values()]
    return TrainingMemory(
        parameters=count,
        fixed=CONTEXT_BYTES + BYTES_PER_PARAMETER * count,
        per_sample=ACTIVATION_FACTOR * sum(sizes),
        kept_per_sample=sum(sizes),
        largest_kept=max(sizes),
    )
