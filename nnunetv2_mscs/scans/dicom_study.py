"""A DICOM study as a new scan: the trace DWI, the ADC and the b0 chosen by tags and b-values, never by position."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from nnunetv2_mscs.scans.b_values import HIGHEST_OF_B0, SAME_SHELL, USUAL_B_VALUE, geometric_mean
from nnunetv2_mscs.scans.channels import ADC, DWI, Channel
from nnunetv2_mscs.scans.dicom_headers import DicomImage, identity_of, read_headers
from nnunetv2_mscs.scans.dicom_mosaic import unpack_mosaics
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.grid import Grid
from nnunetv2_mscs.scans.new_scan import B0, NewChannels
from nnunetv2_mscs.scans.reading import Volume

OPTION_OF = {ADC: "--adc", DWI: "--dwi", B0: "--b0"}
# Slices this far from an even distance, as a share of it, mean that some are missing.
UNEVEN = 0.02
SERIES = "SeriesInstanceUID"
SCALING = "PixelValueTransformationSequence"
UNREADABLE = "its pixels cannot be read: damaged, or compressed in a way that is not known here"


@dataclass(frozen=True)
class Stack:
    """Images of one series that make one volume, or several of one b-value.

    Args:
        images: of one or more at each position.
        b_value: of all of them; None for an ADC.
        is_trace: they are trace images.
    """

    images: tuple[DicomImage, ...]
    b_value: float | None
    is_trace: bool

    @property
    def words(self) -> str:
        """What it is, without any text of its headers."""
        kind = "ADC" if self.b_value is None else f"b = {self.b_value:g} s/mm2{', trace' if self.is_trace else ''}"
        count, noun = len(self.images), "mosaic" if self.images[0].is_mosaic else "image"
        return f"series {self.images[0].number} ({count} {noun}{'s' * (count != 1)}, {kind})"


@dataclass
class DicomScan:
    """The chosen images as channels.

    Args:
        new: the channels.
        dwi_images: one for each slice of the DWI's volume, in its order, or one mosaic of all of them; a segmentation
            refers to them.
        picked: sentences on what was picked and what was passed over.
        files: one of each channel's series.
    """

    new: NewChannels
    dwi_images: tuple[DicomImage, ...] = ()
    picked: list[str] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def identity(self) -> dict[str, Any]:
        """What identifies patient, study and series; the last by channel. Only for results that are to keep it."""
        found = {name: identity_of(file) for name, file in self.files.items()}
        study = {key: value for key, value in found[DWI].items() if key != SERIES}
        return {**study, f"{SERIES}s": {name: one[SERIES] for name, one in found.items()}}


def read_dicom_study(
    files: Iterable[Path], *, chosen: Mapping[str, Path] | None = None, b_value: float | None = None
) -> DicomScan:
    """Choose and read DWI, ADC and b0 of a study.

    Args:
        files: all DICOM files of the study.
        chosen: for a channel one file of the series that it is to be taken from.
        b_value: of the DWI in s/mm2 where no tag says it.

    Raises:
        MscsError: pydicom is missing, or a file is damaged.
        ScanError: there is no DWI, there are several that could be it, or slices are missing.
    """
    # Copies of a file count once.
    images = list({one.uid: one for one in reversed(read_headers(files))}.values())
    if len({one.study for one in images}) > 1:
        raise ScanError("holds images of several studies", "Put each study into a folder of its own.")
    stacks, passed_over = _stacks(images)
    series = {name: read_headers([file])[0].series for name, file in (chosen or {}).items()}
    picked = {name: _pick(name, stacks, series.get(name)) for name in (DWI, ADC, B0)}
    dwi = picked[DWI]
    if dwi is None:
        raise ScanError("holds DICOM, but no diffusion-weighted series", _list(stacks, passed_over))
    scan = DicomScan(NewChannels({}, dwi.b_value if b_value is None else b_value))
    if picked[ADC] is not None:
        picked[B0] = None
    for name, stack in picked.items():
        if stack is not None:
            volume, used = _volume(stack)
            scan.new.channels[name] = Channel(Path(f"series {stack.images[0].number}"), volume, assumed=False)
            scan.picked.append(f"{name}: {stack.words}")
            scan.files[name] = stack.images[0].file
            if name == DWI:
                scan.dwi_images = used
            elif name == B0:
                scan.new.b_value_of_b0 = stack.b_value or 0.0
    rest = [stack.words for stack in stacks if stack not in picked.values()]
    scan.picked += [f"passed over: {words}" for words in [*rest, *passed_over]]
    return scan


def _stacks(images: Sequence[DicomImage]) -> tuple[list[Stack], list[str]]:
    """The diffusion images by series, b-value and kind; and what cannot be one of them, in words."""
    groups: dict[tuple, list[DicomImage]] = defaultdict(list)
    others: dict[tuple[int, str, str], int] = defaultdict(int)
    for one in images:
        if one.problem or not (one.is_adc or one.b_value is not None):
            others[one.number, one.series, one.problem or "no b-value and no ADC"] += 1
        else:
            shell = None if one.b_value is None else round(one.b_value / SAME_SHELL)
            groups[one.number, one.series, one.is_adc, shell, one.is_trace].append(one)
    stacks = [
        Stack(tuple(found), None if key[2] else float(np.median([one.b_value or 0.0 for one in found])), bool(key[4]))
        for key, found in sorted(groups.items(), key=lambda item: str(item[0]))
    ]
    return stacks, [f"series {number} ({count} images): {why}" for (number, _, why), count in sorted(others.items())]


def _pick(name: str, stacks: Sequence[Stack], series: str | None) -> Stack | None:
    """The stack of a channel; None if there is none.

    Raises:
        ScanError: several could be it, or the series that the user names holds none.
    """
    fitting = [stack for stack in stacks if _may_be(name, stack) and series in (None, stack.images[0].series)]
    if series is not None and not fitting:
        raise ScanError(f"the series named by {OPTION_OF[name]} holds no {name}", "Name a file of another series.")
    if name == DWI and fitting:
        # The trace before single directions, then the b-value that models are trained on.
        fitting = [one for one in fitting if one.is_trace] or fitting
        nearest = min(abs((one.b_value or 0.0) - USUAL_B_VALUE) for one in fitting)
        fitting = [one for one in fitting if abs((one.b_value or 0.0) - USUAL_B_VALUE) <= nearest + SAME_SHELL]
    if len(fitting) > 1 and name != B0:
        listed = "; ".join(one.words for one in fitting)
        raise ScanError(
            f"{len(fitting)} series could be the {name}: {listed}",
            f"Name a file of the right one with {OPTION_OF[name]} FILE (and the others with --dwi, --adc), "
            "or take the others away.",
        )
    return fitting[0] if fitting else None


def _may_be(name: str, stack: Stack) -> bool:
    if name == ADC:
        return stack.b_value is None
    return stack.b_value is not None and (stack.b_value > HIGHEST_OF_B0) == (name == DWI)


def _list(stacks: Sequence[Stack], passed_over: Sequence[str]) -> str:
    found = [*(stack.words for stack in stacks), *passed_over]
    return f"Found: {'; '.join(found[:8])}." if found else "Export the diffusion series, too."


def _volume(stack: Stack) -> tuple[Volume, tuple[DicomImage, ...]]:
    """The volume of a stack, and an image for each slice; several images at a position are joined."""
    first = stack.images[0]
    alike = {(one.size, tuple(np.round(one.orientation, 4)), one.spacing, one.is_mosaic) for one in stack.images}
    if len(alike) > 1:
        raise ScanError(f"the images of {stack.words} differ in size or orientation", "Export the series again.")
    if first.is_mosaic:
        return _volume_of_mosaics(stack), (first,)
    places: dict[float, list[DicomImage]] = defaultdict(list)
    for one in stack.images:
        places[round(one.along_normal_mm, 2)].append(one)
    ordered = [sorted(places[place], key=lambda one: one.instance) for place in sorted(places)]
    counts = {len(images) for images in ordered}
    gaps = np.diff(sorted(places))
    if len(ordered) < 2 or len(counts) > 1 or (np.abs(gaps - np.median(gaps)) > UNEVEN * np.median(gaps)).any():
        raise ScanError(f"slices of {stack.words} are missing, or lie unevenly", "Export the whole series again.")
    _check_one_adc(stack, max(counts))
    slices = [geometric_mean(np.stack([_pixels(one) for one in images]))[0] for images in ordered]
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    matrix = np.stack([first.orientation[:3], first.orientation[3:], normal], axis=1)
    rows, columns = first.size
    spacing = (first.spacing[1], first.spacing[0], float(np.mean(gaps)))
    grid = Grid((columns, rows, len(slices)), spacing, ordered[0][0].position, tuple(map(float, matrix.ravel())))
    return Volume(np.stack(slices)[None], grid), tuple(images[0] for images in ordered)


def _volume_of_mosaics(stack: Stack) -> Volume:
    """The volume of a stack whose images are mosaics; several are joined."""
    _check_one_adc(stack, len(stack.images))
    volumes = unpack_mosaics([one.file for one in stack.images])
    if len({(one.grid.size, tuple(np.round(one.grid.origin, 2))) for one in volumes}) > 1:
        raise ScanError(f"the mosaics of {stack.words} differ in size or position", "Export the series again.")
    return replace(volumes[0], array=geometric_mean(np.concatenate([one.array for one in volumes])))


def _check_one_adc(stack: Stack, count: int) -> None:
    """Raise ScanError if several images of a place are ADC maps, which are never averaged."""
    if stack.b_value is None and count > 1:
        raise ScanError(f"{stack.words} holds {count} images at each position", "Export one ADC map.")


def _pixels(one: DicomImage) -> np.ndarray:
    """(Y, X), with the slope and intercept of the header applied."""
    if one.frame is not None:
        return _frames(one.file)[one.frame]
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(one.file))
    try:
        array = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise ScanError(UNREADABLE, "Export it uncompressed.", one.file) from error
    return array.reshape(array.shape[-2:])


@lru_cache(maxsize=1)
def _frames(file: Path) -> np.ndarray:
    """(frames, Y, X) of a file of many frames, each with the slope and intercept of its group applied."""
    import pydicom

    header = pydicom.dcmread(file)
    try:
        pixels = header.pixel_array.astype(np.float64)
    except Exception as error:
        # Which libraries are there, and what they raise, depends on the compression.
        raise ScanError(UNREADABLE, "Export it uncompressed.", file) from error
    shared = (header.get("SharedFunctionalGroupsSequence") or [{}])[0]
    for number, frame in enumerate(header.PerFrameFunctionalGroupsSequence):
        for item in (frame.get(SCALING) or shared.get(SCALING) or [])[:1]:
            pixels[number] = pixels[number] * float(item.RescaleSlope) + float(item.RescaleIntercept)
    return pixels
