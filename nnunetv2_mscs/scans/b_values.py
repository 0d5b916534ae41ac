"""b-values of diffusion volumes, by value and never by position; and the ADC that they give."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnunetv2_mscs.scans.findings import Findings, ScanError
from nnunetv2_mscs.scans.formats import without_ending
from nnunetv2_mscs.scans.units import PLAUSIBLE_MEDIAN_MM2_PER_S, TO_MICRO, head_mask
from nnunetv2_mscs.scans.words import words_of

# Scanners record small values for images without diffusion weighting, in s/mm2.
HIGHEST_OF_B0 = 50.0
USUAL_B_VALUE = 1000.0
# Values of one shell differ by a few s/mm2 between directions.
SAME_SHELL = 25.0
LARGEST_B_VALUE = 10_000.0
B_VALUE_ENDINGS, VECTOR_ENDINGS = (".bval", ".bvals"), (".bvec", ".bvecs")
B_VALUE = re.compile(r"(?:dwi)?b0*(\d{3,4})", re.IGNORECASE)


@dataclass(frozen=True)
class Shells:
    """What a series of several b-values gives.

    Args:
        dwi: (1, Z, Y, X), the trace image.
        b_value: of the DWI, in s/mm2.
        b0: (1, Z, Y, X), the mean of all images without diffusion weighting; None if there is none.
        b_value_of_b0: their mean b-value.
    """

    dwi: np.ndarray
    b_value: float
    b0: np.ndarray | None
    b_value_of_b0: float = 0.0


def b_values_beside(path: Path) -> tuple[float, ...]:
    """The b-values in s/mm2 of the volumes of a file, from the .bval file of the same name; empty without one.

    Raises:
        ScanError: the .bval file holds something else than b-values.
    """
    file = _beside(path, B_VALUE_ENDINGS)
    if file is None:
        return ()
    values = _numbers(file)
    if values.size == 0 or not ((values >= 0) & (values <= LARGEST_B_VALUE)).all():
        raise ScanError(f"{file.name} holds values that are no b-values in s/mm2", "Export the series again.", path)
    return tuple(float(value) for value in values.ravel())


def b_value_in_name(stem: str) -> float | None:
    """The b-value that a file's name says, such as b1000; None if it says none, or several."""
    texts = [text for word in words_of(stem) for text in (word.channel, word.text)]
    found = {float(match[1]) for text in texts if (match := B_VALUE.fullmatch(text))}
    value = found.pop() if len(found) == 1 else 0.0
    return value if value > HIGHEST_OF_B0 else None


def split_by_b_value(array: np.ndarray, b_values: tuple[float, ...], path: Path, findings: Findings) -> Shells:
    """The trace image and the b0 of a series.

    The DWI is the shell whose b-value is nearest to 1000 s/mm2. Where the .bvec file marks images as the trace, by a
    vector of zeros, these are taken; other images of a shell are joined by their geometric mean, which is the trace
    image of three or more evenly spread directions.

    Args:
        array: (C, Z, Y, X).
        b_values: one for each of the C volumes.
        path: the file, for messages and for the .bvec file beside it.
        findings: notes what was taken and what was passed over.

    Raises:
        ScanError: numbers of volumes and b-values differ, or no volume is diffusion-weighted.
    """
    if len(array) != len(b_values):
        finding = f"holds {len(array)} volumes, and its .bval file {len(b_values)} b-values"
        raise ScanError(finding, "Export the series again, both files together.", path)
    values = np.array(b_values)
    low, weighted = values <= HIGHEST_OF_B0, values[values > HIGHEST_OF_B0]
    if not weighted.size:
        shown = ", ".join(f"{value:g}" for value in sorted(set(b_values)))
        raise ScanError(f"holds no diffusion-weighted volume (b = {shown})", "Name the DWI itself.", path)
    shell = float(weighted[np.abs(weighted - USUAL_B_VALUE).argmin()])
    chosen = np.abs(values - shell) <= SAME_SHELL
    b_value = float(values[chosen].mean())
    others = sorted({round(float(value)) for value in values[~low & ~chosen]})
    if others:
        shown = ", ".join(map(str, others))
        findings.warning(f"b = {b_value:g} s/mm2 was taken as the DWI; passed over: b = {shown}", file=path)
    trace = chosen & _is_trace(path, len(values))
    if trace.any() and not trace[chosen].all():
        passed_over = int((chosen & ~trace).sum())
        findings.note(f"the trace image of b = {b_value:g} was taken, not its {passed_over} directions", file=path)
        chosen = trace
    count = int(chosen.sum())
    if count > 1:
        findings.note(f"DWI: geometric mean of {count} volumes of b = {b_value:g} s/mm2", file=path)
    if low.sum() > 1:
        findings.note(f"b0: mean of {int(low.sum())} volumes", file=path)
    b0 = array[low].mean(axis=0, dtype=np.float64)[None] if low.any() else None
    return Shells(geometric_mean(array[chosen]), b_value, b0, float(values[low].mean()) if low.any() else 0.0)


def geometric_mean(array: np.ndarray) -> np.ndarray:
    """(C, Z, Y, X) -> (1, Z, Y, X); 0 where any value is 0 or below. A single volume stays as it is."""
    if len(array) == 1:
        return array
    positive = (array > 0).all(axis=0)
    logarithms = np.log(np.where(positive, array, 1.0).astype(np.float64)).mean(axis=0)
    return np.where(positive, np.exp(logarithms), 0.0)[None]


def compute_adc(dwi: np.ndarray, b0: np.ndarray, b_difference: float) -> np.ndarray:
    """The ADC of two images by the mono-exponential model, -ln(S_b / S_0) / b.

    Args:
        dwi: (Z, Y, X), of the higher b-value.
        b0: (Z, Y, X), of the lower one.
        b_difference: of the b-values, in s/mm2.

    Returns:
        (Z, Y, X) float32 in 10^-6 mm2/s; 0 where a signal is 0 or below; negative where the DWI is the brighter one.
    """
    measured = (dwi > 0) & (b0 > 0)
    ratio = np.divide(dwi, b0, out=np.ones(dwi.shape), where=measured, dtype=np.float64)
    return (-np.log(ratio) / b_difference * TO_MICRO["mm2/s"]).astype(np.float32)


def check_computed(adc: np.ndarray, b0: np.ndarray, b_value: float, path: Path) -> None:
    """Refuse a computed ADC that no brain has.

    Raises:
        ScanError: the median over the head is implausible: a wrong b-value, or b0 and DWI exchanged.
    """
    head = adc[head_mask(b0)]
    median = float(np.median(head)) if head.size else 0.0
    low, high = (limit * TO_MICRO["mm2/s"] for limit in PLAUSIBLE_MEDIAN_MM2_PER_S)
    if not low <= median <= high:
        raise ScanError(
            f"the ADC computed with b = {b_value:g} s/mm2 has a median of {median:.4g} x 10^-6 mm2/s in the head, "
            f"where {low:g} to {high:g} are possible",
            "Check the b-value (--b-value), and that --dwi and --b0 are not exchanged.",
            path,
        )


def _is_trace(path: Path, count: int) -> np.ndarray:
    """Which volumes have a gradient direction of zeros; none if the directions are not recorded."""
    file = _beside(path, VECTOR_ENDINGS)
    vectors = _numbers(file) if file else np.ones((3, count))
    if vectors.ndim == 2 and vectors.shape == (count, 3):
        vectors = vectors.T
    if vectors.shape != (3, count) or not vectors.any():
        return np.zeros(count, dtype=bool)
    return (vectors == 0).all(axis=0)


def _beside(path: Path, endings: tuple[str, ...]) -> Path | None:
    return next((file for ending in endings if (file := path.with_name(without_ending(path) + ending)).is_file()), None)


def _numbers(file: Path) -> np.ndarray:
    try:
        return np.loadtxt(file, ndmin=2)
    except (ValueError, OSError) as error:
        raise ScanError(f"{file.name} cannot be read as numbers", "Export the series again.", file) from error
