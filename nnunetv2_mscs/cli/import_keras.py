"""Turn weights of the original Keras program into a model folder that nnU-Net predicts with.

WEIGHTS is what Keras 2 or 3 wrote: .h5 (weights or whole model), .weights.h5 or .keras; TensorFlow is not needed. The
network's width, channels and classes are read off the weights. Scans are treated as the original does: each slice
scaled from its own minimum and maximum to [0, 1], voxels as they are, patches of 192 x 192 x 16 (larger scans are
tiled and smaller ones padded, where the original cuts out the centre). With --dataset the weights can be trained on.
"""

import argparse
import shlex
from pathlib import Path

from nnunetv2_mscs.nnunet_files.checkpoints import FINAL_CHECKPOINT
from nnunetv2_mscs.nnunet_files.model_folder import fold_folder
from nnunetv2_mscs.workplace.arguments import add_spacing, count, dataset_id

SUMMARY = "the authors' Keras weights -> a model folder that nnU-Net predicts with"
EXAMPLE = "mscs import-keras mscs_net.weights.h5 ./mscs_model --dataset 501"

DIVISOR = 16
SCALING, PATCH_SIZE = "slice-minmax", (192, 192, 16)


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("weights", metavar="WEIGHTS", type=Path, help="file that Keras wrote, or .npz of readable names")
    add("model_folder", metavar="MODEL_FOLDER", type=Path, help="new folder for the model")
    add(
        "--scaling",
        choices=["slice-minmax", "none"],
        default=SCALING,
        help="scaling of the intensities: the original's (default), or none for images that are scaled already",
    )
    add(
        "--patch-size",
        nargs=3,
        type=_patch_axis,
        default=PATCH_SIZE,
        metavar=("X", "Y", "Z"),
        help="voxels that the network sees at once, each divisible by 16 (default 192 192 16)",
    )
    add_spacing(parser, "resample scans to this voxel size in mm (default: voxels as they are)")
    add("--channels", nargs="+", default=[], metavar="C", help="names of the channels (default ADC DWI)")
    add(
        "--dataset",
        type=dataset_id,
        metavar="ID",
        help="also write KerasPlans for this data set in nnUNet_preprocessed, to train the weights further on it",
    )
    add("--batch-size", type=count, default=2, metavar="N", help="of KerasPlans (default 2; the paper trained with 8)")
    add("--overwrite", action="store_true", help="replace what a former import wrote, never a training")


def run(args: argparse.Namespace) -> int:
    from nnunetv2_mscs.keras_import.importing import ImportRequest, import_keras
    from nnunetv2_mscs.keras_import.plans import Preprocessing

    preprocessing = Preprocessing(
        scaling=args.scaling,
        patch_size=args.patch_size[::-1],
        spacing=args.spacing and args.spacing[::-1],
        batch_size=args.batch_size,
    )
    imported = import_keras(
        ImportRequest(
            weights=args.weights,
            model_folder=args.model_folder,
            preprocessing=preprocessing,
            channels=args.channels,
            dataset_id=args.dataset,
            overwrite=args.overwrite,
        )
    )
    size, version = imported.size, imported.file.keras_version
    print(f"{args.weights}: {imported.file.layout}{f', written by Keras {version}' if version else ''}")
    print(
        f"MSCS-Net of width {size.base_features}, {size.input_channels} channels ({', '.join(imported.channels)}), "
        f"{size.num_classes} classes, {imported.parameters:,} parameters as Keras counts them"
    )
    print(f"written: {args.model_folder}")
    if imported.plans_file:
        print(f"written: {imported.plans_file}")
    print(_next_steps(args))
    return 0


def _next_steps(args: argparse.Namespace) -> str:
    folder = shlex.quote(str(args.model_folder))
    lines = ["\nTo predict:", f"  nnUNetv2_predict_from_modelfolder -i SCANS -o MASKS -m {folder} -f 0"]
    if args.dataset is None:
        again = f"{_as_typed(args)} --overwrite --dataset ID"
        return "\n".join([*lines, "To train further on a data set of yours, first:", f"  {again}"])
    checkpoint = shlex.quote(str(fold_folder(args.model_folder, 0) / FINAL_CHECKPOINT))
    return "\n".join(
        [
            *lines,
            "To train on:",
            f"  nnUNetv2_preprocess -d {args.dataset} -plans_name KerasPlans -c 3d_fullres",
            f"  nnUNetv2_train {args.dataset} 3d_fullres 0 -tr MSCSTrainer -p KerasPlans "
            f"-pretrained_weights {checkpoint}",
        ]
    )


def _as_typed(args: argparse.Namespace) -> str:
    """The command with the options that decide on the model."""
    words = ["mscs", "import-keras", str(args.weights), str(args.model_folder)]
    if args.scaling != SCALING:
        words += ["--scaling", args.scaling]
    if tuple(args.patch_size) != PATCH_SIZE:
        words += ["--patch-size", *map(str, args.patch_size)]
    if args.spacing:
        words += ["--spacing", *(f"{size:g}" for size in args.spacing)]
    if args.channels:
        words += ["--channels", *args.channels]
    return shlex.join(words)


def _patch_axis(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < DIVISOR or int(text) % DIVISOR:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of voxels divisible by {DIVISOR}")
    return int(text)
