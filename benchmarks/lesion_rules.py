"""How far the two rules for found lesions lie apart: masks beside their copies dilated by one voxel.

    python benchmarks/lesion_rules.py MASKS

MASKS is a folder of lesion masks. Each is compared with itself plus every voxel that shares a face with it: a
prediction that misses nothing, a voxel too large. The ISLES'22 rule calls it perfect; one-to-one matching does not,
because small lesions lose their IoU and near ones run into each other.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from reporting import print_table
from scipy import ndimage

from nnunetv2_mscs.evaluation.case import evaluate_masks
from nnunetv2_mscs.scans.formats import ENDINGS
from nnunetv2_mscs.scans.reading import read_volume

HEADER = ["mask", "mL", "lesions", "after", "Dice", "F1 ISLES'22", "F1 IoU 0.20", "F1 IoU 0.25"]


def row(file: Path) -> list[str]:
    """One line of the table."""
    volume = read_volume(file, content="mask")
    mask = volume.array[0] > 0
    values = evaluate_masks(mask, ndimage.binary_dilation(mask), volume.grid.spacing[::-1])
    return [
        file.name.split(".")[0],
        f"{values['volume_reference_ml']:.2f}",
        f"{values['lesion_count_reference']:.0f}",
        f"{values['lesion_count_prediction']:.0f}",
        *(f"{values[column]:.3f}" for column in ("dice", "f1_isles22", "f1_iou20", "f1_iou25")),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("masks", type=Path, metavar="MASKS")
    args = parser.parse_args(argv)
    files = sorted(file for file in args.masks.iterdir() if file.name.endswith(ENDINGS)) if args.masks.is_dir() else []
    if not files:
        sys.exit(f"{args.masks} holds no masks ({', '.join(ENDINGS)})")
    print_table(HEADER, [row(file) for file in files])


if __name__ == "__main__":
    main()
