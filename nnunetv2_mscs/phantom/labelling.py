"""Tissue labels of a fine slice from its level sets."""

from collections.abc import Mapping

import numpy as np

from nnunetv2_mscs.phantom.anatomy import Build
from nnunetv2_mscs.phantom.tissues import Tissue

CORTEX_MM, SKIN_MM = 2.7, 2.0
CEREBELLAR_CORTEX_MM = 11.0


def label_slice(levels: Mapping[str, np.ndarray], u: np.ndarray, build: Build) -> np.ndarray:
    """(Y, X) uint8 labels of `Tissue`.

    Args:
        levels: the signed distances of `anatomy.level_sets` on the slice, each (Y, X).
        u: distance from the mid-plane in mm.
        build: of this brain.
    """
    labels = np.zeros(u.shape, np.uint8)
    labels[levels["head"] < 0] = Tissue.SCALP
    labels[(levels["head"] < 0) & ((levels["head"] > -SKIN_MM) | (levels["flesh"] > 0.6))] = Tissue.SKIN
    labels[levels["skull"] < 0] = Tissue.SKULL
    labels[levels["eyes"] < 0] = Tissue.EYE
    labels[levels["inner"] < 0] = Tissue.CSF
    _add_cerebellum(labels, levels)
    _add_cerebrum(labels, levels, u, build)
    labels[(levels["brainstem"] < 0) & (levels["inner"] < 3)] = Tissue.BRAINSTEM
    labels[(levels["ventricles"] < 0) & (levels["inner"] < 0)] = Tissue.CSF
    return labels


def _add_cerebrum(labels: np.ndarray, levels: Mapping[str, np.ndarray], u: np.ndarray, build: Build) -> None:
    """White matter under a ribbon of cortex that follows the surface, the sulci and the great fissures."""
    depth = -levels["cerebrum"]
    opening = 0.45 + 0.75 * build.atrophy + np.maximum(0, 6 - depth) * np.float32(0.05 + 0.12 * build.atrophy)
    sulcus = np.maximum(np.abs(levels["sulcus"]) - opening, levels["sulcus_floor"])
    fissure = np.maximum(np.abs(u - levels["midline"]) - np.float32(0.9 + 0.9 * build.atrophy), levels["callosum"])
    pial = np.minimum(np.minimum(depth, sulcus), np.minimum(fissure, levels["sylvian"]))
    inside = depth > 0
    labels[inside] = Tissue.CSF
    labels[inside & (pial > 0)] = Tissue.GREY
    white = inside & (pial > CORTEX_MM)
    labels[white] = Tissue.WHITE
    labels[white & (levels["deep_grey"] < 0)] = Tissue.DEEP_GREY
    labels[white & (levels["pallidum"] < 0)] = Tissue.PALLIDUM


def _add_cerebellum(labels: np.ndarray, levels: Mapping[str, np.ndarray]) -> None:
    """The cerebellum: white matter inside, and folia with a little fluid between them outside."""
    inside = levels["cerebellum"] < 0
    labels[inside] = Tissue.CEREBELLUM
    labels[levels["cerebellum"] < -CEREBELLAR_CORTEX_MM] = Tissue.WHITE
    fold = np.abs(levels["folia"] - np.rint(levels["folia"]))
    labels[inside & (fold < 0.05) & (levels["cerebellum"] > -CEREBELLAR_CORTEX_MM)] = Tissue.CSF
