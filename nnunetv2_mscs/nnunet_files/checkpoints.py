"""Checkpoints: their names, and what they hold, read without running code or loading the weights into memory."""

from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError

FINAL_CHECKPOINT, BEST_CHECKPOINT, LATEST_CHECKPOINT = (
    "checkpoint_final.pth",
    "checkpoint_best.pth",
    "checkpoint_latest.pth",
)
# The entry of a checkpoint that holds the parameters of the network.
WEIGHTS = "network_weights"
# In the order in which prediction takes them, and with the most epochs first.
CHECKPOINTS = (FINAL_CHECKPOINT, BEST_CHECKPOINT, LATEST_CHECKPOINT)
MOST_TRAINED_FIRST = (FINAL_CHECKPOINT, LATEST_CHECKPOINT, BEST_CHECKPOINT)


def read_checkpoint(file: Path) -> dict[str, Any]:
    """What a checkpoint holds; its tensors stay on the disk until their values are asked for.

    Raises:
        MscsError: it is damaged, or holds objects that only code from it could make.
    """
    import numpy as np
    import torch
    from numpy._core.multiarray import scalar

    def scalar_of_numpy_1(*arguments: Any) -> Any:
        return scalar(*arguments)

    # The name that files written with NumPy 1 have for it.
    scalar_of_numpy_1.__module__ = "numpy.core.multiarray"
    scalar_of_numpy_1.__qualname__ = scalar_of_numpy_1.__name__ = "scalar"

    # What nnU-Net keeps beside tensors: its best score and its log, scalars of numpy.
    known: list[Any] = [
        scalar,
        scalar_of_numpy_1,
        np.dtype,
        np.float64,
        np.float32,
        *(type(np.dtype(kind)) for kind in ("f4", "f8", "i8")),
    ]
    try:
        with torch.serialization.safe_globals(known):
            return dict(torch.load(file, map_location="cpu", mmap=True, weights_only=True))
    except Exception as error:
        # Unpickling damaged or foreign bytes may raise anything.
        raise MscsError(f"{file} cannot be read: {type(error).__name__}", "Take the checkpoint away.") from error
