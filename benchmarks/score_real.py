"""Dice and lesion F1 of a model folder on labelled real scans, case by case; nothing is chosen on them.

    python benchmarks/score_real.py MODEL [--data REAL] [--threshold P] [--min-lesion ML] [-o scores.json]

REAL is a folder in the layout images/masks (default: ../shared/real, or what MSCS_REAL_DATA names). Scans are read as
`mscs convert` reads them, and predicted by nnU-Net's own predictor. Threshold and smallest lesion are those that
`choose_threshold.py` has written into MODEL/synthetic_training.json from synthetic scans, else 0.5 and 0.
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
from scipy import ndimage

from nnunetv2_mscs.evaluation.lesions import Lesions, isles22_metrics
from nnunetv2_mscs.nnunet_files.dataset import READER
from nnunetv2_mscs.nnunet_shims.run import make_findable
from nnunetv2_mscs.scans.channels import ADC, DWI, ReadingRules, ScanFiles
from nnunetv2_mscs.scans.lesions import TOUCHING_BY_CORNER, lesion_volume_ml
from nnunetv2_mscs.scans.scan import Scan, load_scan

FACTS = "synthetic_training.json"


def cases_of(data: Path) -> list[ScanFiles]:
    """The labelled cases of a folder in the layout images/masks."""
    found = []
    for mask in sorted((data / "masks").glob("*.nii.gz")):
        name = mask.name.removesuffix(".nii.gz")
        images = {channel: data / "images" / f"{name}_{channel.lower()}.nii.gz" for channel in (ADC, DWI)}
        found.append(ScanFiles(images, mask))
    return found


def new_predictor(model: Path, checkpoint: str = "checkpoint_final.pth", *, mirroring: bool = False):
    """nnU-Net's predictor of the model folder, on the CPU."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    make_findable()
    predictor = nnUNetPredictor(
        use_mirroring=mirroring,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        verbose=False,
        allow_tqdm=False,
    )
    predictor.initialize_from_trained_model_folder(str(model), use_folds=("all",), checkpoint_name=checkpoint)
    return predictor


def probability(predictor, scan: Scan) -> np.ndarray:
    """Probability of lesion (Z, Y, X) on the grid of the scan, which lies along the axes of the model's reader."""
    image = np.stack([scan.channels[name] for name in (ADC, DWI)]).astype(np.float32)
    properties = {"spacing": [float(scan.grid.spacing[axis]) for axis in (2, 1, 0)]}
    with torch.autocast("cpu", torch.bfloat16):
        _, probabilities = predictor.predict_single_npy_array(image, properties, None, None, True)
    return np.asarray(probabilities[1])


def mask_of(probability: np.ndarray, threshold: float, min_lesion_ml: float, voxel_volume_ml: float) -> np.ndarray:
    """Voxels above the threshold, in pieces of at least so many mL."""
    mask = probability > threshold
    pieces, count = ndimage.label(mask, TOUCHING_BY_CORNER)
    if not count or min_lesion_ml <= 0:
        return mask
    large = np.bincount(pieces.ravel())[1:] * voxel_volume_ml >= min_lesion_ml
    return mask & np.append(False, large)[pieces]


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


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="model folder")
    default = os.environ.get("MSCS_REAL_DATA") or Path(__file__).resolve().parents[2] / "shared" / "real"
    add("--data", type=Path, default=Path(default), help="folder of labelled scans")
    add("--threshold", type=float, help="probability of lesion")
    add("--min-lesion", type=float, metavar="ML", help="smallest lesion kept")
    add("--mirroring", action="store_true", help="average with the prediction of the mirrored scan")
    add("--threads", type=int, default=1)
    add("-o", "--output", type=Path, help="the figures as JSON")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    chosen = json.loads((args.model / FACTS).read_text()) if (args.model / FACTS).is_file() else {}
    threshold = args.threshold if args.threshold is not None else chosen.get("threshold", 0.5)
    smallest = args.min_lesion if args.min_lesion is not None else chosen.get("min_lesion_ml", 0.0)
    predictor = new_predictor(args.model, mirroring=args.mirroring)
    reader = json.loads((args.model / "dataset.json").read_text()).get("overwrite_image_reader_writer", f"{READER}LPS")
    rows, figures = [], {}
    for files in cases_of(args.data):
        scan, findings = load_scan(files, ReadingRules())
        if scan is None or scan.labels is None:
            raise SystemExit(f"{files.mask}: {[finding.text for finding in findings]}")
        scan = scan.turned_to(reader.removeprefix(READER))
        begin = time.perf_counter()
        predicted = probability(predictor, scan)
        seconds = time.perf_counter() - begin
        volume_ml = scan.grid.voxel_volume_ml
        assert scan.labels is not None
        one = scores(mask_of(predicted, threshold, smallest, volume_ml), scan.labels > 0, volume_ml)
        name = str(files.mask and files.mask.name.removesuffix(".nii.gz"))
        figures[name] = one | {"seconds": seconds}
        rows.append([name, *(f"{value:.3f}" for value in one.values()), f"{seconds:.1f}"])
    columns = list(next(iter(figures.values())))
    print_table(["case", *columns], rows)
    mean = {key: fmean(one[key] for one in figures.values()) for key in ("dice", "f1_isles22")}
    print(f"threshold {threshold}, smallest lesion {smallest} mL: mean Dice {mean['dice']:.3f}, ", end="")
    print(f"mean lesion F1 {mean['f1_isles22']:.3f}")
    if args.output:
        settings = {"threshold": threshold, "min_lesion_ml": smallest, "mirroring": args.mirroring}
        args.output.write_text(json.dumps({"settings": settings, "mean": mean, "cases": figures}, indent=2))


if __name__ == "__main__":
    main()
