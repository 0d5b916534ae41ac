"""DICOM series as the scanners of three vendors write them, by pydicom."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PATIENT = {
    "PatientName": "Doe^Jane^PLANTED",
    "PatientID": "PLANTED-4711",
    "PatientBirthDate": "19480215",
    "PatientAddress": "PLANTED Street 1",
    "OtherPatientIDs": "PLANTED-0815",
    "InstitutionName": "PLANTED Hospital",
    "ReferringPhysicianName": "PLANTED^Doctor",
    "AccessionNumber": "PLANTED99",
    "StudyDescription": "PLANTED study of Jane Doe",
    "ProtocolName": "PLANTED protocol",
    "ImageComments": "PLANTED comment",
    "StudyID": "PLANTED1",
}
TWENTY_DEGREES = np.deg2rad(20)
# Oblique: slices tilted about the axis from left to right.
ORIENTATION = (1.0, 0.0, 0.0, 0.0, float(np.cos(TWENTY_DEGREES)), float(np.sin(TWENTY_DEGREES)))
ORIGIN, SPACING = (-76.0, -92.0, -35.0), (8.0, 8.0, 14.0)


def siemens(image: Any, kind: str, b_value: float) -> None:
    image.Manufacturer = "SIEMENS"
    image.ImageType = ["DERIVED", "PRIMARY", "DIFFUSION", {"adc": "ADC", "trace": "TRACEW", "b0": "TRACEW"}[kind], "ND"]
    if kind != "adc":
        image.SequenceName = f"*ep_b{b_value:.0f}t"
        image.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", str(int(b_value)))


def ge(image: Any, kind: str, b_value: float) -> None:
    image.Manufacturer = "GE MEDICAL SYSTEMS"
    image.ImageType = ["DERIVED", "SECONDARY", "ADC"] if kind == "adc" else ["ORIGINAL", "PRIMARY", "OTHER"]
    if kind != "adc":
        block = image.private_block(0x0043, "GEMS_PARM_01", create=True)
        block.add_new(0x39, "IS", [str(int(b_value + 1_000_000_000)), "8", "0", "0"])
        block.add_new(0x30, "SS", 14 if kind == "b0" else 15)


def philips(image: Any, kind: str, b_value: float) -> None:
    image.Manufacturer = "Philips Medical Systems"
    image.ImageType = ["ORIGINAL", "PRIMARY", {"adc": "ADC"}.get(kind, "M_SE"), "M", "SE"]
    if kind != "adc":
        block = image.private_block(0x2001, "Philips Imaging DD 001", create=True)
        block.add_new(0x03, "FL", float(b_value))
        block.add_new(0x04, "CS", "I" if kind == "trace" else "N")


VENDORS: dict[str, Callable[[Any, str, float], None]] = {"siemens": siemens, "ge": ge, "philips": philips}


def write_series(
    folder: Path,
    array: np.ndarray,
    *,
    number: int,
    mark: Callable[[Any], None],
    study: str = "1.2.3.4",
    series: str = "",
    first: int = 0,
) -> Path:
    """Write (x, y, z) voxels, along LPS before the tilt, as one file for each slice.

    Args:
        folder: gets the files, in an order of names that says nothing about the order of the slices.
        array: rounded to whole numbers.
        number: of the series.
        mark: adds the vendor's tags to each image.
        study, series: unique identifiers; the series' follows from its number.
        first: numbers of instances begin after it.
    """
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    folder.mkdir(parents=True, exist_ok=True)
    normal = np.cross(ORIENTATION[:3], ORIENTATION[3:])
    for z in range(array.shape[2]):
        image = pydicom.Dataset()
        image.file_meta = pydicom.dataset.FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = MRImageStorage
        instance = first + z + 1
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{study}.{number}.{instance}"
        image.StudyInstanceUID, image.SeriesInstanceUID = study, series or f"{study}.{number}"
        image.FrameOfReferenceUID = f"{study}.99"
        for tag, value in PATIENT.items():
            setattr(image, tag, value)
        image.SeriesDescription = "PLANTED series"
        image.PatientSex, image.StudyDate, image.StudyTime = "F", "20260101", "101010"
        image.Modality, image.SeriesNumber, image.InstanceNumber = "MR", number, instance
        image.ImagePositionPatient = [float(f"{p:.6f}") for p in np.array(ORIGIN) + normal * SPACING[2] * z]
        image.ImageOrientationPatient = [float(f"{cosine:.12f}") for cosine in ORIENTATION]
        image.PixelSpacing, image.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
        image.Rows, image.Columns = array.shape[1], array.shape[0]
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated = image.BitsStored = 16
        image.HighBit, image.PixelRepresentation = 15, 0
        image.PositionReferenceIndicator = None
        image.PixelData = np.ascontiguousarray(np.rint(array[..., z]).T.astype("<u2")).tobytes()
        mark(image)
        image.save_as(folder / f"IM{(instance * 7) % 101:04d}_{number}", enforce_file_format=True)
    return folder


def write_study(
    folder: Path, vendor: str, scan: dict[str, np.ndarray], *, adc: bool = True, study: str = "1.2.3.4"
) -> Path:
    """A study of a vendor: a localizer, the series of b0 and trace, and the ADC; (x, y, z) along LPS.

    Philips appends trace images to the series of the directions; with GE and Siemens b0 and trace are one series.
    """
    mark = VENDORS[vendor]

    def write(name: str, number: int, kind: str, b_value: float, first: int = 0) -> None:
        array = np.rint(np.maximum(scan[name], 0))
        write_series(
            folder / f"s{number}",
            array,
            number=number,
            mark=lambda image: mark(image, kind, b_value),
            study=study,
            first=first,
        )

    def localizer(image: Any) -> None:
        image.ImageType = ["ORIGINAL", "PRIMARY", "M"]

    write_series(folder / "s1", np.rint(scan["b0"])[..., :3], number=1, mark=localizer, study=study)
    write("b0", 4, "b0", 0)
    write("dwi", 4, "trace", 1000, first=20)
    if vendor == "philips":
        _write_directions(folder / "s4", scan, study)
    if adc:
        write("adc", 5, "adc", 0)
    return folder


def _write_directions(folder: Path, scan: dict[str, np.ndarray], study: str) -> None:
    for direction in range(3):

        def mark(image: Any) -> None:
            philips(image, "trace", 1000)
            image[0x2001, 0x1004].value = "O"

        weight = 1.0 + 0.2 * (direction - 1)
        write_series(folder, np.rint(scan["dwi"] * weight), number=4, mark=mark, study=study, first=40 + 10 * direction)


def write_enhanced(file: Path, scan: dict[str, np.ndarray], *, study: str = "1.2.3.4") -> Path:
    """One enhanced file with the frames of b0, trace and one direction, mixed; (x, y, z) along LPS."""
    import pydicom
    from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian

    write_series(file.parent / "plain", scan["dwi"], number=4, mark=lambda _: None, study=study)
    plain = sorted((file.parent / "plain").iterdir(), key=lambda one: pydicom.dcmread(one).InstanceNumber)
    image = pydicom.dcmread(plain[0])
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        del image[tag]
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = EnhancedMRImageStorage
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.ImageType, image.Manufacturer = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"], "Philips"
    shared, orientation, measures = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    orientation.ImageOrientationPatient = list(ORIENTATION)
    measures.PixelSpacing, measures.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    image.SharedFunctionalGroupsSequence = [shared]
    kinds = (("b0", 0.0, "NONE", 1.0), ("dwi", 1000.0, "ISOTROPIC", 1.0), ("dwi", 1000.0, "DIRECTIONAL", 0.8))
    frames, pixels = [], []
    for z, (name, b_value, direction, weight) in ((z, kind) for z in range(len(plain)) for kind in kinds):
        frame, position, diffusion, scaling = (pydicom.Dataset() for _ in range(4))
        position.ImagePositionPatient = pydicom.dcmread(plain[z]).ImagePositionPatient
        diffusion.DiffusionBValue, diffusion.DiffusionDirectionality = b_value, direction
        scaling.RescaleSlope, scaling.RescaleIntercept, scaling.RescaleType = 0.5, 0.0, "US"
        frame.PlanePositionSequence, frame.MRDiffusionSequence = [position], [diffusion]
        frame.PixelValueTransformationSequence = [scaling]
        frames.append(frame)
        pixels.append(np.rint(2 * weight * scan[name][..., z]).T.astype("<u2").tobytes())
    image.PerFrameFunctionalGroupsSequence, image.NumberOfFrames = frames, len(frames)
    image.PixelData = b"".join(pixels)
    image.save_as(file, enforce_file_format=True)
    for one in plain:
        one.unlink()
    plain[0].parent.rmdir()
    return file


def write_mosaics(folder: Path, scan: dict[str, np.ndarray], *, study: str = "1.2.3.4", directions: int = 0) -> Path:
    """A study of a Siemens scanner whose b0, DWI and ADC are one mosaic each; (x, y, z) along LPS.

    Args:
        folder: gets a folder for each series.
        scan: b0, dwi and adc.
        study: unique identifier.
        directions: so many images of single directions instead of the trace.
    """
    kinds = [("b0", 4, "b0", 0.0, 1.0), ("adc", 5, "adc", 0.0, 1.0)]
    weights = [1 + 0.2 * (i - (directions - 1) / 2) for i in range(directions)] or [1.0]
    kinds += [("dwi", 4, "trace", 1000.0, weight) for weight in weights]
    for first, (name, number, kind, b_value, weight) in enumerate(kinds):
        array = np.rint(scan[name] * weight)

        def mark(image: Any, depth=array.shape[2], size=array.shape[:2], kind=kind, b_value=b_value) -> None:
            siemens(image, kind, b_value)
            what = {"adc": "ADC", "trace": "NONE" if directions else "TRACEW", "b0": "NONE"}[kind]
            image.ImageType = ["ORIGINAL", "PRIMARY", "DIFFUSION", what, "ND", "MOSAIC"]
            if directions and kind != "adc":
                image.SequenceName = f"*ep_b{b_value:.0f}"
            # The header gives the first pixel of a slice as large as the whole mosaic, with the true slice's centre.
            tiles = int(np.ceil(np.sqrt(depth)))
            rows, columns = np.array(ORIENTATION[:3]) * SPACING[0], np.array(ORIENTATION[3:]) * SPACING[1]
            shift = (rows * size[0] + columns * size[1]) * (tiles - 1) / 2
            image.ImagePositionPatient = [float(f"{p:.6f}") for p in np.array(ORIGIN) - shift]
            image.SpacingBetweenSlices = SPACING[2]
            image.AcquisitionNumber = image.InstanceNumber
            image.MRAcquisitionType, image.EchoTime, image.RepetitionTime = "2D", 80, 5000
            normal = np.cross(ORIENTATION[:3], ORIENTATION[3:])
            fields = {
                "NumberOfImagesInMosaic": ("US", [depth]),
                "B_value": ("IS", [int(b_value)]),
                "SliceNormalVector": ("FD", [f"{cosine:.8f}" for cosine in normal]),
            }
            block = image.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
            block.add_new(0x08, "CS", "IMAGE NUM 4")
            block.add_new(0x10, "OB", _csa_header(fields))

        write_series(folder / f"s{number}", _tiled(array), number=number, mark=mark, study=study, first=first)
    return folder


def _tiled(array: np.ndarray) -> np.ndarray:
    """(x, y, z) -> (x, y, 1), the slices row by row in a square of tiles."""
    width, height, depth = array.shape
    tiles = int(np.ceil(np.sqrt(depth)))
    mosaic = np.zeros((width * tiles, height * tiles, 1))
    for z in range(depth):
        row, column = divmod(z, tiles)
        mosaic[column * width : (column + 1) * width, row * height : (row + 1) * height, 0] = array[..., z]
    return mosaic


def _csa_header(fields: dict[str, tuple[str, list]]) -> bytes:
    """Siemens' private header in its second form: named fields of texts, each text padded to four bytes."""
    content = b"SV10\4\3\2\1" + struct.pack("<2I", len(fields), 77)
    for name, (kind, values) in fields.items():
        content += struct.pack("<64si4s3i", name.encode(), len(values), kind.encode(), 0, 6, 77)
        for text in [f"{value}\0".encode() for value in values] + [b""] * (6 - len(values)):
            content += struct.pack("<4i", len(text), len(text), 77, len(text)) + text + bytes(-len(text) % 4)
    return content + bytes(len(content) % 2)
