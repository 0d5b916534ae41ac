"""Whatever layout, names and order Keras wrote them in, the same weights are read; and nothing else passes for them."""

import re
import sys
import zipfile

import h5py
import numpy as np
import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.keras_import.keras_files import read_keras_file
from nnunetv2_mscs.keras_import.keras_weights import OriginalSize, keras_shapes, load_keras_weights, original_size
from nnunetv2_mscs.network import MSCSNet


def assert_same(read: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert set(read) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(read[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("layout", "version"),
    [
        ("weights.h5", "2.15.0"),
        ("whole.h5", "2.15.0"),
        ("keras3.weights.h5", None),
        ("whole.keras", "3.4.1"),
        ("names.npz", None),
    ],
)
def test_every_layout_gives_the_same_weights(keras_files, weights, layout, version):
    file = read_keras_file(keras_files[layout])
    assert file.keras_version == version
    assert_same(file.arrays, weights)
    assert original_size(file.arrays) == OriginalSize(base_features=2, input_channels=2, num_classes=2)


def test_the_content_decides_and_not_the_name(keras_files, weights, tmp_path):
    """Until 2.12, Keras wrote HDF5 into files named .keras."""
    file = tmp_path / "mscs.keras"
    file.write_bytes(keras_files["whole.h5"].read_bytes())
    assert_same(read_keras_file(file).arrays, weights)


def test_names_of_a_second_model_in_one_session(edited, weights):
    """Keras goes on counting: conv3d_17, dmsa__block_4."""

    def renumber(file: h5py.File) -> None:
        names = []
        for name in file.attrs["layer_names"]:
            base, _, number = name.rpartition("_")
            shifted = f"{base}_{int(number) + 17}" if number.isdigit() else f"{name}_17"
            file.move(name, f"new/{shifted}")
            names.append(f"new/{shifted}")
        file.attrs["layer_names"] = names

    assert_same(read_keras_file(edited("weights.h5", renumber)).arrays, weights)


@pytest.mark.parametrize("seed", range(3))
def test_order_within_a_layer_does_not_matter(edited, weights, seed):
    """Keras lists frozen tensors behind trainable ones, whatever they belong to."""
    random = np.random.default_rng(seed)

    def shuffle(file: h5py.File) -> None:
        for name in file.attrs["layer_names"]:
            file[name].attrs["weight_names"] = random.permutation(file[name].attrs["weight_names"])

    assert_same(read_keras_file(edited("weights.h5", shuffle)).arrays, weights)


def test_norms_without_a_place_follow_their_convolutions(edited, weights):
    """Names that tell no nesting leave the order, which Keras keeps."""

    def flatten(file: h5py.File) -> None:
        for name in file.attrs["layer_names"]:
            names = list(file[name].attrs["weight_names"])
            flat = ["_".join(old.split("/")[:-1]) + "/" + old.split("/")[-1] for old in names]
            for old, new in zip(names, flat, strict=True):
                if old != new:
                    file[name].move(old, new)
            file[name].attrs["weight_names"] = flat

    assert_same(read_keras_file(edited("weights.h5", flatten)).arrays, weights)


def test_classes_of_layers_may_have_other_names(edited, weights):
    def rename(file: h5py.File) -> None:
        for name in list(file["layers"]):
            if "dmsa" in name:
                file.move(f"layers/{name}", f"layers/{name.replace('dmsa__block', 'multi_scale')}")

    assert_same(read_keras_file(edited("keras3.weights.h5", rename)).arrays, weights)


@pytest.mark.parametrize(("base_features", "channels", "classes"), [(16, 2, 2), (3, 1, 4)])
def test_size_is_read_off_the_shapes(base_features, channels, classes):
    size = OriginalSize(base_features, channels, classes)
    arrays = {name: np.zeros(shape, np.float32) for name, shape in keras_shapes(size).items()}
    assert original_size(arrays) == size
    load_keras_weights(MSCSNet.original(channels, classes, base_features), arrays)


def test_shapes_are_the_originals(weights):
    shapes = keras_shapes(OriginalSize(2, 2, 2))
    assert shapes == {name: array.shape for name, array in weights.items()}
    assert next(iter(shapes)) == "E1.conv.kernel"
    assert list(shapes)[-1] == "out.conv.bias"


@pytest.mark.parametrize(
    ("name", "change", "finding"),
    [
        ("E2.conv5x5.conv.kernel", lambda a: a[:3], r"shape \(3, 5, 5, 3, 3\), where MSCS-Net of width 2 has \(5, 5, "),
        ("E4.dca.dense1.bias", lambda a: np.append(a, a), r"E4\.dca\.dense1\.bias has shape \(6,\)"),
        ("D9.conv1.kernel", lambda a: a * np.nan, "NaN or Inf"),
        ("E3.bn.moving_variance", lambda a: a * np.inf, "NaN or Inf"),
        ("SPPF.cbl2.bn.gamma", None, r"SPPF\.cbl2\.bn\.gamma is missing"),
        ("E1.conv.kernel", None, r"E1\.conv\.kernel is missing"),
        ("out.conv.kernel", lambda a: a[..., :1], r"out\.conv\.kernel has shape"),
        ("E1.conv.kernel", lambda a: a[0], r"E1\.conv\.kernel has shape \(3, 3, 2, 4\)"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(weights, name, change, finding):
    others = {key: array for key, array in weights.items() if key != name}
    arrays = others if change is None else others | {name: change(weights[name])}
    with pytest.raises(ValueError, match=finding):
        original_size(arrays)


def test_first_means_first_in_the_network(weights):
    arrays = {name: array for name, array in weights.items() if not name.startswith(("E5", "D2", "out"))}
    with pytest.raises(ValueError, match=r"E5\.conv\.kernel is missing"):
        original_size(arrays)


def test_layers_beyond_the_network_are_named(edited):
    def append(file: h5py.File) -> None:
        file["layers/dense/vars/0"] = np.zeros((4, 2), np.float32)

    arrays = read_keras_file(edited("keras3.weights.h5", append)).arrays
    with pytest.raises(ValueError, match=r"dense\.kernel, of shape \(4, 2\), is not a tensor of MSCS-Net"):
        original_size(arrays)


@pytest.mark.parametrize("layout", ["weights.h5", "whole.keras", "names.npz"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.98])
def test_cut_off_files_are_refused(keras_files, tmp_path, layout, share):
    content = keras_files[layout].read_bytes()
    file = tmp_path / layout
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(MscsError, match=re.escape(str(file))):
        read_keras_file(file)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    for path, finding in (
        (tmp_path, "SavedModel"),
        (tmp_path / "saved_model.pb", "neither"),
        (tmp_path / "x", "exist"),
    ):
        with pytest.raises(MscsError, match=finding):
            read_keras_file(path)
    archive = tmp_path / "other.keras"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("config.json", "{}")
    with pytest.raises(MscsError, match=r"model\.weights\.h5"):
        read_keras_file(archive)
    table = tmp_path / "table.h5"
    with h5py.File(table, "w") as file:
        file["measurements"] = np.zeros(3)
    with pytest.raises(MscsError, match="not as Keras writes"):
        read_keras_file(table)


def test_without_h5py_it_says_what_to_install(keras_files, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MscsError, match="pip install h5py"):
        read_keras_file(keras_files["weights.h5"])
    assert len(read_keras_file(keras_files["names.npz"]).arrays) == 170
