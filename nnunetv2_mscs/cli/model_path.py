"""Print the folder of the weights that come with this package, a model folder as nnU-Net's commands take it.

nnUNetv2_predict_from_modelfolder -m "$(mscs model-path)" -f all predicts with it. mscs predict takes it where no model
is named, mscs adapt trains on from it. nnUNetv2_train -pretrained_weights takes its file fold_all/checkpoint_final.pth.
"""

import argparse

from nnunetv2_mscs.models.shipped import SHIPPED, shipped_folder

SUMMARY = "the folder of the weights that come with this package"
EXAMPLE = """mscs model-path
  nnUNetv2_predict_from_modelfolder -i SCANS -o MASKS -m "$(mscs model-path)" -f all"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", default=SHIPPED, help=f"default {SHIPPED}")


def run(args: argparse.Namespace) -> int:
    print(shipped_folder(args.name))
    return 0
