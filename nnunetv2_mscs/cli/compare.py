"""Compare models on the same cases: metrics of each, and which differences are significant.

MODEL is a model folder, a folder of predicted masks, a former evaluation, or a data set whose model is meant; the first
is the baseline. One data set alone means all of its trained models. This is the comparison of
`mscs evaluate --compare`, which has more options (labels, tables, plots).
"""

import argparse
import sys
from pathlib import Path

from nnunetv2_mscs.workplace.arguments import add_processes

SUMMARY = "trained models, or folders of predictions, on the same cases, with paired tests"
EXAMPLE = """mscs compare 501
  mscs compare ./MODEL_FOLDER ./OTHER_MODEL_FOLDER --names ours theirs
  mscs compare ./predictions_a ./predictions_b --references ./references -o ./comparison"""


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("models", metavar="MODEL", nargs="+", type=Path, help="what to compare, the baseline first")
    add(
        "--references",
        metavar="DIR",
        type=Path,
        help="the truth, for folders of masks (default: those of nnU-Net's data set, for model folders)",
    )
    add("-o", "--out", metavar="OUT", type=Path, help="folder to write, as mscs evaluate does (default: only print)")
    add(
        "--names",
        metavar="NAME",
        nargs="+",
        help="names of the models, in their order (default: trainer, or folder name)",
    )
    add("--overwrite", action="store_true", help="replace a former comparison, once the new one is complete")
    add_processes(parser)
    parser.set_defaults(wrong_use=parser.error)


def run(args: argparse.Namespace) -> int:
    if args.overwrite and args.out is None:
        args.wrong_use("--overwrite replaces a folder: name it with -o")
    from nnunetv2_mscs.evaluation.command import EvaluationRequest, compare_models
    from nnunetv2_mscs.workplace.resources import default_processes

    request = EvaluationRequest(
        models=tuple(args.models),
        references=args.references,
        names=tuple(args.names or ()),
        processes=args.processes or default_processes(),
    )
    compared = compare_models(request, args.out, overwrite=args.overwrite)
    for warning in compared.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(compared.text)
    return 0
