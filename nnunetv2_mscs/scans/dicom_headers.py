"""DICOM headers of diffusion images: what each image shows and its b-value, as the vendors record them."""

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.scans.b_values import LARGEST_B_VALUE
from nnunetv2_mscs.scans.formats import is_dicom
from nnunetv2_mscs.scans.words import ADC, channel_of_words, words_of

EXTRA = (
    "Install it: pip install 'nnunetv2-mscs[dicom]'. Or convert first: dcm2niix -b y -z y -o NIFTI_FOLDER DICOM_FOLDER"
)
# GE marks b-values with an offset of 10^9, and the image that combines all directions with this number.
GE_MODULUS, GE_COMBINED = 100_000, 15
SEQUENCE_NAME = re.compile(r"ep_b(\d{1,5})(t)?", re.IGNORECASE)
# Where files of many frames say what others say in their header: in which group, and by which tag.
GROUPS = {
    "PlanePositionSequence": {"ImagePositionPatient": "ImagePositionPatient"},
    "PlaneOrientationSequence": {"ImageOrientationPatient": "ImageOrientationPatient"},
    "PixelMeasuresSequence": {"PixelSpacing": "PixelSpacing"},
    "MRImageFrameTypeSequence": {"FrameType": "ImageType"},
    "MRDiffusionSequence": {
        "DiffusionBValue": "DiffusionBValue",
        "DiffusionDirectionality": "DiffusionDirectionality",
    },
}
# By which a result is found in a picture archive. None of them is the patient's name or date of birth.
IDENTITY = ("PatientID", "AccessionNumber", "StudyDate", "StudyInstanceUID", "SeriesInstanceUID")
OTHER_MAPS = re.compile(r"EADC|EXP|FA|COLFA|TENSOR|MOTION", re.IGNORECASE)


@dataclass(frozen=True)
class DicomImage:
    """One image of a series. No text of its header is kept: texts may name the patient.

    Args:
        file: where it lies.
        uid, study, series: unique identifiers of the image and what it belongs to.
        number: of the series.
        instance: its number in the series.
        is_adc: it is a slice of an ADC map.
        b_value: in s/mm2; None for what is no diffusion image.
        is_trace: it is marked as a trace image.
        is_directional: it is marked as an image of one direction.
        position: of its first pixel in mm.
        orientation: direction cosines of its rows and columns.
        spacing: between rows, between columns, in mm.
        size: rows, columns.
        problem: why it cannot be read; empty if it can.
        frame: its number in an enhanced file of many frames, from 0; None in a file of one image.
        is_mosaic: it holds all slices of a volume side by side.
    """

    file: Path
    uid: str
    study: str
    series: str
    number: int
    instance: int
    is_adc: bool
    b_value: float | None
    is_trace: bool
    is_directional: bool
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    size: tuple[int, int]
    problem: str = ""
    frame: int | None = None
    is_mosaic: bool = False

    @property
    def along_normal_mm(self) -> float:
        """Its place along the normal of the slices."""
        return float(np.dot(np.cross(self.orientation[:3], self.orientation[3:]), self.position))


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM files in a folder and below it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
    return [path for path in files if is_dicom_file(path)]


def is_dicom_file(path: Path) -> bool:
    """Whether a file is DICOM, and no index of other files."""
    return path.name.upper() != "DICOMDIR" and is_dicom(path)


def study_of(file: Path) -> str:
    """The unique identifier of the study that a file belongs to."""
    return str(_header(file).get("StudyInstanceUID", ""))


def identity_of(file: Path) -> dict[str, str]:
    """What identifies the patient, the study and the series of a file, by the names of the tags in `IDENTITY`."""
    header = _header(file)
    return {name: str(header.get(name) or "") for name in IDENTITY}


def read_headers(files: Iterable[Path]) -> list[DicomImage]:
    """The headers of the images in DICOM files; those of many frames have an image in each frame.

    Raises:
        MscsError: pydicom is missing, or a file is no DICOM that it can read.
    """
    return [image for file in files for image in _images(file, _header(file))]


def check_can_read() -> None:
    """Raise MscsError unless pydicom is installed."""
    _pydicom()


def _pydicom() -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise MscsError("reading DICOM needs pydicom, which is not installed.", EXTRA) from error
    return pydicom


def _header(file: Path) -> Any:
    pydicom = _pydicom()
    try:
        return pydicom.dcmread(file, stop_before_pixels=True)
    except Exception as error:
        # Damaged bytes may raise anything in the parser.
        raise MscsError(f"{file.name} is damaged, or no DICOM: {type(error).__name__}.", "Export it again.") from error


def _images(file: Path, header: Any) -> Iterator[DicomImage]:
    """The images of a file, as those of one frame."""
    frames = header.get("PerFrameFunctionalGroupsSequence")
    if not frames:
        yield _image(file, header)
        return
    shared = (header.get("SharedFunctionalGroupsSequence") or [{}])[0]
    for number, frame in enumerate(frames):
        said = {"NumberOfFrames": 1, **_said(shared), **_said(frame)}
        image = _image(file, _Frame(header, said))
        yield replace(image, uid=f"{header.get('SOPInstanceUID', file)} {number}", frame=number)


class _Frame:
    """The header of a file of many frames, as that of one of them."""

    def __init__(self, header: Any, said: Mapping[str, Any]):
        self._header, self._said = header, said

    def get(self, key: Any, default: Any = None) -> Any:
        return self._said[key] if key in self._said else self._header.get(key, default)

    def __contains__(self, key: str) -> bool:
        return key in self._said or key in self._header


def _said(groups: Any) -> dict[str, Any]:
    """What functional groups say, by the names of the tags that a file of one image has for it."""
    said: dict[str, Any] = {}
    for name, tags in GROUPS.items():
        for item in (groups.get(name) or [])[:1]:
            said |= {target: item.get(tag) for tag, target in tags.items() if tag in item}
    return said


def _image(file: Path, header: Any) -> DicomImage:
    kinds = [str(one).upper() for one in header.get("ImageType") or ()]
    told = channel_of_words(words_of(str(header.get("SeriesDescription", ""))))
    is_other = any(OTHER_MAPS.fullmatch(kind) for kind in kinds) or told in ("EADC", "FA", "COLFA", "TENSOR")
    is_adc = not is_other and (any(kind in ("ADC", "ADC_MAP") for kind in kinds) or told == ADC)
    b_value, is_trace, is_directional = (None, False, False) if is_adc or is_other else _diffusion(header, kinds)
    problem = "" if header.get("Modality") == "MR" else f"modality {header.get('Modality', 'unknown')}"
    if int(header.get("NumberOfFrames") or 1) > 1:
        problem = problem or "a file of many frames that does not say where they lie"
    if "ImagePositionPatient" not in header or "ImageOrientationPatient" not in header or "PixelSpacing" not in header:
        problem = problem or "no position in space"
    return DicomImage(
        file=file,
        uid=str(header.get("SOPInstanceUID", file)),
        study=str(header.get("StudyInstanceUID", "")),
        series=str(header.get("SeriesInstanceUID", "")),
        number=int(header.get("SeriesNumber") or 0),
        instance=int(header.get("InstanceNumber") or 0),
        is_adc=is_adc,
        b_value=b_value,
        is_trace=is_trace,
        is_directional=is_directional,
        position=_floats(header.get("ImagePositionPatient")),
        orientation=_floats(header.get("ImageOrientationPatient")),
        spacing=_floats(header.get("PixelSpacing")),
        size=(int(header.get("Rows") or 0), int(header.get("Columns") or 0)),
        problem=problem,
        is_mosaic="MOSAIC" in kinds,
    )


def _diffusion(header: Any, kinds: list[str]) -> tuple[float | None, bool, bool]:
    """The b-value, whether it is a trace image, and whether it is one of a single direction."""
    maker = str(header.get("Manufacturer", "")).upper()
    direction = str(header.get("DiffusionDirectionality", "")).upper()
    is_trace = direction == "ISOTROPIC" or any(kind.startswith("TRACE") for kind in kinds)
    is_directional = direction in ("DIRECTIONAL", "BMATRIX")
    b_value = _number(header.get("DiffusionBValue"))
    if "SIEMENS" in maker:
        b_value = _first(b_value, _number(_value(header, 0x0019, 0x100C)))
        is_directional |= _text(_value(header, 0x0019, 0x100D)).upper() == "DIRECTIONAL"
        if sequence := SEQUENCE_NAME.search(str(header.get("SequenceName", ""))):
            b_value = _first(b_value, float(sequence[1]))
            is_trace |= sequence[2] is not None
    elif "PHILIPS" in maker:
        b_value = _first(b_value, _number(_value(header, 0x2001, 0x1003)))
        kind = _text(_value(header, 0x2001, 0x1004)).upper()
        is_trace |= kind.startswith("I")
        is_directional |= kind[:1] in ("O", "P", "M", "S")
    elif maker.startswith("GE"):
        b_value = _first(b_value, _number(_value(header, 0x0043, 0x1039)))
        is_trace |= _number(_value(header, 0x0043, 0x1030)) == GE_COMBINED
    if b_value is not None and b_value > LARGEST_B_VALUE:
        b_value %= GE_MODULUS
    return b_value, is_trace, is_directional and not is_trace


def _value(header: Any, group: int, element: int) -> Any:
    found = header.get((group, element))
    return None if found is None else found.value


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _text(value: Any) -> str:
    return value.decode("ascii", "ignore").strip(" \0") if isinstance(value, bytes) else str(value or "").strip()


def _number(value: Any) -> float | None:
    """The number, or the first of several, of an element whose type may be unknown to the reader."""
    if isinstance(value, bytes):
        text = _text(value).split("\\")[0]
        if re.fullmatch(r"[+-]?\d+(\.\d*)?", text):
            return float(text)
        return float(struct.unpack("<f", value)[0]) if len(value) == 4 else None
    if value is not None and not isinstance(value, str) and hasattr(value, "__len__"):
        value = value[0] if len(value) else None
    try:
        return None if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        return None


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values or ())
