"""What computes a model's network: PyTorch, or OpenVINO on a CPU, an extra that is loaded only if it is used."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.network import MSCSNet
from nnunetv2_mscs.network.inference import InferenceNet, saves_operations

AUTO, TORCH, OPENVINO = "auto", "torch", "openvino"
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
EXTRA = 'Type: pip install "nnunetv2-mscs[openvino]"'


@dataclass(frozen=True)
class Engine:
    """An engine by its name, and in words why it was chosen."""

    name: str
    reason: str


def choose_engine(wanted: str, device: torch.device) -> Engine:
    """The engine for a device.

    Raises:
        MscsError: OpenVINO is asked for, and is not installed or not for this device; or there is no such engine.
    """
    if wanted not in (AUTO, TORCH, OPENVINO):
        raise MscsError(f"There is no engine {wanted!r}.", f"Choose {AUTO}, {TORCH} or {OPENVINO}.")
    is_installed = find_spec(OPENVINO) is not None
    if wanted == OPENVINO:
        if device.type != "cpu":
            raise MscsError(f"OpenVINO computes on a CPU, and the device is {device}.", "Choose --device cpu.")
        if not is_installed:
            raise MscsError("OpenVINO is not installed.", EXTRA)
    if wanted != AUTO:
        return Engine(wanted, "as asked for")
    if device.type != "cpu":
        return Engine(TORCH, "OpenVINO is for CPUs")
    return Engine(OPENVINO, "it is installed") if is_installed else Engine(TORCH, "OpenVINO is not installed")


class TorchNetwork(nn.Module):
    """An `MSCSNet` as nnU-Net's predictor calls it, in fewer operations for windows of one size (`InferenceNet`).

    The channels of a voxel lie side by side in memory, with which CPUs compute bfloat16 faster.
    """

    def __init__(self, network: MSCSNet, size: Sequence[int]):
        super().__init__()
        self._network, self._size = network, tuple(size)
        self._layout = torch.channels_last_3d if len(self._size) == 3 else torch.channels_last
        self._loaded: Any = None
        self._inference: InferenceNet | None = None

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Take the weights of a fold, unless they are in place."""
        if self._loaded is not state_dict:
            self._network.load_state_dict(state_dict, strict)
            self._inference, self._loaded = InferenceNet(self._network, self._size), state_dict
            for module in self._inference.modules():
                if isinstance(module, CONVOLUTIONS):
                    module.to(memory_format=self._layout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self._inference is not None
        return self._inference(x.contiguous(memory_format=self._layout))


def with_fewer_operations(network: nn.Module, size: Sequence[int]) -> nn.Module:
    """The network for windows of one size on a CPU: prepared if that spares anything, else as it is."""
    if isinstance(network, MSCSNet) and saves_operations(network, size):
        return TorchNetwork(network, size)
    return network
