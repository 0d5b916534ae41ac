"""The original's weights in every layout that Keras writes them in."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

KERAS_2, KERAS_3 = "small_keras2_weights.h5", "small_keras3.weights.h5"
LAYOUTS = ("weights.h5", "whole.h5", "keras3.weights.h5", "whole.keras", "names.npz")


@pytest.fixture(scope="session")
def weights(golden_folder) -> dict[str, np.ndarray]:
    """Readable name -> array."""
    return dict(np.load(golden_folder / "small_weights.npz"))


@pytest.fixture(scope="session")
def keras_files(golden_folder, weights, tmp_path_factory) -> dict[str, Path]:
    """A file for each of LAYOUTS. A whole model holds an optimizer's tensors too, of the shapes of the weights."""
    folder = tmp_path_factory.mktemp("keras")
    files = {layout: folder / layout for layout in LAYOUTS}
    for layout, name in (("weights.h5", KERAS_2), ("keras3.weights.h5", KERAS_3)):
        files[layout].write_bytes(gzip.decompress((golden_folder / f"{name}.gz").read_bytes()))
    with h5py.File(files["weights.h5"]) as weights_only, h5py.File(files["whole.h5"], "w") as whole:
        whole.attrs["keras_version"] = weights_only.attrs["keras_version"]
        whole.attrs["model_config"] = "{}"
        weights_only.copy(weights_only["/"], whole, "model_weights")
        weights_only.copy(weights_only["conv3d"], whole, "optimizer_weights/Adam/m/conv3d")
    with zipfile.ZipFile(files["whole.keras"], "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.4.1", "date_saved": "2025-01-01@00:00:00"}))
        archive.writestr("model.weights.h5", _with_optimizer(files["keras3.weights.h5"]))
    np.savez(files["names.npz"], **weights)
    return files


@pytest.fixture
def edited(keras_files, tmp_path) -> Callable[[str, Callable[[h5py.File], None]], Path]:
    """A function that copies an HDF5 file, changes the copy, and returns it."""

    def edit(layout: str, change: Callable[[h5py.File], None]) -> Path:
        copy = tmp_path / layout
        copy.write_bytes(keras_files[layout].read_bytes())
        with h5py.File(copy, "r+") as file:
            change(file)
        return copy

    return edit


def _with_optimizer(file: Path) -> bytes:
    buffer = io.BytesIO(file.read_bytes())
    with h5py.File(buffer, "r+") as weights:
        weights["optimizer/vars/0"] = np.int64(7)
        weights["optimizer/vars/1"] = np.zeros((3, 3, 3, 2, 4), np.float32)
        weights["layers/dropout/seed_generator/vars/0"] = np.zeros(2, np.uint32)
    return buffer.getvalue()
