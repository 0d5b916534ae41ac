"""Predict scans with the configuration or ensemble that nnUNetv2_find_best_configuration chose, and postprocess.

It runs the commands that nnU-Net writes into inference_instructions.txt, low resolution of a cascade included. Scans
are in nnU-Net's format (<case>_0000.nii.gz, <case>_0001.nii.gz), as `mscs convert --unlabelled` makes them.
"""

import argparse
from pathlib import Path

from nnunetv2_mscs.workplace.arguments import count, dataset_id

SUMMARY = "masks of new scans, by the best configuration or ensemble of a data set"
EXAMPLE = "mscs predict-best 1 -i $nnUNet_raw/Dataset001_Stroke/imagesTs -o ./predictions"


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("dataset_id", metavar="DATASET_ID", type=dataset_id, help="nnU-Net's dataset id, 1 to 999")
    add("-i", "--images", type=Path, required=True, metavar="DIR", help="scans in nnU-Net's format")
    add("-o", "--out", type=Path, required=True, metavar="DIR", help="folder of the masks")
    add("--device", choices=("cpu", "cuda", "mps"), help="default: cuda if there is such a GPU, else cpu")
    add("--workspace", type=Path, metavar="DIR", help="where nnU-Net's three folders are, whatever its variables say")
    add("--overwrite", action="store_true", help="replace former predictions")
    add("-np", "--processes", type=count, metavar="N", help="processes (default: the cores that are really there)")


def run(args: argparse.Namespace) -> int:
    from nnunetv2_mscs.nnunet_files.environment import folders_of
    from nnunetv2_mscs.pipeline.best import predict_with_best, read_best
    from nnunetv2_mscs.workplace.devices import default_device
    from nnunetv2_mscs.workplace.resources import cores

    folders = folders_of(args.workspace)
    best = read_best(folders, args.dataset_id)
    chosen = " + ".join(f"{model.trainer} {model.configuration}" for model in best.models.models)
    print(f"{best.models.dataset}: {chosen}, mean Dice {best.dice:.2f} in cross-validation", flush=True)
    device, why = (args.device, "") if args.device else default_device()
    if why:
        print(why, flush=True)
    workers = args.processes or cores()
    predict_with_best(best, folders, args.images, args.out, device=device, workers=workers, overwrite=args.overwrite)
    print(f"written: {args.out}")
    return 0
