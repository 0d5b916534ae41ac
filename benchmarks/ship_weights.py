"""Put the model of synthetic_training.py into the package: half precision, its threshold and smallest lesion beside it.

    python benchmarks/ship_weights.py ./synthetic/model

Plans and data set get the names that `mscs predict` prints. Nothing else changes; tests/models/test_shipped.py checks
that the package holds what this program writes, and that it is small.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from score_real import FACTS

from nnunetv2_mscs.models.shipped import FOLDER, SHIPPED
from nnunetv2_mscs.models.source import DEFAULTS, MIN_LESION, THRESHOLD
from nnunetv2_mscs.nnunet_files.checkpoints import FINAL_CHECKPOINT, WEIGHTS, read_checkpoint
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON, FINGERPRINT
from nnunetv2_mscs.nnunet_files.json_files import read_json
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.workplace.whole_files import write_whole

# Voxels of the synthetic scans in mm, the smallest and the largest (docs/weights.md): others get a warning.
SPACINGS_MM = [[2.0, 0.9, 0.9], [7.0, 2.0, 2.0]]
DATASET, PLANS, PLANNER = "Dataset991_SyntheticStroke", "MSCSPlans", "MSCSPlanner"


def ship(model: Path, target: Path) -> Path:
    """Write the shipped form of a model folder; returns the checkpoint."""
    plans, dataset, facts = (read_json(model / name) for name in (PLANS_JSON, DATASET_JSON, FACTS))
    if "threshold" not in facts:
        raise SystemExit(f"{model / FACTS} has no threshold: run choose_threshold.py first.")
    configurations = {
        name: one | {"data_identifier": f"{PLANS}_{name}"} for name, one in plans["configurations"].items()
    }
    plans |= {"dataset_name": DATASET, "plans_name": PLANS, "experiment_planner_used": PLANNER}
    plans["configurations"] = configurations
    dataset |= {"name": DATASET, DEFAULTS: {THRESHOLD: facts["threshold"], MIN_LESION: facts["min_lesion_ml"]}}
    checkpoint = read_checkpoint(model / "fold_all" / FINAL_CHECKPOINT)
    checkpoint[WEIGHTS] = {name: tensor.half() for name, tensor in checkpoint[WEIGHTS].items()}
    checkpoint["init_args"] |= {"plans": plans, "dataset_json": dataset}
    shutil.rmtree(target, ignore_errors=True)
    file = target / "fold_all" / FINAL_CHECKPOINT
    file.parent.mkdir(parents=True)
    contents = {PLANS_JSON: plans, DATASET_JSON: dataset, FACTS: facts, FINGERPRINT: {"spacings": SPACINGS_MM}}
    for name, content in contents.items():
        write_whole(target / name, json.dumps(content, indent=1) + "\n")
    torch.save(checkpoint, file)
    return file


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL")
    parser.add_argument("--name", default=SHIPPED, help=f"of the weights (default {SHIPPED})")
    args = parser.parse_args(argv)
    file = ship(args.model, FOLDER / args.name)
    print(f"written: {file}, {file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
