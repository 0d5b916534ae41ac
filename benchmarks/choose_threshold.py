"""Choose a model's threshold and smallest lesion on whole synthetic scans.

    python benchmarks/synthetic_data.py SCANS --heads LABEL_MAPS --lesion-masks MASKS --cases 40 --seed 2000000
    python benchmarks/choose_threshold.py MODEL SCANS

Both go into MODEL/dataset.json, where `mscs predict` finds them, and into MODEL/synthetic_training.json. The choice is
the pair with the highest mean Dice of the scans with a lesion, among the pairs that mark at most 1 mL in 9 of 10 scans
without one; where no pair does, among all.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from reporting import print_table
from score_real import cases_of, scores

from nnunetv2_mscs import Predictor
from nnunetv2_mscs.models.source import DEFAULTS, MIN_LESION, THRESHOLD
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON
from nnunetv2_mscs.scans.channels import ReadingRules, ScanFiles
from nnunetv2_mscs.scans.lesions import without_small
from nnunetv2_mscs.scans.scan import load_scan
from nnunetv2_mscs.workplace.whole_files import write_whole

FACTS = "synthetic_training.json"
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
SMALLEST_ML = (0.0, 0.02, 0.05, 0.1, 0.2)
MOST_FALSE_ML, SHARE = 1.0, 0.9


def figures(model: Path, scans: Path) -> dict[tuple[float, float], tuple[float, float]]:
    """Mean Dice, and the share of lesion-free scans with at most 1 mL marked, by threshold and smallest lesion."""
    predictor = Predictor(model, "cpu", fast=True)
    pairs = [(threshold, smallest) for threshold in THRESHOLDS for smallest in SMALLEST_ML]
    dice: dict[tuple[float, float], list[float]] = {pair: [] for pair in pairs}
    few: dict[tuple[float, float], list[bool]] = {pair: [] for pair in pairs}
    for files in cases_of(scans):
        scan, _ = load_scan(files, ReadingRules())
        if scan is None or scan.labels is None:
            continue  # a scan without an ADC map: constant channels are refused
        truth, volume_ml = scan.labels > 0, scan.grid.voxel_volume_ml
        probabilities = predictor.predict_files(ScanFiles(files.images)).probabilities
        for threshold, smallest in pairs:
            found = without_small(probabilities >= threshold, smallest, volume_ml)
            if truth.any():
                dice[threshold, smallest].append(scores(found, truth, volume_ml)["dice"])
            else:
                few[threshold, smallest].append(found.sum() * volume_ml <= MOST_FALSE_ML)
    return {pair: (float(np.mean(dice[pair])), float(np.mean(few[pair] or [True]))) for pair in pairs}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL")
    parser.add_argument("scans", type=Path, metavar="SCANS", help="folder of synthetic_data.py")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    found = figures(args.model, args.scans)
    rows = [[*map(str, pair), f"{dice:.3f}", f"{share:.2f}"] for pair, (dice, share) in found.items()]
    print_table(["threshold", "smallest, mL", "mean Dice", "lesion-free scans with at most 1 mL"], rows)
    allowed = [pair for pair, (_, share) in found.items() if share >= SHARE] or list(found)
    threshold, smallest = max(allowed, key=lambda pair: found[pair][0])
    dataset = json.loads((args.model / DATASET_JSON).read_text())
    dataset[DEFAULTS] = {THRESHOLD: threshold, MIN_LESION: smallest}
    write_whole(args.model / DATASET_JSON, json.dumps(dataset, indent=4))
    facts = json.loads((args.model / FACTS).read_text())
    facts |= {"threshold": threshold, "min_lesion_ml": smallest, "synthetic_dice": found[threshold, smallest][0]}
    write_whole(args.model / FACTS, json.dumps(facts, indent=4))
    print(f"chosen: threshold {threshold}, smallest lesion {smallest} mL")


if __name__ == "__main__":
    main()
