"""Lesion masks as people save them - labels, 0/255, booleans, floats, one-hot - as labels 0, 1, 2, ..."""

import numpy as np

from nnunetv2_mscs.scans.findings import ScanError

ROUNDING = 1e-3
MOST_LABELS = 8


def to_labels(channels: np.ndarray, *, most: int = MOST_LABELS) -> np.ndarray:
    """Labels of a mask.

    Args:
        channels: (1, Z, Y, X) labels, or (K, Z, Y, X) one-hot with the background first.
        most: the highest label there may be, below 256.

    Returns:
        (1, Z, Y, X) uint8; 0 is background.

    Raises:
        ScanError: not a mask: NaN, fractions (probabilities), negative or unknown values, or no one-hot code.
    """
    if channels.dtype.kind == "f" and (count := int((~np.isfinite(channels)).sum())):
        raise ScanError(f"mask holds {count} NaN or infinite values", "Set them to 0.")
    rounded = np.rint(channels) if channels.dtype.kind == "f" else channels
    if channels.dtype.kind == "f" and np.abs(channels - rounded).max() > ROUNDING:
        share = float((np.abs(channels - rounded) > ROUNDING).mean())
        raise ScanError(
            f"mask holds fractions ({share:.1%} of its voxels, {channels.min():.3g} to {channels.max():.3g}): "
            "probabilities, not labels",
            "Threshold it, for instance at 0.5.",
        )
    if len(rounded) > 1:
        return _from_one_hot(rounded)
    values = np.unique(np.append(rounded[rounded != 0], 0))  # nearly all voxels are 0: sorting them takes long
    if set(values.tolist()) <= {0, 255}:
        return (rounded == 255).astype(np.uint8)
    if values[0] < 0 or values[-1] > most:
        values = np.unique(rounded)
        shown = ", ".join(f"{value:g}" for value in values[:10]) + (", ..." if len(values) > 10 else "")
        raise ScanError(
            f"mask has unknown label values: {shown}",
            f"Use 0 for background and 1 for lesion (or 1 to {most} for kinds of lesion, or 0 and 255).",
        )
    return rounded.astype(np.uint8)


def _from_one_hot(channels: np.ndarray) -> np.ndarray:
    """(K, Z, Y, X) of zeros and ones, a single one in each voxel -> (1, Z, Y, X)."""
    if channels.dtype.kind != "b" and set(np.unique(channels).tolist()) <= {0, 255}:
        channels = channels == 255
    values = np.unique(channels)
    if not set(values.tolist()) <= {0, 1} or not (channels.sum(axis=0) == 1).all():
        raise ScanError(
            f"mask has {len(channels)} channels that are not one-hot (each voxel needs a single 1)",
            "Save one volume of labels, or a one-hot code with the background first.",
        )
    return channels.argmax(axis=0)[None].astype(np.uint8)
