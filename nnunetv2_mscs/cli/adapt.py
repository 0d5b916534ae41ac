"""Adapt a trained model to your own labelled scans, and show by cross-validation whether that helps.

Converts the scans, takes over the model's plans, and trains a copy of its weights in every fold, gently and with early
stopping. The report compares the adapted model with the model as it was, on the same held-out cases. It is mscs run
with --adapt MODEL: it may be interrupted, and has the same options, status and Slurm.

20 to 50 labelled cases are a good number. With fewer than five patients choose --folds 0 1 2.
"""

import argparse

from nnunetv2_mscs.cli import run as mscs_run
from nnunetv2_mscs.models.shipped import SHIPPED

SUMMARY = "a model trained further on your own labelled scans, compared with what it was"
GOES_ON = mscs_run.GOES_ON
EXAMPLE = """mscs adapt ./our_scans 601 OurHospital
  mscs adapt ./our_scans 601 OurHospital -m stroke_model.zip --epochs 30"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-m",
        "--model",
        dest="adapt",
        default=argparse.SUPPRESS,
        metavar="MODEL",
        help=f"model folder, zip of mscs export, data set id or name (default: {SHIPPED}, the weights of this package)",
    )
    parser.set_defaults(default_model=SHIPPED)
    mscs_run.configure(parser)


run = mscs_run.run
