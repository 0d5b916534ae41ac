"""The layers of a Keras file as blocks of MSCS-Net, recognised by their content.

Names are not enough: Keras goes on numbering layers from one model to the next, renames them between versions, and
orders the tensors of a layer by whether they are trainable.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

Tensors = dict[str, np.ndarray]
CONV, UP, NORM, DMSA, SPPF = "conv", "up", "norm", "dmsa", "sppf"
LEVELS = 4
SPPF_PARTS = 4


@dataclass(frozen=True)
class KerasLayer:
    """A layer of the model.

    Args:
        name: in the file.
        parts: the layers inside it that hold tensors, path -> its tensors (kernel, bias, gamma, beta, moving_mean,
            moving_variance); a plain layer has a single part.
    """

    name: str
    parts: dict[str, Tensors] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Which block of MSCS-Net, or part of one, the layer could be."""
        if len(self.parts) > 1:
            return DMSA if len(self.parts) > SPPF_PARTS else SPPF
        (tensors,) = self.parts.values()
        if "kernel" not in tensors:
            return NORM
        return UP if tensors["kernel"].shape[:3] == (2, 2, 2) else CONV


def readable_names(layers: Iterable[KerasLayer]) -> dict[str, np.ndarray]:
    """All tensors under the names that `keras_weights` reads; those left over keep the file's own names."""
    held = [layer for layer in layers if layer.parts]
    of_kind = {kind: iter([layer for layer in held if layer.kind == kind]) for kind in (CONV, UP, NORM, DMSA, SPPF)}
    arrays: dict[str, np.ndarray] = {}
    used = set()
    for block, kind in _blocks():
        layer = next(of_kind[kind], None)
        if layer is None:
            continue
        used.add(layer.name)
        for part, tensors in _parts(layer, kind):
            arrays.update({_joined(block, part, tensor): array for tensor, array in tensors.items()})
    for layer in held:
        if layer.name not in used:
            for part, tensors in layer.parts.items():
                arrays.update({_joined(layer.name, part, tensor): array for tensor, array in tensors.items()})
    return arrays


def _blocks() -> Iterator[tuple[str, str]]:
    """The layers of the original's model that hold tensors, in its order."""
    for level in range(LEVELS):
        yield f"E{2 * level + 1}.conv", CONV
        yield f"E{2 * level + 1}.bn", NORM
        yield f"E{2 * level + 2}", DMSA
    yield "SPPF", SPPF
    for level in range(LEVELS + 1):
        if level:
            yield f"D{2 * level}.up", UP
        yield f"D{2 * level + 1}.conv1", CONV
        yield f"D{2 * level + 1}.conv2", CONV
    yield "out.conv", CONV


def _parts(layer: KerasLayer, kind: str) -> Iterator[tuple[str, Tensors]]:
    if kind == DMSA:
        yield from _dmsa_parts(layer)
    elif kind == SPPF:
        yield from _sppf_parts(layer)
    else:
        yield "", next(iter(layer.parts.values()))


def _dmsa_parts(layer: KerasLayer) -> Iterator[tuple[str, Tensors]]:
    """Kernel and bias identify convolutions, their neighbours the norms; only the norm of the sum has a gamma."""
    plain: dict[str, Tensors] = {}
    gates: dict[str, Tensors] = {}
    shifts: dict[str, Tensors] = {}
    rest: dict[str, Tensors] = {}
    for path, tensors in layer.parts.items():
        if "kernel" in tensors:
            (gates if "bias" in tensors else plain)[path] = tensors
        else:
            (rest if "gamma" in tensors else shifts)[path] = tensors
    for path, norm in _paired(list(plain), list(shifts)):
        kernel = plain[path]["kernel"]
        name = "shortcut_conv" if kernel.shape[0] == 1 else "conv" + "x".join(str(n) for n in kernel.shape[:2])
        yield f"{name}.conv", plain[path]
        yield f"{name}.bn", shifts[norm]
    for tensors in gates.values():
        shape = tensors["kernel"].shape
        squeezes = len(shape) > 1 and shape[-2] > shape[-1]
        yield f"dca.{'conv_spatial' if shape[0] > 1 else 'dense1' if squeezes else 'dense2'}", tensors
    for tensors in rest.values():
        yield "bn", tensors


def _sppf_parts(layer: KerasLayer) -> Iterator[tuple[str, Tensors]]:
    """The second convolution leaves the number of channels as it is; a norm has the channels of its convolution."""
    convs = {path: tensors for path, tensors in layer.parts.items() if "kernel" in tensors}
    merged = {tensors["kernel"].shape[-1] for tensors in convs.values() if len(set(tensors["kernel"].shape[-2:])) == 1}
    for path, tensors in layer.parts.items():
        channels = next(iter(tensors.values())).shape[-1]
        yield f"{'cbl2' if channels in merged else 'cbl1'}.{'conv' if path in convs else 'bn'}", tensors


def _paired(convs: Sequence[str], norms: Sequence[str]) -> list[tuple[str, str]]:
    """Each convolution with the norm that lies beside it in the file, or by order where the file has no such places."""
    beside = {path.rpartition("/")[0]: path for path in norms}
    if len(beside) == len(norms) and all(path.rpartition("/")[0] in beside for path in convs):
        return [(path, beside[path.rpartition("/")[0]]) for path in convs]
    return list(zip(convs, norms, strict=False))


def _joined(*names: str) -> str:
    return ".".join(name.replace("/", ".") for name in names if name)
