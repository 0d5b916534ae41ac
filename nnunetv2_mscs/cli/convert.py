"""Convert a folder of stroke scans (ADC, DWI, lesion masks) into a dataset that nnU-Net takes.

SOURCE may have one of three layouts, detected by itself:
  images-masks    images/ and masks/ with the same case names in both: images/<case>_adc.nii.gz,
                  images/<case>_dwi.nii.gz (or <case>_0000, <case>_0001, or images/ADC/, images/DWI/, or one file
                  of all channels), masks/<case>.nii.gz; or nnU-Net's imagesTr/, labelsTr/
  sample-folders  one folder per case, with files named *adc*, *DWI2* (or *dwi*) and *mask*; or a BIDS tree, such as
                  ISLES'22 or SOOP, with masks in derivatives/
  array-splits    train/, val/, test/, each with images/ and masks/
Files: .nii, .nii.gz, .hdr/.img, .mgz, .mgh, .mha, .mhd, .nrrd, .nhdr, .npy, .npz;
or a folder with the DICOM study of each case (extra dicom). Everything is checked first; the dataset then appears in
$nnUNet_raw as a whole, or not at all: channel 0 = ADC (in 10^-6 mm2/s, whatever it was stored in), 1 = DWI, then others
by alphabet.
"""

import argparse
import sys
from pathlib import Path

from nnunetv2_mscs.dataset_conversion.options import ConversionOptions
from nnunetv2_mscs.workplace.arguments import add_processes, dataset_id, dataset_word
from nnunetv2_mscs.workplace.options import add_options, from_arguments

SUMMARY = "scans in any known folder layout -> a dataset in nnUNet_raw"
EXAMPLE = "mscs convert ./stroke 1 Stroke --patient-pattern '^sub-[0-9]+' --unlabelled ./new_scans"


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="SOURCE", type=Path, help="folder of the scans")
    add("dataset_id", metavar="DATASET_ID", type=dataset_id, help="nnU-Net's dataset id, 1 to 999")
    add("name", metavar="NAME", type=dataset_word, help="the dataset's name: letters, digits, _ and -")
    add_options(parser, ConversionOptions)
    add("--overwrite", action="store_true", help="replace an existing dataset, once the new one is complete")
    add_processes(parser)


def run(args: argparse.Namespace) -> int:
    from nnunetv2_mscs.dataset_conversion.convert import ConversionRequest, SourceRefused, convert
    from nnunetv2_mscs.dataset_conversion.summary import summarise
    from nnunetv2_mscs.scans.findings_table import findings_table
    from nnunetv2_mscs.workplace.resources import default_processes

    request = from_arguments(ConversionRequest, args, processes=args.processes or default_processes())
    try:
        conversion = convert(request)
    except SourceRefused as refusal:
        print(findings_table(refusal.findings, request.roots, wrap=sys.stderr.isatty()), file=sys.stderr)
        raise
    if conversion.findings:
        print(findings_table(conversion.findings, request.roots, wrap=sys.stdout.isatty()), end="\n\n")
    print(summarise(conversion, request.dataset_id))
    return 0
