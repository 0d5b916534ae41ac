"""What `synthetic_training.py --without PART` leaves out of the synthetic scans, to measure what the part is worth.

- label-rule: the label is every voxel that is half lesion, whether the DWI shows it or not;
- heads: every scan is made from the first label map;
- masks: ellipsoids of the same volume and place stand for the masks of real lesions;
- artefacts: no displaced or piled-up signal, no ribbons, no ghosts, no uneven slices;
- negatives: no scan without an acute lesion;
- normalisation: z-scores of both channels, as nnU-Net plans them, for MSCSPlanner's.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest.mock import patch

import numpy as np

from nnunetv2_mscs.phantom.heads import LesionMasks, acquisition, scan
from nnunetv2_mscs.phantom.heads.lesion_masks import LesionShape

PARTS = ("normalisation", "label-rule", "heads", "masks", "artefacts", "negatives")


@contextmanager
def left_out(part: str | None) -> Iterator[None]:
    """`make_head_scan` without this part; normalisation and negatives are the caller's."""
    replacements = {
        "label-rule": [(scan, "outline", lambda fraction, dwi, healthy, noise: fraction > 0.5)],
        "masks": [(LesionMasks, "get", _ellipsoid)],
        "artefacts": [
            (scan, "displace", lambda images, moved: images),
            (scan, "draw_gain", lambda view, brain, rng: np.ones(brain.shape, np.float32)),
            (acquisition, "ghosts", lambda image, strength: image),
            (acquisition, "slice_factors", lambda count, rng: np.ones(count, np.float32)),
        ],
    }
    with ExitStack() as stack:
        for where, name, replacement in replacements.get(part or "", []):
            stack.enter_context(patch.object(where, name, replacement))
        yield


_get = LesionMasks.get


def _ellipsoid(masks: LesionMasks, index: int) -> LesionShape:
    """Where the mask lies and as large, in the proportions of its box."""
    shape = _get(masks, index)
    box = np.array(shape.mask.shape)
    radii = box / 2 * np.cbrt(shape.mask.sum() / (np.pi / 6 * box.prod()))
    margin = np.maximum(np.ceil(radii - box / 2), 0).astype(int)
    axes = (np.arange(-m, n + m) - (n - 1) / 2 for n, m in zip(box, margin, strict=True))
    x, y, z = np.meshgrid(*axes, indexing="ij")
    mask = (x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2 <= 1
    moved = np.eye(4)
    moved[:3, 3] = -margin
    return replace(shape, mask=mask, to_mni=shape.to_mni @ moved)
