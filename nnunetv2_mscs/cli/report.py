"""Put an evaluation, or the cross-validation of a trained model, into one HTML page that needs nothing but a browser.

SOURCE is a model folder of nnU-Net's (its validation predictions are evaluated, its training is shown), a folder that
`mscs evaluate` wrote, of one model or of several, or a folder of predicted masks. The page holds warnings, data set and
plan in words, metrics with intervals, the comparison, plots, the training, and every case with its sheet: sortable,
searchable, to be opened larger. It works offline, can be mailed, and prints. The more cases, the smaller
their sheets; --case-pages writes a page with a large sheet for each of them. Masks without references, such as those of
`mscs predict`, make a page of volumes, warnings, slices and sheets.
"""

import argparse
import math
import shlex
import sys
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.workplace.arguments import add_processes, count

SUMMARY = "one HTML page of an evaluation or a trained model: numbers, plots, every case"
EXAMPLE = """mscs report $nnUNet_results/Dataset501_Stroke/MSCSTrainer__MSCSPlans__3d_fullres -o report.html
  mscs report ./evaluation -o report.html --title "Stroke, external test set"
  mscs report ./MODEL_FOLDER -o report.html --compare ./OTHER_MODEL_FOLDER --names ours theirs"""

ALL = "all"


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "source",
        metavar="SOURCE",
        type=Path,
        help="a model folder, an evaluation, a folder of predicted masks, or a data set by id or name",
    )
    add("-o", "--out", metavar="FILE.html", type=Path, required=True, help="page to write")
    add(
        "--compare",
        metavar="MODEL",
        nargs="+",
        type=Path,
        default=[],
        help="further models on the same cases: model folders, evaluations or predictions; SOURCE is the baseline",
    )
    add(
        "--names",
        metavar="NAME",
        nargs="+",
        help="names of the models, in their order (default: trainer, or folder name)",
    )
    add(
        "--references",
        metavar="DIR",
        type=Path,
        help="the truth, for what is not evaluated yet (default: that of nnU-Net's data set)",
    )
    add(
        "--images", metavar="DIR", type=Path, help="the scans, for the pictures (default: where they were found before)"
    )
    add("--title", metavar="TEXT", default="", help="title of the page")
    add(
        "--cases",
        metavar="N",
        type=_cases,
        help="pictures of the N worst cases only, or of `all`, however large the page becomes (default: all, or as "
        "many as make a page of less than 15 MB)",
    )
    add(
        "--case-pages",
        action="store_true",
        help="also write a page of each case with its full sheet, metrics and warnings, into FILE_files/",
    )
    add("--overwrite", action="store_true", help="replace a former report")
    add_processes(parser)
    parser.set_defaults(wrong_use=parser.error)


def run(args: argparse.Namespace) -> int:
    if args.names and len({name.lower() for name in args.names}) < len(args.names):
        args.wrong_use("--names gives one name twice")
    from nnunetv2_mscs.models.prediction_report import are_masks_alone
    from nnunetv2_mscs.reporting.report.assembling import ReportRequest
    from nnunetv2_mscs.reporting.report.case_pages import case_pages_beside
    from nnunetv2_mscs.reporting.report.case_pictures import PAGE_MB
    from nnunetv2_mscs.reporting.report.making import check_place, make_report
    from nnunetv2_mscs.workplace.resources import default_processes

    check_place(args.out, overwrite=args.overwrite)
    if args.references is None and not args.compare and not args.names and are_masks_alone(args.source):
        return _report_masks_alone(args)
    request = ReportRequest(
        models=(args.source, *args.compare),
        names=tuple(args.names or ()),
        references=args.references,
        images=args.images,
        title=args.title,
        cases=args.cases if isinstance(args.cases, int) else None,
        case_pages=args.case_pages,
        megabytes=math.inf if args.cases == ALL else PAGE_MB,
        processes=args.processes or default_processes(),
        command=shlex.join(["mscs", *sys.argv[1:]]),
    )
    written = make_report(args.out, request, overwrite=args.overwrite)
    for finding in written.warnings:
        print(f"warning: {finding}", file=sys.stderr)
    print(f"{written.cases} cases of {written.models}, {written.pictures} with a sheet; {written.megabytes:.1f} MB")
    if written.case_pages:
        pages = "1 page of a case" if written.case_pages == 1 else f"{written.case_pages} pages of cases"
        print(f"written: {case_pages_beside(args.out)}, {pages}")
    print(f"written: {args.out}")
    return 0


def _report_masks_alone(args: argparse.Namespace) -> int:
    from nnunetv2_mscs.models.prediction_report import MasksAlone, report_masks_alone
    from nnunetv2_mscs.reporting.report.case_pictures import PAGE_MB
    from nnunetv2_mscs.workplace.resources import default_processes

    if args.case_pages:
        raise MscsError(
            f"--case-pages shows metrics, and no references to {args.source} are known.",
            "Leave it out, or name the references with --references.",
        )
    masks = MasksAlone(
        args.source,
        images=args.images,
        title=args.title,
        cases=args.cases if isinstance(args.cases, int) else None,
        megabytes=math.inf if args.cases == ALL else PAGE_MB,
        processes=args.processes or default_processes(),
    )
    written = report_masks_alone(args.out, masks)
    print("no references are known (--references DIR names them): volumes, not metrics")
    cases = "1 case" if written.cases == 1 else f"{written.cases} cases"
    print(f"{cases}, {written.pictures} with a sheet; {written.megabytes:.1f} MB")
    print(f"written: {args.out}")
    return 0


def _cases(text: str) -> int | str:
    return text if text == ALL else count(text)
