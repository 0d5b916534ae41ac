"""Predict new scans: a mask, the lesion's volume and a picture of each scan, and one page of all.

INPUT is the folder of a study (NIfTI, other files, DICOM), a folder of studies (flat, nested or BIDS), files, or a
table with the columns case, adc, dwi, b0 and b_value. Or name the files of one study: --adc FILE --dwi FILE, or --dwi
FILE --b0 FILE, from which the ADC is computed. 4D files are split by the .bval file beside them. A model of other
channels takes files by their names (<case>_flair) or nnU-Net's numbers (<case>_0002). MODEL is a model folder, a zip of
mscs export, or a data set's id or name in nnUNet_results: then its best configuration or ensemble, with its
postprocessing. Without -m the weights of this package predict, which know synthetic scans alone.

OUT gets CASE.nii.gz on the grid of the DWI as stored, CASE.json, cases.csv, sheets and index.html. The same command
again continues where it was stopped. docs/predict.md says what each column means.
"""

import argparse
import os
import sys
from pathlib import Path

from nnunetv2_mscs.models.shipped import SHIPPED
from nnunetv2_mscs.workplace.arguments import number_from, voxel_size_mm

SUMMARY = "new scans in any form -> masks, lesion volumes, pictures, one page"
EXAMPLE = """mscs predict ./study -o ./predictions
  mscs predict ./new_scans -m Dataset501_Stroke -o ./predictions
  mscs predict --adc p1_adc.nii.gz --dwi p1_dwi.nii.gz -m model.zip -o ./predictions
  mscs predict --dwi p1_b1000.nii.gz --b0 p1_b0.nii.gz -m 501 -o ./predictions"""
# The same command continues after an interruption.
GOES_ON = True

INPUTS = "studies: folders, files, tables of paths"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(refuse=parser.error)
    add = parser.add_argument
    add("inputs", metavar="INPUT", nargs="*", type=Path, help=INPUTS)
    add(
        "-m",
        "--model",
        default=SHIPPED,
        help=f"model folder, zip of mscs export, data set id or name (default: {SHIPPED}, the weights of this package)",
    )
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Everything but the scans and the model."""
    add = parser.add_argument
    add("-o", "--out", type=Path, required=True, metavar="OUT", help="folder of the results")
    add("--adc", type=Path, metavar="FILE", help="the ADC map of one study")
    add("--dwi", type=Path, metavar="FILE", help="the DWI of one study, or its 4D series with a .bval file")
    add("--b0", type=Path, metavar="FILE", help="the b0 of one study, to compute the ADC if there is no map")
    add(
        "--image",
        action="append",
        type=_named_file,
        default=[],
        metavar="CHANNEL=FILE",
        help="another channel of one study, such as FLAIR=flair.nii.gz; may be repeated",
    )
    add(
        "--b-value",
        type=number_from(50.1, 10_000),
        metavar="B",
        help="b-value of the DWI in s/mm2, where no file records it",
    )
    add(
        "--spacing",
        nargs=3,
        type=voxel_size_mm,
        metavar=("X", "Y", "Z"),
        help="voxel size in mm of .npy and .npz files",
    )
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="default: cuda if there is a GPU")
    add(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="precision of the network on a CPU (default: bfloat16 on CPUs with AMX, else float32)",
    )
    add(
        "--engine",
        choices=("auto", "torch", "openvino"),
        default="auto",
        help="what computes the network (default: openvino on a CPU where it is installed, else torch)",
    )
    add("--fast", action="store_true", help="one fold of one model, without mirroring: quicker and less accurate")
    add(
        "--threshold",
        type=number_from(0.001, 0.999),
        metavar="P",
        help="lesion probability (default: the model's, 0.5)",
    )
    add(
        "--min-lesion",
        type=number_from(0, 1000),
        metavar="ML",
        help="leave out smaller lesions (default: the model's, 0)",
    )
    add("--probabilities", action="store_true", help="also write CASE_probability.nii.gz")
    add(
        "--keep-ids",
        action="store_true",
        help="also write patient ID, accession number, date and UIDs of DICOM studies",
    )
    add("--workspace", type=Path, metavar="DIR", help="where nnU-Net's three folders are, whatever its variables say")
    add("--overwrite", action="store_true", help="start over in a folder of predictions")


def _named_file(text: str) -> tuple[str, Path]:
    """CHANNEL=FILE in parts."""
    channel, equals, file = text.partition("=")
    if not (channel and equals and file):
        raise argparse.ArgumentTypeError(f"{text!r} is not CHANNEL=FILE, such as FLAIR=flair.nii.gz")
    return channel, Path(file)


def run(args: argparse.Namespace) -> int:
    # Before torch is loaded: its threads must not spin where other work waits for the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from nnunetv2_mscs.models.predicting import PredictRequest, predict

    files = [("ADC", args.adc), ("DWI", args.dwi), ("B0", args.b0), *args.image]
    given = {name: path for name, path in files if path}
    if bool(given) == bool(args.inputs):
        args.refuse("name either INPUT or the files of one study: --adc FILE --dwi FILE")
    done = predict(
        PredictRequest(
            places=tuple(map(Path, args.inputs)),
            given=given,
            model=args.model,
            out=args.out,
            device=args.device,
            precision=args.precision,
            engine=args.engine,
            fast=args.fast,
            threshold=args.threshold,
            min_lesion_ml=args.min_lesion,
            b_value=args.b_value,
            spacing=tuple(args.spacing) if args.spacing else None,
            probabilities=args.probabilities,
            overwrite=args.overwrite,
            keep_ids=args.keep_ids,
            workspace=args.workspace,
        )
    )
    for record in done.records:
        if record["status"] != "ok":
            continue
        lesions = f"{record['lesion_volume_ml']:.2f} mL in {record['lesion_count']}"
        empty = f"no lesion (largest probability {record['largest_probability']:.2f})"
        marks = f", {len(record['warnings'])} warning(s)" if record["warnings"] else ""
        print(f"{record['case']}: {lesions if record['lesion_count'] else empty}{marks}")
        for words in record["picked"]:
            print(f"  {words}")
    if done.continued:
        print(f"done before: {len(done.continued)} of {len(done.records)}")
    print(f"written: {args.out}")
    for record in done.failed:
        print(f"failed: {record['case']}: {record['reason']}", file=sys.stderr)
    if done.failed:
        print(f"mscs predict: {len(done.failed)} of {len(done.records)} studies failed", file=sys.stderr)
    return 1 if done.failed else 0
