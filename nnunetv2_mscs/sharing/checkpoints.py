"""Whether a checkpoint is whole, holds nothing but data, and has weights that can be predicted with."""

import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.checkpoints import read_checkpoint

WEIGHTS, OPTIMISER = "network_weights", "optimizer_state"
KINDS = ("float16", "bfloat16", "float32", "float64", "bool", "uint8", "int8", "int16", "int32", "int64")


@dataclass(frozen=True)
class Checkpoint:
    """What prediction takes from a checkpoint.

    Args:
        trainer: class name.
        configuration: such as "3d_fullres".
        epochs: trained; None if it does not say.
        weights: tensors by name; their values stay on the disk.
    """

    trainer: str
    configuration: str
    epochs: int | None
    weights: Mapping[str, Any]


def inspect_checkpoint(file: Path) -> Checkpoint:
    """Read a checkpoint and check it, without running any code from it.

    Raises:
        MscsError: a byte of it is damaged, it holds objects that only code from it could make, no network, or weights
            that are not finite numbers.
    """
    damage = _damage(file)
    if damage:
        raise MscsError(f"{file} is damaged: {damage}.", "Take the checkpoint from where it came from once more.")
    content = _content(file)
    weights, arguments = content.get(WEIGHTS), content.get("init_args")
    trainer = content.get("trainer_name")
    configuration = arguments.get("configuration") if isinstance(arguments, Mapping) else None
    tensors = isinstance(weights, Mapping) and all(map(_is_plain, weights.values()))
    mirrored = content.get("inference_allowed_mirroring_axes") or ()
    axes = isinstance(mirrored, (tuple, list)) and all(type(axis) is int and 0 <= axis <= 2 for axis in mirrored)
    if not weights or not tensors or not axes or not isinstance(trainer, str) or not isinstance(configuration, str):
        raise MscsError(f"{file} is no checkpoint of nnU-Net's.", "Ask the sender for another file.")
    unusable = next((name for name, one in weights.items() if one.is_floating_point() and not one.isfinite().all()), "")
    if unusable:
        raise MscsError(f"{file}: {unusable} holds NaN or Inf.", "Train this fold again.")
    epochs = content.get("current_epoch")
    return Checkpoint(trainer, configuration, epochs if isinstance(epochs, int) else None, weights)


def _is_plain(tensor: Any) -> bool:
    """Whether a tensor holds a value of its own for each of its elements, in the memory of this machine.

    Others, such as one number shown as a billion, take memory by far beyond the file's size as soon as they are read.
    """
    import torch

    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.layout != torch.strided:
        return False
    if tensor.device.type != "cpu" or str(tensor.dtype).removeprefix("torch.") not in KINDS:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _content(file: Path) -> dict[str, Any]:
    """What it holds. Raises MscsError, naming what it would run, if it is not data alone."""
    try:
        return read_checkpoint(file)
    except MscsError as error:
        foreign = re.search(r"GLOBAL (\S+)", str(error.__cause__))
        if not foreign:
            raise
        raise MscsError(
            f"{file} names {foreign[1]}, which is neither a tensor nor a number: reading it as nnU-Net does could run "
            "code.",
            "Do not use the file; tell the sender.",
        ) from error


def write_small(file: Path, small: Path) -> None:
    """Copy a checkpoint without the optimiser's state, which only a training that goes on needs."""
    import torch

    content = {key: value for key, value in read_checkpoint(file).items() if key != OPTIMISER}
    torch.save(content, small)


def _damage(file: Path) -> str:
    """What is wrong with the bytes of a checkpoint: PyTorch's are zip files with a checksum of every tensor."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            # PyTorch compresses nothing, so that no file holds more than its own size.
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                return "it is compressed, as PyTorch's never are"
            if sum(entry.file_size for entry in entries) > file.stat().st_size:
                return "its parts overlap"
            broken = archive.testzip()
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        return str(error) or type(error).__name__
    return f"the checksum of {broken} is wrong" if broken else ""
