"""Files of weights that Keras 2 and 3 write, read without Keras: which layers they hold, in the order of the model.

Three layouts are known: legacy HDF5 (`layer_names` and `weight_names` as attributes; in a whole model under
`model_weights`), the HDF5 of Keras 3 (`layers/<layer>/.../vars/<number>`), which late versions of Keras 2 write as
well, and .keras, a zip around it. The content decides, not the file's name. Beside these, .npz of readable names.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.keras_import.keras_structure import KerasLayer, readable_names
from nnunetv2_mscs.keras_import.keras_weights import BATCH_NORM_TENSORS

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
ZIPPED_WEIGHTS = "model.weights.h5"
# Where Keras 3, and Keras 2 before 2.13, keep the layers of a model. Beside them lie the optimizer's tensors.
LAYER_FOLDERS = ("layers", "_layer_checkpoint_dependencies")
HOW_TO_CONVERT = "Load it in Keras and write it with model.save_weights('mscs.weights.h5')."


@dataclass(frozen=True)
class KerasFile:
    """Weights and where they come from.

    Args:
        layout: in words.
        keras_version: that wrote it, if the file says so.
        arrays: readable name (see `keras_weights`) -> float32 array in Keras layout; tensors that belong to no layer
            of MSCS-Net keep the file's own names.
    """

    layout: str
    keras_version: str | None
    arrays: dict[str, np.ndarray] = field(repr=False)


def read_keras_file(path: Path) -> KerasFile:
    """Read the weights of a file in any known layout.

    Raises:
        MscsError: if there is no such file, it is damaged, or has none of these layouts.
    """
    if not path.exists():
        raise MscsError(f"{path} does not exist.", "Check the path.")
    if path.is_dir():
        raise MscsError(f"{path} is a folder, as of a SavedModel, and not one file of weights.", HOW_TO_CONVERT)
    try:
        with path.open("rb") as stream:
            signature = stream.read(len(HDF5_SIGNATURE))
        if signature == HDF5_SIGNATURE:
            with _hdf5(path) as file:
                return _read_hdf5(file, path)
        if zipfile.is_zipfile(path):
            return _read_zip(path)
    except (OSError, EOFError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise MscsError(f"{path} cannot be read to its end: {error}.", "Copy or download it again.") from error
    raise MscsError(f"{path} is neither HDF5 (.h5) nor a zip (.keras, .npz), or cut off.", HOW_TO_CONVERT)


@contextmanager
def _hdf5(source: Path | io.BytesIO) -> Iterator[Any]:
    try:
        import h5py
    except ImportError as error:
        raise MscsError("Keras files are read by h5py, which is not installed.", "pip install h5py") from error
    with h5py.File(source, "r") as file:
        yield file


def _read_hdf5(file: Any, path: Path) -> KerasFile:
    whole_model = "model_weights" in file
    root = file["model_weights"] if whole_model else file
    if "layer_names" in root.attrs:
        version = root.attrs.get("keras_version", file.attrs.get("keras_version"))
        layout = "whole model, legacy HDF5" if whole_model else "weights, legacy HDF5"
        return KerasFile(layout, _text(version), readable_names(_legacy_layers(root)))
    return KerasFile("weights, HDF5 of Keras 3", None, readable_names(_layers(file, path)))


def _read_zip(path: Path) -> KerasFile:
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
        if ZIPPED_WEIGHTS in members:
            with _hdf5(io.BytesIO(archive.read(ZIPPED_WEIGHTS))) as file:
                arrays = readable_names(_layers(file, path))
            metadata = archive.read("metadata.json").decode() if "metadata.json" in members else ""
            version = re.search(r'"keras_version": *"(.*?)"', metadata)
            return KerasFile("whole model, .keras", version[1] if version else None, arrays)
    if members and all(member.endswith(".npy") for member in members):
        with np.load(path) as arrays:
            return KerasFile("readable names, .npz", None, {name: _float32(arrays[name]) for name in arrays})
    raise MscsError(f"{path} is a zip without {ZIPPED_WEIGHTS}, and so no .keras file.", HOW_TO_CONVERT)


def _legacy_layers(root: Any) -> list[KerasLayer]:
    layers = []
    for layer_name in map(_text, root.attrs["layer_names"]):
        layer = KerasLayer(layer_name)
        for weight_name in map(_text, root[layer_name].attrs["weight_names"]):
            part, _, tensor = weight_name.rpartition("/")
            array = root[layer_name][weight_name][()]
            if _is_float(array):
                layer.parts.setdefault(part, {})[tensor.split(":")[0]] = _float32(array)
        layers.append(layer)
    return layers


def _layers(file: Any, path: Path) -> list[KerasLayer]:
    """The layers in natural order of their names: within a class of layers Keras numbers them in the model's order."""
    found: dict[str, dict[str, dict[int, np.ndarray]]] = {}

    def visit(name: str, item: Any) -> None:
        steps = name.replace("\\", "/").split("/")  # Keras 2 on Windows
        if steps[0] in LAYER_FOLDERS and len(steps) > 3 and steps[-2] == "vars" and hasattr(item, "shape"):
            array = item[()]
            if _is_float(array):
                tensors = found.setdefault(steps[1], {}).setdefault("/".join(steps[2:-2]), {})
                tensors[int(steps[-1])] = _float32(array)

    file.visititems(visit)
    if not found:
        raise MscsError(f"{path} is HDF5, but not as Keras writes the weights of a model.", HOW_TO_CONVERT)
    return [
        KerasLayer(name, {part: _named([array for _, array in sorted(tensors.items())]) for part, tensors in parts})
        for name, parts in ((name, found[name].items()) for name in sorted(found, key=_natural))
    ]


def _named(arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Numbered tensors of one layer under Keras's names for them: those of a convolution or of a batch norm."""
    if arrays[0].ndim > 1:
        names: tuple[str, ...] = ("kernel", "bias")
    else:
        names = tuple(BATCH_NORM_TENSORS)[-len(arrays) :]
    names = (*names, *(str(number) for number in range(len(names), len(arrays))))
    return dict(zip(names, arrays, strict=False))


def _natural(name: str) -> tuple[str, int]:
    base, _, number = name.rpartition("_")
    return (base, int(number)) if base and number.isdigit() else (name, 0)


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _is_float(array: Any) -> bool:
    return np.issubdtype(np.asarray(array).dtype, np.floating)


def _float32(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, dtype=np.float32)
