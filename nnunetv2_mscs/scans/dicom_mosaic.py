"""Siemens mosaics, all slices of a volume in one image: unpacked by dcm2niix, in a folder that is removed."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_mscs.scans.dicom_headers import EXTRA
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.reading import Volume, read_volume
from nnunetv2_mscs.workplace.hidden_places import clear_leftovers, hidden_place

PREFIX = ".mscs-mosaic-"
SECONDS_FOR_ONE = 300
# No defaults from the user's home, no sidecar, no compression, no other file of the folder; no tag in the file's name.
DCM2NIIX_OPTIONS = ("-g", "i", "-b", "n", "-z", "n", "-s", "y", "-f", "volume")


def unpack_mosaics(files: Sequence[Path]) -> list[Volume]:
    """The volume of each mosaic.

    Args:
        files: of one image each.

    Raises:
        ScanError: dcm2niix is not installed, or cannot unpack one.
    """
    program, parent = _dcm2niix(), Path(tempfile.gettempdir())
    clear_leftovers(parent, PREFIX)
    with hidden_place(parent, PREFIX) as place:
        return [_unpack(program, file.absolute(), place / str(number)) for number, file in enumerate(files)]


def _dcm2niix() -> str:
    """The program of the wheel, else the one on the PATH."""
    try:
        import dcm2niix
    except ImportError:
        program = shutil.which("dcm2niix")
    else:
        program = dcm2niix.bin
    if not program:
        raise ScanError("the series holds mosaics, which dcm2niix unpacks; it is not installed", EXTRA)
    return program


def _unpack(program: str, file: Path, folder: Path) -> Volume:
    folder.mkdir()
    command = [program, *DCM2NIIX_OPTIONS, "-o", str(folder), str(file)]
    try:
        # What it prints may hold tags: nothing of it is passed on.
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=SECONDS_FOR_ONE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ScanError(f"dcm2niix failed: {type(error).__name__}", "Is it installed as a whole?", file) from error
    volumes = sorted(folder.glob("*.nii"))
    if len(volumes) != 1:
        raise ScanError(f"dcm2niix made {len(volumes)} volumes of a mosaic, not one", "Export it again.", file)
    volume = read_volume(volumes[0])
    if len(volume.array) != 1 or volume.array.shape[1] < 2:
        raise ScanError("dcm2niix found no slices in a mosaic", "Export it with Siemens' private tags.", file)
    return volume
