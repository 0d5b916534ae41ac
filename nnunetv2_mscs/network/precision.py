"""The numbers that a network is computed in, on each kind of device."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

FLOAT32, BFLOAT16, FLOAT16 = "float32", "bfloat16", "float16"


def fastest_precision(device: torch.device) -> str:
    """Half precision on GPUs, as nnU-Net has it; bfloat16 on CPUs with tiles for it (Intel's AMX); else float32."""
    if device.type == "cuda":
        return FLOAT16
    has_tiles = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return BFLOAT16 if device.type == "cpu" and has_tiles() else FLOAT32


def compute_in_bfloat16(network: nn.Module) -> None:
    """Let a network on a CPU compute in bfloat16 from now on; weights, gradients and output stay float32.

    Args:
        network: its output is a tensor, or a sequence of them.
    """
    forward = network.forward

    def in_bfloat16(*inputs: torch.Tensor) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return _as_float32(forward(*inputs))

    network.forward = in_bfloat16


def _as_float32(output: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor | list[torch.Tensor]:
    return output.float() if isinstance(output, torch.Tensor) else [one.float() for one in output]
