"""The original program's weights, under readable names, into an `MSCSNet`.

Names are `E2.conv5x5.conv.kernel`, `SPPF.cbl1.bn.gamma`, `D2.up.bias`, `out.conv.kernel`: block, layer, tensor. Keras
keeps kernels as (*space, in, out), and transposed ones as (*space, out, in); PyTorch wants the last two first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from nnunetv2_mscs.network.mscs_net import MSCSNet

DMSA_LAYERS = {"conv3x3": "scales.0", "conv5x5": "scales.1", "conv7x7": "scales.2", "shortcut_conv": "shortcut"}
DCA_LAYERS = {"dense1": "squeeze", "dense2": "excite", "conv_spatial": "spatial"}
BATCH_NORM_TENSORS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def keras_names(levels: int = 4) -> dict[str, str]:
    """Readable Keras name -> name in `MSCSNet.state_dict()`, for a network of `levels` levels below the image.

    In order of computation.
    """
    names: dict[str, str] = {}

    def conv(keras: str, ours: str, bias: bool = True) -> None:
        names[f"{keras}.kernel"] = f"{ours}.weight"
        if bias:
            names[f"{keras}.bias"] = f"{ours}.bias"

    def batch_norm(keras: str, ours: str) -> None:
        names.update({f"{keras}.{theirs}": f"{ours}.{tensor}" for theirs, tensor in BATCH_NORM_TENSORS.items()})

    for level in range(levels):
        cbs, theirs = f"encoder.downsampling.{level}", f"E{2 * level + 1}"
        conv(f"{theirs}.conv", f"{cbs}.conv.conv")
        batch_norm(f"{theirs}.bn", f"{cbs}.norm")

        dmsa, theirs = f"encoder.attention.{level}", f"E{2 * level + 2}"
        for layer, ours in DMSA_LAYERS.items():
            conv(f"{theirs}.{layer}.conv", f"{dmsa}.{ours}.conv.conv", bias=False)
            names[f"{theirs}.{layer}.bn.beta"] = f"{dmsa}.{ours}.norm.shift"
            names[f"{theirs}.{layer}.bn.moving_mean"] = f"{dmsa}.{ours}.norm.norm.running_mean"
            names[f"{theirs}.{layer}.bn.moving_variance"] = f"{dmsa}.{ours}.norm.norm.running_var"
        for layer, ours in DCA_LAYERS.items():
            conv(f"{theirs}.dca.{layer}", f"{dmsa}.attention.{ours}.conv")
        batch_norm(f"{theirs}.bn", f"{dmsa}.norm")

    for theirs, ours in (("cbl1", "reduce"), ("cbl2", "merge")):
        conv(f"SPPF.{theirs}.conv", f"encoder.pyramid.{ours}.conv")
        batch_norm(f"SPPF.{theirs}.bn", f"encoder.pyramid.{ours}_norm")
    blocks = ["decoder.bottleneck", *(f"decoder.stages.{level}" for level in range(levels))]
    for level, ours in enumerate(blocks):
        if level:
            conv(f"D{2 * level}.up", f"decoder.upsampling.{level - 1}")
        conv(f"D{2 * level + 1}.conv1", f"{ours}.0.conv")
        conv(f"D{2 * level + 1}.conv2", f"{ours}.3.conv")
    conv("out.conv", f"decoder.seg_layers.{levels - 1}")
    return names


@dataclass(frozen=True)
class OriginalSize:
    """What distinguishes one of the original's networks from another."""

    base_features: int
    input_channels: int
    num_classes: int

    def network(self) -> MSCSNet:
        """The network of this size, with new random weights."""
        return MSCSNet.original(self.input_channels, self.num_classes, self.base_features)


def keras_shapes(size: OriginalSize) -> dict[str, tuple[int, ...]]:
    """Readable Keras name -> shape in Keras layout, in order of computation."""
    with torch.device("meta"):
        state = size.network().state_dict()
    shapes = {}
    for theirs, ours in keras_names().items():
        shape = tuple(state[ours].shape)
        shapes[theirs] = (*shape[2:], shape[1], shape[0]) if theirs.endswith(".kernel") else shape[:1]
    return shapes


def original_size(arrays: Mapping[str, np.ndarray]) -> OriginalSize:
    """Width, channels and classes of the network that the weights belong to.

    `arrays` are in Keras layout, by their readable names.

    Raises:
        ValueError: if these are not all the weights of an MSCS-Net and nothing else, at the first tensor in order of
            computation that does not fit or is not finite.
    """
    size = OriginalSize(
        base_features=max(_shape(arrays, "E1.conv.kernel")[-1] // 2, 1),
        input_channels=max(_shape(arrays, "E1.conv.kernel")[-2], 1),
        num_classes=max(_shape(arrays, "out.conv.kernel")[-1], 2),
    )
    expected = keras_shapes(size)
    network = f"MSCS-Net of width {size.base_features}"
    for name, shape in expected.items():
        if name not in arrays:
            raise ValueError(f"{name} is missing, which in {network} has shape {shape}.")
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has shape {arrays[name].shape}, where {network} has {shape}.")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} holds NaN or Inf.")
    for name, array in arrays.items():
        if name not in expected:
            raise ValueError(f"{name}, of shape {array.shape}, is not a tensor of MSCS-Net.")
    return size


def _shape(arrays: Mapping[str, np.ndarray], name: str) -> tuple[int, ...]:
    """Shape of a tensor; zeros if it is missing or no kernel."""
    shape = arrays[name].shape if name in arrays else ()
    return shape if len(shape) > 1 else (0, 0)


@torch.no_grad()
def load_keras_weights(
    network: MSCSNet, arrays: Mapping[str, np.ndarray], space_axes: Sequence[int] = (0, 1, 2)
) -> None:
    """Copy the original's weights into a network built by `MSCSNet.original`.

    Args:
        network: of the same width, channels and classes.
        arrays: readable name -> float32 array in Keras layout.
        space_axes: order in which the kernels' space axes (x, y, z in Keras) are laid down; (2, 1, 0) for a network
            that is to see images as nnU-Net reads them, (z, y, x).

    Raises:
        ValueError: at the first tensor that is missing, unknown or of another shape; the network is then unchanged.
    """
    names = keras_names(levels=len(network.encoder.attention))
    if set(names) != set(arrays):
        first = min(set(names) ^ set(arrays))
        raise ValueError(f"These are not MSCS-Net's weights: {first} is {'missing' if first in names else 'unknown'}.")
    state = network.state_dict()
    loaded = {}
    for theirs, ours in names.items():
        array, target = torch.from_numpy(np.array(arrays[theirs])), state.get(ours)
        if array.ndim > 1:
            array = array.permute(array.ndim - 1, array.ndim - 2, *space_axes)
        elif target is not None and target.ndim > 1:
            array = array.reshape(-1, *[1] * (target.ndim - 1))
        if target is None or array.shape != target.shape:
            expected = "no such tensor" if target is None else tuple(target.shape)
            raise ValueError(f"{theirs} has shape {tuple(array.shape)} as {ours}, where the network has {expected}.")
        loaded[ours] = array
    network.load_state_dict(state | loaded)
