"""Which file formats are read, by the endings of their names: the one list of them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

NIFTI_ENDINGS = (".nii.gz", ".nii")
MGH_ENDINGS = (".mgz", ".mgh")
PAIR_ENDING = ".hdr"
META_IMAGE_ENDINGS = (".mha", ".mhd")
NRRD_ENDINGS = (".nrrd", ".nhdr")
IMAGE_ENDINGS = (*NIFTI_ENDINGS, *META_IMAGE_ENDINGS, *NRRD_ENDINGS, *MGH_ENDINGS, PAIR_ENDING)
ARRAY_ENDINGS = (".npy", ".npz")
ENDINGS = IMAGE_ENDINGS + ARRAY_ENDINGS
READ = f"Formats that are read: {', '.join(ENDINGS)} (.hdr with its .img)."
# The files of voxels that belong to a header file of the same name.
HEADERS_OF = {".img": (PAIR_ENDING,), ".raw": (".mhd", ".nhdr"), ".zraw": (".mhd",), ".raw.gz": (".nhdr",)}
NOT_READ = {
    ".dcm": "DICOM",
    ".dicom": "DICOM",
    ".ima": "DICOM",
    ".img": "the voxels of a .hdr file that is not there",
    ".mif": "MRtrix",
    ".mif.gz": "MRtrix",
    ".mih": "MRtrix",
    ".head": "AFNI",
    ".brik": "AFNI",
    ".brik.gz": "AFNI",
    ".mnc": "MINC",
    ".mnc.gz": "MINC",
    ".par": "Philips",
    ".rec": "Philips",
    ".gipl": "GIPL",
    ".gipl.gz": "GIPL",
    ".vtk": "VTK",
    ".vti": "VTK",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".png": "a picture",
    ".jpg": "a picture",
    ".jpeg": "a picture",
    ".bmp": "a picture",
    ".mat": "MATLAB",
    ".h5": "HDF5",
    ".hdf5": "HDF5",
    ".pkl": "Python's pickle",
    ".pt": "PyTorch",
    ".b2nd": "nnU-Net's preprocessed data",
    ".nii.zip": "a zip archive",
    ".nii.bz2": "bzip2",
    ".nii.xz": "xz",
    ".nii.zst": "zstandard",
    ".nii.gz.gz": "compressed twice",
    ".zip": "a zip archive",
    ".tar": "a tar archive",
    ".tar.gz": "a tar archive",
    ".tgz": "a tar archive",
    ".7z": "a 7z archive",
    ".rar": "a RAR archive",
}
DICOM_MAGIC, DICOM_MAGIC_AT = b"DICM", 128
CONVERT_DICOM = "convert them first: dcm2niix -z y -o NIFTI_FOLDER DICOM_FOLDER"
MOST_LOOKED_AT = 2000


def ending_of(path: Path, endings: Iterable[str] = ENDINGS) -> str:
    """The first of the endings that the file has, such as ".nii.gz", in small letters; "" if it has none of them."""
    return next((ending for ending in endings if path.name.lower().endswith(ending)), "")


def without_ending(path: Path) -> str:
    """The file's name without the ending of its format."""
    return path.name[: len(path.name) - len(ending_of(path))]


def is_array_file(path: Path) -> bool:
    """Whether a file holds a bare array, without geometry."""
    return path.name.lower().endswith(ARRAY_ENDINGS)


def is_part_of_another(path: Path) -> bool:
    """Whether a file holds the voxels of a header file beside it, such as the .img of a .hdr."""
    for ending, headers in HEADERS_OF.items():
        if path.name.lower().endswith(ending):
            stem = path.name[: -len(ending)]
            return any(path.with_name(stem + header).is_file() for header in headers)
    return False


def unread_format(path: Path) -> str:
    """The format of a file of scans in a format that is not read, such as "MRtrix"; "" for any other file."""
    if ending_of(path) or is_part_of_another(path):
        return ""
    known = NOT_READ.get(ending_of(path, NOT_READ), "")
    return known or ("DICOM" if is_dicom(path) else "")


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its content, whatever it is called."""
    try:
        with path.open("rb") as stream:
            return stream.read(DICOM_MAGIC_AT + 4)[DICOM_MAGIC_AT:] == DICOM_MAGIC
    except OSError:
        return False


def unread_files(folder: Path, start: str = "") -> str:
    """A sentence on the scans in a folder, or below it, that are in formats that are not read; "" if there are none.

    Args:
        folder: to look into.
        start: what the names of the files begin with.
    """
    found = {path: kind for path in _files(folder) if path.name.startswith(start) and (kind := unread_format(path))}
    if not found:
        return ""
    kinds = Counter((_shown_ending(path), kind) for path, kind in found.items())
    listed = ", ".join(f"{count} {ending} ({kind})" for (ending, kind), count in kinds.most_common(3))
    example = next(iter(found)).relative_to(folder).as_posix()
    text = f"{folder.name}/ holds files in formats that are not read: {listed}, such as {example}. {READ}"
    if "DICOM" in found.values():
        text = f"{text} DICOM: {CONVERT_DICOM}."
    return text


def _shown_ending(path: Path) -> str:
    """The ending by which a file's format is known, as far as it has one."""
    return ending_of(path, sorted(NOT_READ, key=len)[::-1]) or "without an ending"


def _files(folder: Path) -> Iterator[Path]:
    """The files in a folder and below it, by name, hidden ones left out; no more than a folder of scans needs."""
    found = (path for path in folder.rglob("*") if not path.name.startswith(".") and path.is_file())
    return iter(sorted(islice(found, MOST_LOOKED_AT)))
