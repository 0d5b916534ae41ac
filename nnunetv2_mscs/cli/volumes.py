"""Measure masks without references: the volume, the number and the sizes of lesions in each.

MASKS is a mask, a folder of masks, a model folder (its validation predictions), or a data set whose model is meant. A
lesion is a piece of the mask whose voxels touch by faces, edges or corners.
"""

import argparse
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.workplace.arguments import add_processes

SUMMARY = "volumes, numbers and sizes of lesions in masks, without references"
EXAMPLE = """mscs volumes ./masks
  mscs volumes ./masks -o volumes.csv"""


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("masks", metavar="MASKS", type=Path, help="a mask, a folder of masks, a model folder, or a data set")
    add("-o", "--out", metavar="FILE.csv", type=Path, help="table to write, one row per mask and label")
    add("--overwrite", action="store_true", help="replace a former table")
    add_processes(parser)
    parser.set_defaults(wrong_use=parser.error)


def run(args: argparse.Namespace) -> int:
    if args.overwrite and args.out is None:
        args.wrong_use("--overwrite replaces a table: name it with -o")
    if args.out is not None and args.out.suffix.lower() != ".csv":
        raise MscsError(f"{args.out} does not end in .csv.", "Name a file such as volumes.csv.")
    from nnunetv2_mscs.evaluation.volumes import measure_volumes, volumes_text
    from nnunetv2_mscs.workplace.resources import default_processes
    from nnunetv2_mscs.workplace.whole_files import write_whole

    if args.out is not None and args.out.exists() and not args.overwrite:
        raise MscsError(f"{args.out} is there already.", "Choose another name, or replace it with --overwrite.")
    table = measure_volumes(args.masks, processes=args.processes or default_processes())
    print(volumes_text(table))
    if args.out is not None:
        write_whole(args.out, str(table.to_csv(index=False, lineterminator="\n")))
        print(f"written: {args.out}")
    return 0
