"""mscs predict by the configuration or ensemble that nnUNetv2_find_best_configuration chose for a data set.

The same as mscs predict IMAGES -m DATASET_ID -o OUT.
"""

import argparse

from nnunetv2_mscs.cli import predict
from nnunetv2_mscs.workplace.arguments import dataset_id

GOES_ON = predict.GOES_ON
SUMMARY = "the same as mscs predict IMAGES -m DATASET_ID"
EXAMPLE = "mscs predict-best 1 -i $nnUNet_raw/Dataset001_Stroke/imagesTs -o ./predictions"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(refuse=parser.error)
    parser.add_argument("dataset_id", metavar="DATASET_ID", type=dataset_id, help="nnU-Net's dataset id, 1 to 999")
    parser.add_argument("-i", "--images", required=True, nargs="+", dest="inputs", metavar="INPUT", help=predict.INPUTS)
    predict.add_options(parser)


def run(args: argparse.Namespace) -> int:
    return predict.run(argparse.Namespace(**vars(args), model=str(args.dataset_id)))
