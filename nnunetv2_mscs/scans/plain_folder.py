"""A folder of scans for other programs to read: those whose headers they may take otherwise are written anew."""

from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.formats import IMAGE_ENDINGS, READ, ending_of, unread_files
from nnunetv2_mscs.scans.nifti import as_plain_nifti
from nnunetv2_mscs.scans.reading import read_volume
from nnunetv2_mscs.scans.writing import write_volume
from nnunetv2_mscs.workplace.parallel import run_parallel

FILES_PER_PROCESS = 20


def plain_scans(images: Path, place: Path, *, processes: int = 1) -> Path:
    """Read all scans of a folder through, and write those with odd headers anew, as plain NIfTI of the same name.

    Args:
        images: files of scans; others are passed over.
        place: a folder that does not exist yet, made if it is needed; links to the sound scans go there, too.
        processes: how many to use.

    Returns:
        `images` itself if all its scans mean the same to every reader, else `place`.

    Raises:
        MscsError: there are no scans, one cannot be read, or one would replace another.
    """
    files = [file for file in sorted(images.iterdir()) if ending_of(file) in IMAGE_ENDINGS and file.name[0] != "."]
    if not files:
        raise MscsError(f"{images} holds no scans.", unread_files(images) or READ)
    at_once = max(1, min(processes, len(files) // FILES_PER_PROCESS))
    sound = run_parallel(_is_plain, files, processes=at_once, description="checking")
    if all(sound):
        return images
    place.mkdir()
    for file, is_sound in zip(files, sound, strict=True):
        target = place / (file.name if is_sound else f"{file.name[: -len(ending_of(file))]}.nii.gz")
        if target.is_symlink() or target.exists():
            raise MscsError(f"{images} holds {target.name} twice, once as {file.name}.", "Move one of the two away.")
        if is_sound:
            target.symlink_to(file.resolve())
        else:
            volume = read_volume(file, check=False)
            write_volume(volume.array[0], volume.grid, target)
    return place


def _is_plain(file: Path) -> bool:
    """Whether other programs read a scan as we do. Raises MscsError if we cannot read it either."""
    try:
        count = len(read_volume(file).array)
        with as_plain_nifti(file) as (readable, _):
            is_plain = readable == file
        if count > 1 and not is_plain:
            raise ScanError(f"holds {count} volumes under an odd header", "Save one 3D file for each channel.")
    except ScanError as error:
        raise MscsError(f"{file} {error.finding}.", error.remedy) from error
    return is_plain
