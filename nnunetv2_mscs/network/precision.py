"""The numbers that a network is computed in, on each kind of device."""

import torch

FLOAT32, BFLOAT16, FLOAT16 = "float32", "bfloat16", "float16"


def fastest_precision(device: torch.device) -> str:
    """Half precision on GPUs, as nnU-Net has it; bfloat16 on CPUs with tiles for it (Intel's AMX); else float32."""
    if device.type == "cuda":
        return FLOAT16
    has_tiles = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return BFLOAT16 if device.type == "cpu" and has_tiles() else FLOAT32
