"""Measure how well masks agree with the truth: overlap, surfaces, lesions and volumes, with intervals; compare models.

PREDICTIONS and REFERENCES are two mask files, or two folders of them with equal names. PREDICTIONS may also be a model
folder of nnU-Net's: then the validation predictions of all its folds are taken, against the data set's own references.
OUT appears as a whole, or not at all:
  cases.csv       one row per case and label, every metric; docs/metrics.md defines them
  summary.json    mean, sd, median, quartiles and 95 % bootstrap interval of each, agreement of volumes, empty masks
  tables/         with --table: Markdown, LaTeX and CSV
  plots/          with --plots: Dice over volume, Bland-Altman, recall by size, distributions
With --compare a folder like this for each model, and the paired comparison of all of them:
  comparison.json, comparison.csv, comparison.md
"""

import argparse
import re
import sys
from pathlib import Path

from nnunetv2_mscs.workplace.arguments import add_processes, number_from, whole

SUMMARY = "metrics with intervals of predicted masks, and comparison of models"
EXAMPLE = """mscs evaluate ./predictions ./references -o ./evaluation
  mscs evaluate $nnUNet_results/Dataset001_Stroke/MSCSTrainer__MSCSPlans__3d_fullres -o ./evaluation --table original
  mscs evaluate ./predictions_a ./references --compare ./predictions_b --names ours theirs -o ./comparison
  mscs evaluate --compare ./evaluation_a ./evaluation_b -o ./comparison"""

FOLDER_NAME = re.compile(r"[\w+-][\w .+-]*")
HIGHEST_LABEL = 254
FEWEST_SAMPLES, MOST_SAMPLES = 100, 100_000


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "predictions",
        metavar="PREDICTIONS",
        nargs="?",
        type=Path,
        help="a mask, a folder of masks, a model folder, or a data set (id or name) with one trained model",
    )
    add(
        "references",
        metavar="REFERENCES",
        nargs="?",
        type=Path,
        help="the truth: a mask or a folder (default: those of nnU-Net's data set, for a model folder)",
    )
    add("-o", "--out", metavar="OUT", type=Path, required=True, help="folder to write")
    add(
        "--compare",
        metavar="MODEL",
        nargs="+",
        type=Path,
        default=[],
        help="further models on the same cases: predictions, model folders or former evaluations; the first of all "
        "is the baseline",
    )
    add("--references", dest="truth", metavar="REFERENCES", type=Path, help="the same, if --compare names all models")
    add(
        "--names",
        metavar="NAME",
        nargs="+",
        help="names of the models, in their order (default: trainer, or folder name)",
    )
    add(
        "--labels",
        metavar="L",
        nargs="+",
        type=whole(1, HIGHEST_LABEL),
        default=[],
        help="values to evaluate, 1 to 254; masks of 0 and 255 count as 0 and 1 (default: those of dataset.json beside "
        "the masks, else all in the references)",
    )
    add("--images", metavar="DIR", type=Path, help="the scans, for pictures (default: beside the references)")
    add("--partial", action="store_true", help="leave out masks without a partner and warn, instead of refusing")
    add(
        "--folds",
        metavar="F",
        nargs="+",
        type=whole(0),
        default=[],
        help="folds of model folders (default: all validated)",
    )
    add(
        "--table",
        metavar="NAME",
        nargs="+",
        dest="tables",
        default=[],
        help="tables to write: models, lesion_sizes, ablation, original, agreement, or a template of your own",
    )
    add("--plots", action="store_true", help="also write the plots as SVG, PDF and PNG")
    add("--templates", metavar="DIR", type=Path, help="a folder with table templates of your own")
    add(
        "--threshold-ml",
        metavar="ML",
        type=number_from(0, 10_000),
        default=70.0,
        help="volume at which cases are classified (default 70 mL, the core volume of late-window trials)",
    )
    add(
        "--samples",
        metavar="N",
        type=whole(FEWEST_SAMPLES, MOST_SAMPLES),
        default=5000,
        help="number of bootstrap samples (default 5000)",
    )
    add("--seed", metavar="S", type=whole(0), default=0, help="seed of the bootstrap (default 0)")
    add("--overwrite", action="store_true", help="replace a former evaluation, once the new one is complete")
    add_processes(parser)
    parser.set_defaults(wrong_use=parser.error)


def run(args: argparse.Namespace) -> int:
    _check_use(args)
    from nnunetv2_mscs.evaluation.command import EvaluationRequest, Extra, write_evaluation_folder
    from nnunetv2_mscs.evaluation.results import PLOTS, TABLES
    from nnunetv2_mscs.evaluation.statistics import StatisticsSettings
    from nnunetv2_mscs.workplace.resources import default_processes

    request = EvaluationRequest(
        models=(*([args.predictions] if args.predictions else []), *args.compare),
        references=args.references or args.truth,
        names=tuple(args.names or ()),
        labels=tuple(args.labels),
        images=args.images,
        partial=args.partial,
        folds=tuple(args.folds),
        processes=args.processes or default_processes(),
    )
    settings = StatisticsSettings(seed=args.seed, samples=args.samples, threshold_ml=args.threshold_ml)
    extras = []
    if args.tables:
        from nnunetv2_mscs.reporting.tables import table_writer

        write_tables = table_writer(args.tables, args.templates)
        extras.append(Extra(TABLES, write_tables, reads=(args.templates,) if args.templates else ()))
    if args.plots:
        from nnunetv2_mscs.reporting.plot_files import write_plots

        extras.append(Extra(PLOTS, write_plots))
    written = write_evaluation_folder(args.out, request, settings, extras, overwrite=args.overwrite)
    for warning in written.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(written.text)
    return 0


def _check_use(args: argparse.Namespace) -> None:
    models = [*([args.predictions] if args.predictions else []), *args.compare]
    if not args.predictions and len(args.compare) < 2:
        args.wrong_use("name PREDICTIONS, or at least two models with --compare")
    if args.references and args.truth:
        args.wrong_use("REFERENCES are given twice")
    counted = not any((place / "comparison.json").is_file() for place in models)  # which is several models
    if args.names and counted and len(args.names) != len(models):
        args.wrong_use(f"--names gives {len(args.names)} names to {len(models)} models")
    if args.names and len({name.lower() for name in args.names}) < len(args.names):
        args.wrong_use("--names gives one name twice")
    if args.names and any(not FOLDER_NAME.fullmatch(name) for name in args.names):
        args.wrong_use("--names become folders: use letters, digits, spaces and . _ + - only, and begin with no dot")
