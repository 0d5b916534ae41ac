"""Make synthetic scans of acute stroke: heads, infarcts and what resembles them, scanned by the laws of diffusion MRI.

Case i of a seed is always the same, however many are made. OUT appears as a whole, or not at all:
  images-masks    images/phantom_<i>_adc.nii.gz, images/phantom_<i>_dwi.nii.gz, masks/phantom_<i>.nii.gz
  sample-folders  one folder per case with ADC, DWI2, b0 and mask
  array-splits    train/, val/, test/ of .npy arrays, every slice scaled to [0, 1] (convert them with --spacing)
  unlabelled      scans/ to predict on, and references/ with the masks kept apart to score with
and phantoms.csv, the truth about every case. The ADC is in 10^-6 mm2/s, the DWI at b = 1000 s/mm2.
"""

import argparse
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.workplace.arguments import add_processes, add_spacing, number_from, whole

SUMMARY = "synthetic scans of acute stroke, for demonstrations and tests"
EXAMPLE = "mscs phantom ./phantoms --cases 20 --seed 1 --size 96 96 12 --picture phantoms.png"

LARGEST_SEED, MOST_CASES = 2**63 - 1, 100_000
CASES_IN_PICTURE = 6
LAYOUTS = ["images-masks", "sample-folders", "array-splits", "unlabelled"]


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("out", metavar="OUT", type=Path, help="folder to write; it must be new or empty")
    add("--cases", type=whole(1, MOST_CASES), required=True, metavar="N", help="how many scans")
    add(
        "--seed",
        type=whole(0, LARGEST_SEED),
        default=0,
        metavar="S",
        help="seed of the set: another seed gives other heads (default 0)",
    )
    add(
        "--first",
        type=whole(0, MOST_CASES),
        default=0,
        metavar="I",
        help="number of the first case (default 0); start where a training set ends for unseen cases of the same seed",
    )
    add("--layout", choices=LAYOUTS, default=LAYOUTS[0], help=f"layout of the folder (default {LAYOUTS[0]})")
    add(
        "--size",
        nargs=3,
        type=whole(1, 4096),
        default=(192, 192, 20),
        metavar=("X", "Y", "Z"),
        help="voxels (default 192 192 20)",
    )
    add_spacing(parser, "voxel size in mm (default: what makes the volume 230 x 230 x 130 mm)")
    add(
        "--noise",
        type=number_from(0, 1),
        default=0.03,
        metavar="F",
        help="standard deviation of the noise as a fraction of white matter's b0 signal, up to 0.15 (default 0.03)",
    )
    add(
        "--lesion-free",
        type=number_from(0, 1),
        default=0.1,
        metavar="F",
        help="probability of a case without an acute lesion (default 0.1)",
    )
    add(
        "--lesions",
        choices=["any", "scattered"],
        default="any",
        help="acute infarcts of any kind and size (default), or a shower of 10 to 25 mostly small ones in a case",
    )
    add(
        "--air",
        choices=["zero", "noise"],
        default="zero",
        help="the ADC where there is no signal: 0, as most scanners write (default), or what noise gives",
    )
    add("--picture", type=_picture, metavar="FILE.png", help="draw the first six cases into this file as well")
    add("--overwrite", action="store_true", help="replace a former set of phantoms, once the new one is complete")
    add_processes(parser)
    parser.set_defaults(wrong_use=parser.error)


def run(args: argparse.Namespace) -> int:
    from nnunetv2_mscs.phantom import PhantomSettings, write_phantoms
    from nnunetv2_mscs.workplace.resources import default_processes

    try:
        settings = PhantomSettings(
            size=tuple(args.size),
            spacing=tuple(args.spacing) if args.spacing else None,
            noise=args.noise,
            lesion_free=args.lesion_free,
            air=args.air,
            lesions=args.lesions,
        )
    except MscsError as error:
        args.wrong_use(str(error))
    processes = args.processes or default_processes()
    facts = write_phantoms(
        args.out,
        settings,
        cases=args.cases,
        seed=args.seed,
        first=args.first,
        layout=args.layout,
        overwrite=args.overwrite,
        processes=processes,
    )
    if args.picture:
        from nnunetv2_mscs.reporting.phantom_picture import draw_phantoms

        drawn = range(args.first, args.first + min(args.cases, CASES_IN_PICTURE))
        draw_phantoms(args.picture, settings, seed=args.seed, indices=drawn, processes=processes)
    struck = [case for case in facts if case.volume_mask_ml > 0]
    print(f"{len(facts)} cases, {len(struck)} with an acute lesion, in {args.out}")
    return 0


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".png" or not path.parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a .png file in a folder that is there")
    return path
