"""Synthetic scans from label maps of heads and lesion masks, in the layout images/masks that `mscs convert` reads.

    python benchmarks/synthetic_data.py OUT --heads LABEL_MAPS --lesion-masks MASKS --cases 100 --seed 0 -np 8

Scan i has the seed SEED + i. OUT/scans.csv says how each was made. What else is here is the data of
synthetic_training.py: the plan, and volumes as the network sees them.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from leaving_out import left_out

from nnunetv2_mscs.phantom.heads import LesionMasks, find_heads, make_head_scan
from nnunetv2_mscs.phantom.heads.scan import LESION_FREE
from nnunetv2_mscs.scans.writing import write_volume
from nnunetv2_mscs.workplace.parallel import run_parallel
from nnunetv2_mscs.workplace.whole_files import whole_file, write_whole

DATASET_ID, DATASET = 991, "Dataset991_SyntheticStroke"
PLANS = "MSCSPlans"
CONFIGURATION = "2d"
PLANNED_CASES, PLANNED_SEED = 16, 5_000_000
# 2 mm in plane, as ISLES'22 stores its scans: what costs least at the resolution that most scans were acquired with.
SPACING = (5.0, 2.0, 2.0)
SLICES = 28
VALIDATION_SEED = 1_000_000
FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


@dataclass(frozen=True)
class Sources:
    """Where label maps and lesion masks lie."""

    heads: str
    masks: str


@lru_cache(maxsize=2)
def _masks(path: str) -> LesionMasks:
    return LesionMasks.read(Path(path))


def set_folders(work: Path) -> None:
    """Nothing of nnU-Net's lies outside the work folder."""
    for name in FOLDERS:
        os.environ[name] = str(work / name)
        (work / name).mkdir(parents=True, exist_ok=True)


def write_scans(out: Path, sources: Sources, seeds: Sequence[int], processes: int, **options) -> None:
    """Whole scans in the layout images/masks that `mscs convert` reads, and scans.csv with what is known of each."""
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    work = partial(_write_scan, out=out, sources=sources, **options)
    facts = run_parallel(work, list(seeds), processes=processes, description="scans")
    pd.DataFrame(facts).to_csv(out / "scans.csv", index=False)


def _write_scan(seed: int, *, out: Path, sources: Sources, **options) -> dict:
    torch.set_num_threads(1)
    scan = make_head_scan(seed, find_heads(Path(sources.heads)), _masks(sources.masks), **options)
    name = f"synthetic_{seed:07d}"
    for kind, array in (("adc", scan.adc), ("dwi", scan.dwi)):
        write_volume(array, scan.grid, out / "images" / f"{name}_{kind}.nii.gz")
    write_volume(scan.mask, scan.grid, out / "masks" / f"{name}.nii.gz")
    return {"case": name, **scan.facts}


def plan(work: Path, sources: Sources, processes: int, *, cases: int = PLANNED_CASES) -> tuple[Path, Path]:
    """plans.json and dataset.json that MSCSPlanner and `mscs convert` make from a few whole scans."""
    set_folders(work)
    preprocessed = work / "nnUNet_preprocessed" / DATASET
    plans, dataset = preprocessed / f"{PLANS}.json", preprocessed / "dataset.json"
    if plans.is_file() and dataset.is_file():
        return plans, dataset
    scans = work / "planned"
    seeds = range(PLANNED_SEED, PLANNED_SEED + cases)
    if not (scans / "scans.csv").is_file():
        write_scans(scans, sources, seeds, processes, lesion_free=0.0, adc_missing=0.0)
    number = str(processes)
    commands = [
        ["mscs", "convert", str(scans), str(DATASET_ID), DATASET.split("_")[1], "--overwrite", "-np", number],
        ["nnUNetv2_extract_fingerprint", "-d", str(DATASET_ID), "-np", number],
        [
            *("nnUNetv2_plan_experiment", "-d", str(DATASET_ID), "-pl", "MSCSPlanner"),
            *("-overwrite_target_spacing", *map(str, SPACING), "-overwrite_plans_name", PLANS),
        ],
    ]
    for words in commands:
        print("$", " ".join(words), flush=True)
        subprocess.run(_runnable(words), check=True, stdout=subprocess.DEVNULL, cwd=work)
    return plans, dataset


def _runnable(words: list[str]) -> list[str]:
    """The command in this Python, also from a tree that is not installed."""
    if words[0] == "mscs":
        return [sys.executable, "-m", "nnunetv2_mscs.cli.main", *words[1:]]
    return [sys.executable, "-m", "nnunetv2_mscs.nnunet_shims.run", *words]


def make_volumes(
    folder: Path, sources: Sources, plans: Path, seeds: Sequence[int], processes: int, without: str | None = None
) -> list[dict]:
    """Make the volumes of these seeds that are not there: <seed>_x.npy (N, 2, Y, X), <seed>_y.npy, <seed>.json.

    Args:
        folder: of the volumes.
        sources: label maps and lesion masks.
        plans: file that says how they are preprocessed.
        seeds: one for each volume.
        processes: side by side.
        without: a part of the scans that is left out, see leaving_out.py.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in seeds if not (folder / f"{seed}.json").is_file()]
    work = partial(_make_volume, folder=folder, sources=sources, plans=plans, without=without)
    return run_parallel(work, missing, processes=processes, description="volumes")


@lru_cache(maxsize=2)
def _preprocessing(plans: Path):
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from nnunetv2_mscs.nnunet_shims.run import make_findable

    make_findable()
    manager = PlansManager(str(plans))
    dataset = json.loads((plans.parent / "dataset.json").read_text())
    return DefaultPreprocessor(verbose=False), manager, manager.get_configuration(CONFIGURATION), dataset


def _make_volume(seed: int, *, folder: Path, sources: Sources, plans: Path, without: str | None) -> dict:
    torch.set_num_threads(1)
    heads = find_heads(Path(sources.heads))
    if without == "heads":
        heads = heads[:1]
    options = {"lesion_free": 0.0} if without == "negatives" else {}
    with left_out(without):
        scan = make_head_scan(seed, heads, _masks(sources.masks), most_slices=SLICES, **options)
    preprocessor, manager, configuration, dataset = _preprocessing(plans)
    data = np.stack([scan.adc, scan.dwi]).astype(np.float32)
    properties = {"spacing": [scan.grid.spacing[axis] for axis in (2, 1, 0)]}
    data, labels, _ = preprocessor.run_case_npy(
        data, scan.mask[None].astype(np.int16), properties, manager, configuration, dataset
    )
    patch = configuration.patch_size
    images = fitted(np.moveaxis(np.asarray(data), 0, 1), patch).astype(np.float16)
    masks = (fitted(np.asarray(labels)[0], patch) > 0).astype(np.uint8)
    facts = {**scan.facts, "slices": len(masks), "lesion_slices": int(masks.any((1, 2)).sum())}
    for name, array in ((f"{seed}_x.npy", images), (f"{seed}_y.npy", masks)):
        with whole_file(folder / name) as file:
            np.save(file, array)
    write_whole(folder / f"{seed}.json", json.dumps(facts, default=str))
    return facts


def fitted(array: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The last two axes cut or padded with 0 to this size about their middle."""
    for axis, wanted in zip((-2, -1), size, strict=True):
        have = array.shape[axis]
        if have > wanted:
            array = np.take(array, range((have - wanted) // 2, (have - wanted) // 2 + wanted), axis)
        elif have < wanted:
            pads = [(0, 0)] * array.ndim
            pads[axis] = ((wanted - have) // 2, wanted - have - (wanted - have) // 2)
            array = np.pad(array, pads)
    return array


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("out", type=Path, metavar="OUT")
    add("--heads", type=Path, required=True, help="folder of label maps in FreeSurfer's or SynthSeg's numbers")
    add("--lesion-masks", type=Path, required=True, help="in MNI space: a packed file, or a folder of NIfTI masks")
    add("--cases", type=int, default=20)
    add("--seed", type=int, default=0, help="of the first scan")
    add("--lesion-free", type=float, default=LESION_FREE, metavar="F", help="share of scans without an acute lesion")
    add("-np", dest="processes", type=int, default=1)
    args = parser.parse_args(argv)
    sources = Sources(str(args.heads.resolve()), str(args.lesion_masks.resolve()))
    seeds = range(args.seed, args.seed + args.cases)
    write_scans(args.out, sources, seeds, args.processes, lesion_free=args.lesion_free)


if __name__ == "__main__":
    main()
