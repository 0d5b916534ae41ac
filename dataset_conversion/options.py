"""The options of the conversion, each described once: for `mscs convert`, `mscs run`, its YAML file and the code.

A new option is a new field here, and whatever acts on it.
"""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.workplace.arguments import number, voxel_size_mm
from nnunetv2_mscs.workplace.options import option

# Those of layouts.py, whose modules are too heavy to be imported for a help text.
LAYOUT_NAMES = ("images-masks", "sample-folders", "array-splits")


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


def _fraction(text: str) -> float:
    value = number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return value


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from error
    return text


@dataclass(frozen=True, kw_only=True)
class ConversionOptions:
    """What decides on the data set that is made of a folder of scans; see the help texts."""

    layout: str | None = option(None, "take SOURCE as this layout instead of detecting it", choices=LAYOUT_NAMES)
    spacing: tuple[float, ...] | None = option(
        None,
        "voxel size in mm of .npy and .npz files, which carry none (required for them)",
        nargs=3,
        type=voxel_size_mm,
        metavar=("X", "Y", "Z"),
    )
    channels: tuple[str, ...] = option(
        (),
        "the channels to use; the order of unnamed ones in one file (default ADC DWI; a single one is DWI)",
        nargs="+",
        type=_canonical,
        action=_Distinct,
        metavar="C",
    )
    test_fraction: float | None = option(
        None,
        "share of the patients to set aside as imagesTs, labelsTs",
        type=_fraction,
        metavar="F",
    )
    patient_pattern: str | None = option(
        None,
        "regular expression whose first group (or whole match) in the case name is the patient; scans of one "
        "patient stay together (default: every case a patient)",
        type=_pattern,
        metavar="RE",
    )
    unlabelled: Path | None = option(
        None,
        "new scans without masks, for imagesTs",
        also="--unlabeled",
        type=Path,
        metavar="DIR",
    )
    derivative: tuple[str, ...] = option(
        (),
        "masks of a BIDS tree to take: of a folder in derivatives/, of a description such as lesionChronic, or "
        "FOLDER/DESCRIPTION; several in the order of preference (default: the acute ones)",
        nargs="+",
        action=_Distinct,
        metavar="NAME",
        added_later=True,
    )
    resample: bool = option(False, "bring ADC (linear) and mask (nearest) onto the DWI's grid")
    allow_large_masks: bool = option(
        False,
        "take masks of more than 700 mL, or of more than 60 %% of the head's tissue; by default these are errors, "
        "as masks of the brain",
        added_later=True,
    )
    seed: int = option(0, "of the test set and the folds (default 0)", type=int, metavar="N")
