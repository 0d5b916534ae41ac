"""Put a trained model into one zip file that others install, with its postprocessing, metrics, card and checksums.

MODEL is a model folder of nnU-Net's (TRAINER__PLANS__CONFIGURATION), or a data set by id, name or folder of results:
then the best configuration or ensemble that nnUNetv2_find_best_configuration found. OUT.zip has the layout of nnU-Net's
own zip, so nnUNetv2_install_pretrained_model_from_zip installs it, too. It also holds a model card (model_card.md), an
evaluation if there is one, and a manifest with versions and the SHA-256 of every file. Like nnU-Net's own, it holds
names of training cases: see docs/sharing.md.

With --onnx the network is written for other runtimes: FILE.onnx, whose batch is of any size, and FILE.onnx.json with
channels, units, spacing, normalisation, sliding window, labels and threshold. Several folds become one network.
"""

import argparse
import re
import shlex
import sys
from pathlib import Path

SUMMARY = "a trained model as one zip file, with model card, metrics and checksums"
EXAMPLE = """mscs export 501 stroke.zip --author "A. Author, Hospital" --licence CC-BY-4.0
  mscs export ./Dataset501_Stroke/MSCSTrainer__MSCSPlans__3d_fullres stroke.zip --evaluation ./evaluation
  mscs export 501 --onnx stroke.onnx"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(refuse=parser.error)
    add = parser.add_argument
    add("model", metavar="MODEL", help="a model folder, or a data set by id, name or folder")
    add("out", metavar="OUT.zip", type=Path, nargs="?", help="file to write")
    add("--onnx", metavar="FILE.onnx", type=Path, help="write the network as ONNX, with a JSON beside it")
    add(
        "--folds",
        nargs="+",
        type=_fold,
        metavar="F",
        default=[],
        help="folds to export, numbers or all (default: those of the best configuration, or all that are trained)",
    )
    add(
        "--evaluation",
        metavar="DIR",
        type=Path,
        help="folder that mscs evaluate wrote for this model (default: that of mscs run, if there is one)",
    )
    add(
        "--small",
        action="store_true",
        help="leave out the optimiser's state: half the size, the same predictions, but a training cannot continue",
    )
    add("--title", metavar="TEXT", default="", help="title of the model card")
    add("--author", metavar="TEXT", default="", help="who made it, for the card")
    add("--licence", "--license", metavar="TEXT", default="", help="licence of the weights, for the card")
    add("--notes", metavar="FILE", type=Path, help="Markdown for the card: scanners, patients, limits, how to cite")
    add("--overwrite", action="store_true", help="replace a former zip file, once the new one is complete")


def run(args: argparse.Namespace) -> int:
    if bool(args.out) == bool(args.onnx):
        args.refuse("name either OUT.zip or --onnx FILE.onnx")
    if args.onnx:
        return _export_onnx(args)
    from nnunetv2_mscs.sharing.card import Words
    from nnunetv2_mscs.sharing.exporting import ExportRequest, export, read_notes

    notes = read_notes(args.notes) if args.notes else ""
    request = ExportRequest(
        model=args.model,
        folds=tuple(args.folds),
        evaluation=args.evaluation,
        small=args.small,
        words=Words(title=args.title, author=args.author, licence=args.licence, notes=notes),
    )
    exported = export(args.out, request, overwrite=args.overwrite)
    for notice in exported.notices:
        print(f"note: {notice}", file=sys.stderr)
    models = exported.models
    print(f"{models.dataset}: {', '.join(model.identifier for model in models.members)}")
    print(f"folds {' '.join(models.folds)}; {exported.files} files, {exported.bytes / 1e6:.1f} MB")
    print(f"sha256 {exported.sha256}")
    print(f"written: {args.out}")
    print(f"\nTo install it, anywhere with this package:\n  mscs install {shlex.quote(args.out.name)}")
    return 0


def _export_onnx(args: argparse.Namespace) -> int:
    of_zip = ("evaluation", "small", "title", "author", "licence", "notes")
    given = next((name for name in of_zip if getattr(args, name)), None)
    if given:
        args.refuse(f"--{given} belongs to OUT.zip, not to --onnx")
    from nnunetv2_mscs.models.onnx_file import export_onnx

    written = export_onnx(args.onnx, args.model, folds=args.folds, overwrite=args.overwrite)
    print(f"{written.model}\nwritten: {written.network} ({written.network.stat().st_size / 1e6:.1f} MB)")
    print(f"what happens before and after it: {written.description}")
    return 0


def _fold(text: str) -> str:
    if text != "all" and not re.fullmatch(r"0|[1-9]\d{0,2}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither the number of a fold nor all")
    return text
