"""Convert a folder of stroke scans (ADC, DWI, lesion masks) into a dataset that nnU-Net takes.

SOURCE may have one of three layouts, detected by itself:
  images-masks    images/ and masks/ with the same case names in both: images/<case>_adc.nii.gz,
                  images/<case>_dwi.nii.gz (or <case>_0000, <case>_0001, or images/ADC/, images/DWI/, or one file
                  of all channels), masks/<case>.nii.gz; or nnU-Net's imagesTr/, labelsTr/
  sample-folders  one folder per case, with files named *adc*, *DWI2* (or *dwi*) and *mask*; or a BIDS tree
  array-splits    train/, val/, test/, each with images/ and masks/
Files: .nii, .nii.gz, .hdr/.img, .mgz, .mgh, .mha, .mhd, .nrrd, .nhdr, .npy, .npz. Everything is checked first; the
dataset then appears in $nnUNet_raw as a whole, or not at all: channel 0 = ADC (in 10^-6 mm2/s, whatever it was stored
in), 1 = DWI, then others by alphabet.
"""

import argparse
import re
import sys
from pathlib import Path

from nnunetv2_mscs.cli.arguments import count, dataset_id, number, voxel_size_mm

SUMMARY = "scans in any known folder layout -> a dataset in nnUNet_raw"
EXAMPLE = "mscs convert ./stroke 1 Stroke --patient-pattern '^sub-[0-9]+' --unlabelled ./new_scans"

LONGEST_NAME = 100


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="SOURCE", type=Path, help="folder of the scans")
    add("dataset_id", metavar="DATASET_ID", type=dataset_id, help="nnU-Net's dataset id, 1 to 999")
    add("name", metavar="NAME", type=dataset_name, help="the dataset's name: letters, digits, _ and -")
    conversion_options(parser)
    parser.set_defaults(seed=0)
    add("--overwrite", action="store_true", help="replace an existing dataset, once the new one is complete")
    add("-np", dest="processes", type=count, metavar="N", help="processes (default: the cores at hand, up to 8)")


def conversion_options(parser: argparse.ArgumentParser) -> None:
    """What decides on the data set that is made of a source; None, empty or False where nothing is given."""
    add = parser.add_argument
    add(
        "--layout",
        choices=["images-masks", "sample-folders", "array-splits"],
        help="take SOURCE as this layout instead of detecting it",
    )
    add(
        "--spacing",
        nargs=3,
        type=voxel_size_mm,
        metavar=("X", "Y", "Z"),
        help="voxel size in mm of .npy and .npz files, which carry none (required for them)",
    )
    add(
        "--channels",
        nargs="+",
        type=_canonical,
        action=_Distinct,
        metavar="C",
        default=[],
        help="the channels to use; the order of unnamed ones in one file (default ADC DWI; a single one is DWI)",
    )
    add(
        "--test-fraction",
        type=_fraction,
        metavar="F",
        help="share of the patients to set aside as imagesTs, labelsTs",
    )
    add(
        "--patient-pattern",
        type=_pattern,
        metavar="RE",
        help="regular expression whose first group (or whole match) in the case name is the patient; scans of one "
        "patient stay together (default: every case a patient)",
    )
    add("--unlabelled", type=Path, metavar="DIR", help="new scans without masks, for imagesTs")
    add(
        "--resample",
        action="store_true",
        help="bring ADC (linear) and mask (nearest) onto the DWI's grid",
    )
    add(
        "--allow-large-masks",
        action="store_true",
        help="take masks of more than 700 mL, or of more than 60 %% of the head's tissue; by default these are errors, "
        "as masks of the brain",
    )
    add("--seed", type=int, metavar="N", help="of the test set and the folds (default 0)")


def run(args: argparse.Namespace) -> int:
    from nnunetv2_mscs.dataset_conversion.convert import ConversionRequest, SourceRefused, convert
    from nnunetv2_mscs.dataset_conversion.summary import summarise
    from nnunetv2_mscs.scans.findings_table import findings_table
    from nnunetv2_mscs.workplace.parallel import default_processes

    request = ConversionRequest(
        source=args.source,
        dataset_id=args.dataset_id,
        name=args.name,
        layout=args.layout,
        spacing=tuple(args.spacing) if args.spacing else None,
        channels=tuple(args.channels),
        test_fraction=args.test_fraction,
        patient_pattern=args.patient_pattern,
        unlabelled=args.unlabelled,
        resample=args.resample,
        allow_large_masks=args.allow_large_masks,
        overwrite=args.overwrite,
        seed=args.seed,
        processes=args.processes or default_processes(),
    )
    try:
        conversion = convert(request)
    except SourceRefused as refusal:
        print(findings_table(refusal.findings, request.roots, wrap=sys.stderr.isatty()), file=sys.stderr)
        raise
    if conversion.findings:
        print(findings_table(conversion.findings, request.roots, wrap=sys.stdout.isatty()), end="\n\n")
    print(summarise(conversion, request.dataset_id))
    return 0


def _canonical(channel: str) -> str:
    return channel.upper() if channel.upper() in ("ADC", "DWI") else channel


class _Distinct(argparse.Action):
    """A list of names, none of them twice."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        names = list(values) if isinstance(values, list) else []
        for name in names:
            if sum(name.lower() == other.lower() for other in names) > 1:
                raise argparse.ArgumentError(self, f"{name} is named twice")
        setattr(namespace, self.dest, names)


def dataset_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not made of letters, digits, _ and - alone")
    if len(text) > LONGEST_NAME:
        raise argparse.ArgumentTypeError(
            f"has {len(text)} characters; at most {LONGEST_NAME} leave room for file names"
        )
    return text


def _fraction(text: str) -> float:
    value = number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return value


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from error
