"""Check the zip file of a trained model and put it into nnU-Net's folder of results, whole or not at all.

MODEL.zip is a file that mscs export, or nnU-Net's own nnUNetv2_export_model_to_zip, wrote. It is refused if it is
damaged or incomplete, holds links or paths out of the data set's folder, weights or postprocessing that could run code,
or plans with classes of unknown packages, or if the nnU-Net here cannot build the model. docs/sharing.md says what is
trusted all the same. The command prints the commands that predict with the model.
"""

import argparse
import re
import sys
from pathlib import Path

SUMMARY = "a model that others trained: checked, then placed in nnU-Net's folder of results"
EXAMPLE = """mscs install stroke.zip
  mscs install foreign.zip --trust monai"""
PACKAGE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", metavar="MODEL.zip", type=Path, help="file to install")
    add("--results", metavar="DIR", type=Path, help="folder of results (default: that of $nnUNet_results)")
    add("--overwrite", action="store_true", help="replace a model of the same name, and nothing else")
    add(
        "--trust",
        nargs="+",
        type=_package,
        default=[],
        metavar="PACKAGE",
        help="also accept network classes of these installed packages: prediction runs their code",
    )


def run(args: argparse.Namespace) -> int:
    from nnunetv2_mscs.sharing.installing import install

    installed = install(args.file, results=args.results, overwrite=args.overwrite, trust=args.trust)
    for notice in installed.notices:
        print(f"note: {notice}", file=sys.stderr)
    for folder in installed.folders:
        print(f"placed: {folder}")
    if installed.card:
        print(f"model card: {installed.card}")
    print(f"sha256 of the file: {installed.sha256} (compare it with the sender's)")
    print("\nTo predict:")
    for command in installed.commands:
        print(f"  {command}")
    return 0


def _package(text: str) -> str:
    if not PACKAGE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a package")
    return text
