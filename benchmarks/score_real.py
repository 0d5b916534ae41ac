"""Dice and lesion F1 of a model folder on labelled real scans, case by case; nothing is chosen on them.

    python benchmarks/score_real.py MODEL [--data REAL] [--threshold P] [--min-lesion ML] [-o scores.json]

REAL is a folder in the layout images/masks (default: ../shared/real, or what MSCS_REAL_DATA names). Scans are read as
`mscs convert` reads them, and predicted as by `mscs predict`. Threshold and smallest lesion are the model's, which
`choose_threshold.py` has chosen on synthetic scans, else 0.5 and 0.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from reporting import print_table

from nnunetv2_mscs import Predictor
from nnunetv2_mscs.evaluation.lesions import Lesions, isles22_metrics
from nnunetv2_mscs.scans.alignment import turn
from nnunetv2_mscs.scans.channels import ADC, DWI, ReadingRules, ScanFiles
from nnunetv2_mscs.scans.lesions import lesion_volume_ml
from nnunetv2_mscs.scans.scan import load_scan


def cases_of(data: Path) -> list[ScanFiles]:
    """The labelled cases of a folder in the layout images/masks."""
    found = []
    for mask in sorted((data / "masks").glob("*.nii.gz")):
        name = mask.name.removesuffix(".nii.gz")
        images = {channel: data / "images" / f"{name}_{channel.lower()}.nii.gz" for channel in (ADC, DWI)}
        found.append(ScanFiles(images, mask))
    return found


def scores(found: np.ndarray, truth: np.ndarray, voxel_volume_ml: float) -> dict[str, float]:
    both = float(np.count_nonzero(found & truth))
    total = float(np.count_nonzero(found) + np.count_nonzero(truth))
    lesions = Lesions.of(truth, found)
    f1 = isles22_metrics(lesions)["f1_isles22"] if found.any() and truth.any() else 0.0
    return {
        "dice": 2 * both / total if total else 1.0,
        "precision": both / max(np.count_nonzero(found), 1),
        "recall": both / max(np.count_nonzero(truth), 1),
        "f1_isles22": f1,
        "volume_reference_ml": lesion_volume_ml(truth, voxel_volume_ml),
        "volume_prediction_ml": lesion_volume_ml(found, voxel_volume_ml),
    }


def false_ml_in_other_halves(found: np.ndarray, truth: np.ndarray, dwi: np.ndarray, voxel_volume_ml: float) -> float:
    """What is marked in halves of the head that hold no lesion, in mL; arrays (Z, Y, X) with X from side to side."""
    middle = int(np.nonzero(dwi > np.percentile(dwi, 75))[2].mean())
    halves = (np.s_[:, :, :middle], np.s_[:, :, middle:])
    return voxel_volume_ml * sum(float(np.count_nonzero(found[half])) for half in halves if not truth[half].any())


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("model", metavar="MODEL", help="model folder, or what mscs predict -m takes")
    default = os.environ.get("MSCS_REAL_DATA") or Path(__file__).resolve().parents[2] / "shared" / "real"
    add("--data", type=Path, default=Path(default), help="folder of labelled scans")
    add("--threshold", type=float, help="probability of lesion (default: the model's)")
    add("--min-lesion", type=float, metavar="ML", help="smallest lesion kept (default: the model's)")
    add("--mirroring", action="store_true", help="average with the prediction of the mirrored scan")
    add("--threads", type=int, default=1)
    add("-o", "--output", type=Path, help="the figures as JSON")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    options = {"threshold": args.threshold, "min_lesion_ml": args.min_lesion}
    predictor = Predictor(args.model, "cpu", fast=not args.mirroring, **options)
    rows, figures = [], {}
    for files in cases_of(args.data):
        scan, findings = load_scan(files, ReadingRules())
        if scan is None or scan.labels is None:
            raise SystemExit(f"{files.mask}: {[finding.text for finding in findings]}")
        begin = time.perf_counter()
        prediction = predictor.predict_files(ScanFiles(files.images))
        seconds = time.perf_counter() - begin
        volume_ml, found, truth = scan.grid.voxel_volume_ml, prediction.mask > 0, scan.labels > 0
        one = scores(found, truth, volume_ml)
        upright = scan.turned_to("LPS")
        found_upright = turn(found[None], scan.grid, upright.grid)[0][0]
        one["false_other_halves_ml"] = false_ml_in_other_halves(
            found_upright, upright.labels > 0, upright.channels[DWI], volume_ml
        )
        name = str(files.mask and files.mask.name.removesuffix(".nii.gz"))
        figures[name] = one | {"seconds": seconds}
        rows.append([name, *(f"{value:.3f}" for value in one.values()), f"{seconds:.1f}"])
    columns = list(next(iter(figures.values())))
    print_table(["case", *columns], rows)
    mean = {key: fmean(one[key] for one in figures.values()) for key in ("dice", "f1_isles22")}
    print(f"threshold {predictor.threshold}, smallest lesion {predictor.min_lesion_ml} mL: mean Dice ", end="")
    print(f"{mean['dice']:.3f}, mean lesion F1 {mean['f1_isles22']:.3f}")
    if args.output:
        settings = {
            "threshold": predictor.threshold,
            "min_lesion_ml": predictor.min_lesion_ml,
            "mirroring": args.mirroring,
        }
        args.output.write_text(json.dumps({"settings": settings, "mean": mean, "cases": figures}, indent=2))


if __name__ == "__main__":
    main()
