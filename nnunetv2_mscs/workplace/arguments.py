"""Types of arguments, which say what is wrong with a text; and options that several commands have."""

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path

from nnunetv2_mscs.workplace.options import ParserOrGroup

LONGEST_WORD = 100


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Whole numbers from `least` to `most`, or without an upper end."""
    limits = f"from {least}" if most is None else f"from {least} to {most}"

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= (math.inf if most is None else most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {limits}")
        return int(text)

    return parse


def add_processes(parser: argparse.ArgumentParser) -> None:
    """Give a parser -np, whose value is None where it is not given."""
    parser.add_argument(
        "-np", dest="processes", type=whole(1, 1024), metavar="N", help="processes (default: the cores, up to 8)"
    )


def add_workspace(parser: ParserOrGroup) -> None:
    """Give a parser --workspace, whose value is None where it is not given."""
    parser.add_argument(
        "--workspace",
        type=Path,
        metavar="DIR",
        help="the folder that holds nnUNet_raw, nnUNet_preprocessed and nnUNet_results (default: nnU-Net's variables)",
    )


def number(text: str) -> float:
    """Any finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def number_from(least: float, most: float) -> Callable[[str], float]:
    """Numbers from `least` to `most`."""

    def parse(text: str) -> float:
        value = number(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least:g} to {most:g}")
        return value

    return parse


def voxel_size_mm(text: str) -> float:
    """The length of a voxel's edge in mm."""
    value = number(text)
    if not 0.01 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no voxel size in mm (0.01 to 100)")
    return value


def dataset_word(text: str) -> str:
    """What a new data set is called, without its number."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not made of letters, digits, _ and - alone")
    if len(text) > LONGEST_WORD:
        raise argparse.ArgumentTypeError(
            f"has {len(text)} characters; at most {LONGEST_WORD} leave room for file names"
        )
    return text


def add_spacing(parser: ParserOrGroup, description: str) -> None:
    """Give a parser --spacing X Y Z in mm, whose value is None where it is not given."""
    parser.add_argument("--spacing", nargs=3, type=voxel_size_mm, metavar=("X", "Y", "Z"), help=description)


dataset_id = whole(1, 999)
count = whole(1)
