"""Write panoptica_values.json: what panoptica says of one-to-one matching on the pairs of masks that are made here.

panoptica 2.1 asks for an older NumPy and connected-components-3d than nnU-Net takes, so its numbers are kept:

    uv run --no-project --with panoptica==2.1.7 --with SimpleITK tests/evaluation/panoptica_values.py MASKS

where MASKS is ../shared/real/masks.
"""

import json
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

VALUES = Path(__file__).with_suffix(".json")
SEEDS = range(40)
REAL = ("isles22_0001", "isles22_0002", "isles22_0003", "isles22_0004", "soop_3")
THRESHOLDS = (0.20, 0.25)


def boxes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes, and the same ones moved, resized, lost and joined by others; from whole random numbers alone."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((2, 10, 48, 48), dtype=bool)
    for _ in range(int(rng.integers(5, 45))):
        corner, size = rng.integers(0, (9, 44, 44)), rng.integers(1, (4, 8, 8))
        for mask in masks:
            where = corner + rng.integers(-1, 2, 3)
            end = where + np.maximum(size + rng.integers(-1, 3, 3), 1)
            if rng.integers(8):
                mask[tuple(slice(max(int(first), 0), int(last)) for first, last in zip(where, end, strict=True))] = True
    return masks[0], masks[1]


def dilated(mask: np.ndarray) -> np.ndarray:
    """A mask and the voxels that share a face with one of it."""
    padded = np.pad(mask, 1)
    grown = padded.copy()
    for axis in range(3):
        for step in (-1, 1):
            grown |= np.roll(padded, step, axis)
    return grown[1:-1, 1:-1, 1:-1]


def split(mask: np.ndarray) -> np.ndarray:
    """A mask without every fifth column of voxels."""
    return mask & (np.arange(mask.shape[2]) % 5 > 0)


def real_pairs(mask: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A real mask beside its changed copies."""
    return {"dilated": (mask, dilated(mask)), "split": (mask, split(mask)), "joined": (split(mask), mask)}


def main(folder: Path) -> None:
    from panoptica import (
        ConnectedComponentsInstanceApproximator,
        InputType,
        NaiveThresholdMatching,
        Panoptica_Evaluator,
    )

    pairs = {f"boxes {seed}": boxes(seed) for seed in SEEDS}
    for case in REAL:
        mask = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{case}.nii.gz"))) > 0
        pairs |= {f"{case} {change}": pair for change, pair in real_pairs(mask).items()}
    values: dict[str, dict[str, float]] = {name: {} for name in pairs}
    for threshold in THRESHOLDS:
        evaluator = Panoptica_Evaluator(
            expected_input=InputType.SEMANTIC,
            instance_approximator=ConnectedComponentsInstanceApproximator(),
            instance_matcher=NaiveThresholdMatching(matching_threshold=threshold),
        )
        suffix = f"iou{round(100 * threshold)}"
        for name, (reference, prediction) in pairs.items():
            result = evaluator.evaluate(prediction.astype(np.uint8), reference.astype(np.uint8))["ungrouped"]
            values[name] |= {
                "lesion_count_reference": result.n_ref_instances,
                "lesion_count_prediction": result.n_pred_instances,
                f"rq_{suffix}": result.rq,
                f"sq_{suffix}": result.sq,
                f"pq_{suffix}": result.pq,
            }
    lines = (f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in values.items())
    VALUES.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
