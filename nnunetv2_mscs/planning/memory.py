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
# What a step needs beyond the activations it keeps for the backward pass (gradients in flight, cuDNN workspaces, loss,
# fragmentation), as a factor on those. Set so that nnU-Net's own U-Net gets the memory that nnU-Net's planner grants
# it (PlainConvUNet, 32 to 320 features, 128^3, batch 2: 6.5 GB).
ACTIVATION_FACTOR = 1.55


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of GPU memory that training takes: `fixed` whatever the batch, `per_sample` for each of its patches."""

    parameters: int
    fixed: float
    per_sample: float

    def at_batch_size(self, batch_size: int) -> float:
        """Bytes at a batch size."""
        return self.fixed + batch_size * self.per_sample

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
    return TrainingMemory(
        parameters=count,
        fixed=CONTEXT_BYTES + BYTES_PER_PARAMETER * count,
        per_sample=ACTIVATION_FACTOR * sum(storage.nbytes() for storage in kept.values()) / samples,
    )
