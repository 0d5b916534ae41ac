"""Draw a sheet of each case: slices through the lesion, DWI and ADC, contours and errors of the masks.

CASE is a scan's file (or its files: ADC and DWI of one name are one scan), the folder of a scan or of many, a data set
of nnU-Net's, raw or preprocessed, an evaluation, or a model folder: then its validation predictions. With --in, CASE is
a case identifier of that data set or folder. A sheet is OUT/<case>.png; docs/pictures.md says how to read it.
"""

import argparse
import sys
from pathlib import Path

from nnunetv2_mscs.workplace.arguments import add_processes, add_spacing, whole

SUMMARY = "pictures of scans, with or without masks"
EXAMPLE = """mscs show patient_adc.nii.gz patient_dwi.nii.gz --prediction mask.nii.gz
  mscs show ./scans --random 5 --seed 1
  mscs show case_003 case_017 --in 501 --prediction ./predictions
  mscs show ./evaluation -o ./sheets
  mscs show $nnUNet_preprocessed/Dataset501_Stroke/nnUNetPlans_2d --random 3"""

PANEL_HEIGHT, SLICES = 250, 6


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("cases", metavar="CASE", nargs="*", help="what to show: files or folders; or case identifiers, with --in")
    add("--in", dest="source", metavar="DATA", help="number of a data set in nnUNet_raw, or a folder of any kind")
    add("-o", "--out", metavar="OUT", type=Path, default=Path("sheets"), help="folder to write to (default ./sheets)")
    add("--reference", metavar="MASKS", type=Path, help="the truth: a mask, or a folder of masks named <case>")
    add("--prediction", metavar="MASKS", type=Path, help="the prediction: a mask, or a folder of masks named <case>")
    add("--labels", metavar="L", nargs="+", type=whole(1, 255), default=[], help="values to show (default: all)")
    add("--random", metavar="N", type=whole(1), help="choose N of the cases")
    add("--seed", metavar="S", type=whole(0), default=0, help="seed of the choice (default 0)")
    add(
        "--slices",
        metavar="N",
        type=whole(1, 40),
        default=SLICES,
        help=f"most slices on a sheet (default {SLICES})",
    )
    add(
        "--height",
        metavar="PIXELS",
        type=whole(50, 2000),
        default=PANEL_HEIGHT,
        help=f"height of a slice in pixels (default {PANEL_HEIGHT})",
    )
    add("--voxels", action="store_true", help="show every voxel as it is, instead of interpolated images")
    add_spacing(parser, "voxel size in mm of .npy and .npz files, which carry none")
    add("--overwrite", action="store_true", help="replace sheets that are there")
    add_processes(parser)
    parser.set_defaults(wrong_use=parser.error)


def run(args: argparse.Namespace) -> int:
    if not args.cases and args.source is None:
        args.wrong_use("name a CASE, or data with --in")
    from nnunetv2_mscs.reporting.show import ShowRequest, show
    from nnunetv2_mscs.scans.findings_table import findings_table
    from nnunetv2_mscs.workplace.resources import default_processes

    request = ShowRequest(
        words=tuple(args.cases),
        source=args.source,
        truth=args.reference,
        prediction=args.prediction,
        labels=tuple(args.labels),
        random=args.random,
        seed=args.seed,
        slices=args.slices,
        panel_height=args.height,
        smooth=not args.voxels,
        spacing=tuple(args.spacing) if args.spacing else None,
        processes=args.processes or default_processes(),
    )
    shown = show(request, args.out, overwrite=args.overwrite)
    for file in shown.files:
        print(file)
    if shown.left_out:
        print(f"{len(shown.left_out)} cases without a mask were left out.", file=sys.stderr)
    if not shown.findings:
        return 0
    print(findings_table(shown.findings, [], wrap=sys.stderr.isatty()), file=sys.stderr)
    print(f"mscs show: {len(shown.findings)} of the cases could not be drawn.", file=sys.stderr)
    return 1
