"""A model's networks in OpenVINO: exported once, kept in the user's cache, called in PyTorch's place."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from nnunetv2_mscs import __version__
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.network import MSCSNet
from nnunetv2_mscs.network.inference import InferenceNet
from nnunetv2_mscs.network.precision import BFLOAT16, FLOAT32
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON
from nnunetv2_mscs.nnunet_files.json_files import read_json_if_there
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.sharing.manifest import facts_of
from nnunetv2_mscs.sharing.plans import quiet
from nnunetv2_mscs.workplace.hidden_places import clear_leftovers, hidden_place
from nnunetv2_mscs.workplace.resources import cores, write_failure
from nnunetv2_mscs.workplace.whole_files import DISK_FULL, write_whole, writing

# What OpenVINO calls the precisions. Without being asked it computes in bfloat16 where the CPU does.
PRECISIONS = {FLOAT32: "f32", BFLOAT16: "bf16"}
# Windows of a 2D network at once: OpenVINO computes a number that never changes fastest, and zeros fill the last batch.
SLICES = 4
FOLDER, PREFIX = "openvino", ".mscs-openvino-"
MOST_KEPT = 30
NETWORK, WEIGHTS, FACTS = "network.xml", "network.bin", "facts.json"
PACKAGES = ("nnunetv2", "torch", "openvino")
# Another number makes all networks be exported anew.
FORMAT = "nnunetv2-mscs network in OpenVINO 1"
OTHER_ENGINE = "Choose --engine torch."


class OpenVINONetwork(nn.Module):
    """Compiled networks, one for each fold. Where nnU-Net's predictor loads weights, it loads the number of a fold.

    Args:
        files: of the exported networks.
        shape: of a window, (C, *space).
        precision: float32 or bfloat16.

    Raises:
        MscsError: OpenVINO does not compute in this precision on this CPU.
    """

    def __init__(self, files: Sequence[Path], shape: Sequence[int], precision: str):
        super().__init__()
        import openvino

        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "PERFORMANCE_HINT": "LATENCY",
            # PyTorch's number is that of OMP_NUM_THREADS, by which users leave cores to others.
            "INFERENCE_NUM_THREADS": min(cores(), torch.get_num_threads()),
            # Several commands may run side by side; the system moves their threads to free cores.
            "ENABLE_CPU_PINNING": False,
        }
        self._batch = batch_size(shape)
        self._requests = []
        for file in files:
            compiled = core.compile_model(core.read_model(file), "CPU", settings)
            if compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() != PRECISIONS[precision]:
                raise MscsError(f"OpenVINO does not compute in {precision} on this CPU.", "Choose --precision float32.")
            self._requests.append(compiled.create_infer_request())
        self._request = self._requests[0]

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Take the fold of a number."""
        self._request = self._requests[state_dict]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Windows (N, C, *space), of any N, to logits (N, K, *space)."""
        windows = np.ascontiguousarray(x.numpy(), dtype=np.float32)
        found = []
        for first in range(0, len(windows), self._batch):
            some = windows[first : first + self._batch]
            missing = self._batch - len(some)
            if missing:
                some = np.concatenate([some, np.zeros((missing, *some.shape[1:]), some.dtype)])
            (logits,) = self._request.infer([some]).values()
            found.append(logits[: self._batch - missing])
        return torch.from_numpy(np.concatenate(found))


def batch_size(shape: Sequence[int]) -> int:
    """Windows at once, of a shape (C, *space)."""
    return SLICES if len(shape) == 3 else 1


def on_openvino(
    network: nn.Module,
    weights: Sequence[Mapping[str, torch.Tensor]],
    checkpoints: Sequence[Path],
    shape: Sequence[int],
    precision: str,
) -> OpenVINONetwork:
    """The networks of all folds in OpenVINO, exported where that has not been done.

    Args:
        network: in PyTorch; it is left with the weights of any fold.
        weights: of each fold.
        checkpoints: the files of the weights, in the folders of the folds.
        shape: of a window, (C, *space).
        precision: float32 or bfloat16.
    """

    def converted(state: Mapping[str, torch.Tensor]) -> Callable[[Path], None]:
        def write(file: Path) -> None:
            network.load_state_dict(state)
            write_openvino(network, (batch_size(shape), *shape), file)

        return write

    files = [_kept(_facts(file, shape), converted(state)) for file, state in zip(checkpoints, weights, strict=True)]
    return OpenVINONetwork(files, shape, precision)


def _facts(checkpoint: Path, shape: Sequence[int]) -> dict[str, Any]:
    """What an exported network depends on."""
    model = checkpoint.parent.parent
    files = (checkpoint, model / PLANS_JSON, model / DATASET_JSON)
    return {
        "format": FORMAT,
        "sha256": {file.name: _sha256(file) for file in files},
        "shape": [batch_size(shape), *shape],
        "versions": {"nnunetv2-mscs": __version__, **{name: version(name) for name in PACKAGES}},
    }


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return facts_of(stream).sha256


def _kept(facts: dict[str, Any], convert: Callable[[Path], None]) -> Path:
    """The file of an exported network that is there, or is made by `convert`.

    It lies in the user's cache: what lies in a model's folder is part of the model to `mscs run` and `mscs export`.

    Raises:
        MscsError: the cache cannot be written.
    """
    place = user_cache() / "nnunetv2-mscs" / FOLDER
    kept = place / hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    if _is_whole(kept, facts):
        with suppress(OSError):
            os.utime(kept)
        return kept / NETWORK
    if write_failure(place):
        raise MscsError(
            f"The network in OpenVINO's form cannot be kept in {place}.",
            "Let XDG_CACHE_HOME name a folder that can be written, or choose --engine torch.",
        )
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
        clear_leftovers(place, PREFIX)
        with hidden_place(place, PREFIX) as hidden:
            new = hidden / kept.name
            new.mkdir()
            convert(new / NETWORK)
            whole = {**facts, "files": {file: _sha256(new / file) for file in (NETWORK, WEIGHTS)}}
            write_whole(new / FACTS, json.dumps(whole, indent=2) + "\n")
            shutil.rmtree(kept, ignore_errors=True)
            try:
                new.rename(kept)
            except OSError:
                if not _is_whole(kept, facts):  # else another command was quicker
                    raise
        _drop_oldest(place)
    return kept / NETWORK


def _drop_oldest(place: Path) -> None:
    """Keep the networks that were used last."""
    with suppress(OSError):
        networks = sorted((one for one in place.iterdir() if not one.name.startswith(".")), key=os.path.getmtime)
        for old in networks[:-MOST_KEPT]:
            shutil.rmtree(old, ignore_errors=True)


def _is_whole(folder: Path, facts: Mapping[str, Any]) -> bool:
    """Whether a folder holds the network of these facts, undamaged."""
    found = dict(read_json_if_there(folder / FACTS))
    files = found.pop("files", {})
    try:
        return found == facts and files == {name: _sha256(folder / name) for name in (NETWORK, WEIGHTS)}
    except OSError:
        return False


def user_cache() -> Path:
    """The folder of the user for what programs can make anew."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def write_openvino(network: nn.Module, shape: Sequence[int], file: Path) -> None:
    """Write a network for inputs of a shape in OpenVINO's form, with all digits of its weights.

    By the frontend itself: `openvino.convert_model` would report its use to the makers over the internet.

    Raises:
        MscsError: OpenVINO has no form for an operation of it, or the file cannot be written.
    """
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    prepared = InferenceNet(network, shape[2:]) if isinstance(network, MSCSNet) else network.eval()
    try:
        with quiet(), torch.no_grad():
            decoder = TorchScriptPythonDecoder(prepared, example_input=(torch.zeros(tuple(shape)),))
        frontend = FrontEndManager().load_by_framework("pytorch")
        loaded = frontend.load(decoder)
        image = loaded.get_place_by_input_index(0)
        loaded.set_partial_shape(image, openvino.PartialShape(list(shape)))
        loaded.set_element_type(image, openvino.Type.f32)
        model = frontend.convert(loaded)
    except Exception as error:
        # The frontend raises errors of its own for operations that it does not know.
        raise MscsError(f"OpenVINO cannot take the network: {type(error).__name__}: {error}", OTHER_ENGINE) from error
    try:
        openvino.save_model(model, file, compress_to_fp16=False)
    except RuntimeError as error:
        raise MscsError(f"{file} could not be written: {error}", DISK_FULL) from error
