"""The mask of a DICOM study as a DICOM segmentation that refers to the series of the DWI."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_mscs import __version__
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.reporting.colours import PREDICTION, rgb
from nnunetv2_mscs.scans.dicom_headers import EXTRA, DicomImage
from nnunetv2_mscs.scans.grid import Grid

SERIES_NUMBER = 9900
LABEL = "Acute ischemic lesion"
# SNOMED CT. The type is a morphology, as its category is; the place is a concept of its own.
CATEGORY = ("49755003", "SCT", "Morphologically Abnormal Structure")
TYPE = ("55641003", "SCT", "Infarct")
REGION = ("12738006", "SCT", "Brain")


def check_can_write() -> None:
    """Raise MscsError unless highdicom is installed."""
    _highdicom()


def write_segmentation(mask: np.ndarray, grid: Grid, images: Sequence[DicomImage], file: Path) -> None:
    """Write a mask as DICOM SEG.

    The standard demands that it carries the patient's and the study's identification, as the source series does.

    Args:
        mask: (Z, Y, X), above 0 in lesions.
        grid: where its voxels lie, as those of the DWI.
        images: the DWI's image of each slice, in the order of Z, or one mosaic of all slices.
        file: to write.

    Raises:
        MscsError: highdicom is missing, or the source series lacks what a segmentation must repeat.
    """
    import pydicom

    highdicom = _highdicom()
    from highdicom.sr.coding import CodedConcept
    from highdicom.version import __version__ as highdicom_version
    from skimage.color import rgb2lab

    files = dict.fromkeys(one.file for one in images)
    sources = [pydicom.dcmread(one, stop_before_pixels=True) for one in files]
    description = highdicom.seg.SegmentDescription(
        segment_number=1,
        segment_label=LABEL,
        segmented_property_category=CodedConcept(*CATEGORY),
        segmented_property_type=CodedConcept(*TYPE),
        anatomic_regions=[CodedConcept(*REGION)],
        display_color=highdicom.color.CIELabColor(*rgb2lab(np.array(rgb(PREDICTION)) / 255)),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="nnunetv2-mscs", family=CodedConcept("123110", "DCM", "Artificial Intelligence"), version=__version__
        ),
    )
    arguments: dict[str, Any] = {
        "source_images": sources,
        "pixel_array": (mask > 0).astype(np.uint8),
        "segmentation_type": highdicom.seg.SegmentationTypeValues.BINARY,
        "segment_descriptions": [description],
        "series_instance_uid": highdicom.UID(),
        "series_number": SERIES_NUMBER,
        "series_description": f"{LABEL} (nnunetv2-mscs, for research)",
        "content_description": LABEL,
        "sop_instance_uid": highdicom.UID(),
        "instance_number": 1,
        "manufacturer": "nnunetv2-mscs",
        "manufacturer_model_name": "mscs predict",
        "software_versions": __version__,
        "device_serial_number": f"highdicom-{highdicom_version}",
        "omit_empty_frames": bool((mask > 0).any()),
    }
    patient = highdicom.CoordinateSystemNames.PATIENT
    if images[0].is_mosaic:
        uid = sources[0].get("FrameOfReferenceUID")
        arguments["pixel_array"] = highdicom.Volume(arguments["pixel_array"], _affine(grid), patient, uid)
    else:
        arguments["plane_positions"] = [highdicom.PlanePositionSequence(patient, one.position) for one in images]
    try:
        highdicom.seg.Segmentation(**arguments).save_as(file)
    except (AttributeError, ValueError, KeyError, TypeError) as error:
        raise MscsError(f"the DICOM SEG cannot be made: {error}.", "Export the whole DWI series again.") from error


def _affine(grid: Grid) -> np.ndarray:
    """(4, 4): from the indices of slice, row and column to LPS, in mm."""
    affine = np.eye(4)
    affine[:3, :3] = (grid.matrix * grid.spacing)[:, ::-1]
    affine[:3, 3] = grid.origin
    return affine


def _highdicom() -> Any:
    try:
        import highdicom
        import highdicom.seg
    except ImportError as error:
        raise MscsError("writing DICOM SEG needs highdicom, which is not installed.", EXTRA) from error
    return highdicom
