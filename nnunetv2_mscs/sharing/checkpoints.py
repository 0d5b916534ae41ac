"""Safe loading of checkpoints: whether one is whole, holds only data, and has weights that can be predicted with."""

import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.checkpoints import read_checkpoint

DTYPES = ("float16", "bfloat16", "float32", "float64", "bool", "uint8", "int8", "int16", "int32", "int64")


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
        MscsError: it is damaged, holds objects that only code from it could make, holds no network, or has weights
            that are not finite numbers.
    """
    damage = _damage(file)
    if damage:
        raise MscsError(f"{file} is damaged: {damage}.", "Take the checkpoint from where it came from once more.")
    content = _content(file)
    weights, arguments = content.get("network_weights"), content.get("init_args")
    trainer, epochs = content.get("trainer_name"), content.get("current_epoch")
    configuration = arguments.get("configuration") if isinstance(arguments, Mapping) else None
    mirrored = content.get("inference_allowed_mirroring_axes") or ()
    if (
        not isinstance(weights, Mapping)
        or not weights
        or not all(map(_is_plain, weights.values()))
        or not isinstance(trainer, str)
        or not isinstance(configuration, str)
        or not isinstance(mirrored, (tuple, list))
        or not all(type(axis) is int and 0 <= axis <= 2 for axis in mirrored)
    ):
        raise MscsError(f"{file} is not a checkpoint of nnU-Net's.", "Ask the sender for another file.")
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise MscsError(f"{file}: {name} holds NaN or Inf.", "Train this fold again.")
    return Checkpoint(trainer, configuration, epochs if isinstance(epochs, int) else None, weights)


def _is_plain(tensor: Any) -> bool:
    """Whether a tensor has a value of its own for each element, in the memory of this machine.

    Others, such as one number expanded to a billion, take far more memory than the file as soon as they are read.
    """
    import torch

    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and str(tensor.dtype).removeprefix("torch.") in DTYPES
        and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )


def _content(file: Path) -> dict[str, Any]:
    """The content. Raises MscsError, naming what it would run, if it is not only data."""
    try:
        return read_checkpoint(file)
    except MscsError as error:
        foreign = re.search(r"GLOBAL (\S+)", str(error.__cause__))
        if not foreign:
            raise
        raise MscsError(
            f"{file} names {foreign[1]}, which is neither a tensor nor a number: nnU-Net, reading it, could run code.",
            "Do not use the file; tell the sender.",
        ) from error


def _damage(file: Path) -> str:
    """What is wrong with the bytes of a checkpoint, which is a zip file with a checksum of every tensor; or ""."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            # PyTorch compresses nothing, so a checkpoint holds no more than its own size.
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                return "it is compressed, as PyTorch's never are"
            if sum(entry.file_size for entry in entries) > file.stat().st_size:
                return "its parts overlap"
            broken = archive.testzip()
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        return str(error) or type(error).__name__
    return f"the checksum of {broken} is wrong" if broken else ""


def write_small(file: Path, small: Path) -> None:
    """Copy a checkpoint without the optimiser's state, which prediction does not need."""
    import torch

    content = read_checkpoint(file)
    content.pop("optimizer_state", None)
    torch.save(content, small)
