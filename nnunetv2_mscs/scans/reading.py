"""Any volume format that stroke scans come in, read into one form."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk

from nnunetv2_mscs.scans.contents import EXPORT_AGAIN, check_content
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.formats import NIFTI_ENDINGS, ending_of, is_array_file
from nnunetv2_mscs.scans.grid import Grid, distance_mm, spacing_is_sane
from nnunetv2_mscs.scans.intact import check_intact
from nnunetv2_mscs.scans.nifti import as_plain_nifti
from nnunetv2_mscs.scans.orientation import LPS_FROM_RAS, read_orientation

MOST_CHANNELS = 16
LARGEST_SKEW_VOXELS = 0.5
FEWEST_ROWS = FEWEST_SLICES = 4
FEWEST_ROWS_OF_ONE_CHANNEL = 8  # (8, y, z, 1) is one channel: eight channels of a single slice are not to be had
SAVE_ALL_AXES = "Save (x, y, z, channels), also for a single slice or a single channel."
IMAGE_KEYS = ("image", "img", "data", "x", "arr_0")
MASK_KEYS = ("mask", "label", "labels", "seg", "y", "arr_0")
CHANNEL_KEYS = ("adc", "dwi")


@dataclass
class Volume:
    """One file's content.

    Args:
        array: (C, Z, Y, X), the type as stored.
        grid: where the voxels lie.
        has_geometry: False for array files, which know no voxel size.
        names: the channels' names, when the file itself names them.
        unused: what else the file holds, by name.
        warnings: what is odd about the file.
        forms: the grids that a NIfTI header's contradicting forms give, by their names, the one in force first.
    """

    array: np.ndarray
    grid: Grid
    has_geometry: bool = True
    names: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)
    forms: tuple[tuple[str, Grid], ...] = ()


def read_volume(
    path: Path, *, spacing: tuple[float, ...] | None = None, content: Literal["image", "mask"] = "image", check=True
) -> Volume:
    """Read a volume of one or more channels.

    Args:
        path: a file of `formats.ENDINGS`; .npy, .npz in (x, y, z), (x, y, z, c) or (c, x, y, z) order.
        spacing: voxel size x, y, z in mm of array files; others carry their own.
        content: which array of an .npz of several is wanted.
        check: also check that the file is complete, which costs reading a NIfTI file twice.

    Raises:
        ScanError: the file is unreadable, incomplete, or no 3D volume.
    """
    try:
        _check_name(path)
        check_content(path)
        with as_plain_nifti(path) as (readable, warnings):
            volume = _read_volume(readable, spacing, content, check)
        volume.warnings = [*warnings, *volume.warnings]
        return volume
    except ScanError as error:
        raise ScanError(error.finding, error.remedy, path) from error
    except Exception as error:
        # No list of the exceptions is complete: damaged bytes may raise anything in three libraries' parsers, and one
        # bad file among many must be one row of the table, not the end of the check.
        raise ScanError(f"cannot be read: {_reason(error)}", EXPORT_AGAIN, path) from error


def _read_volume(path: Path, spacing: tuple[float, ...] | None, content: str, check: bool) -> Volume:
    stored = check_intact(path) if check else None
    volume = _read_arrays(path, spacing, content) if is_array_file(path) else _read_image(path)
    if volume.array.dtype.kind not in "biuf":
        raise ScanError(f"holds {volume.array.dtype} values, not real numbers", "Export it as numbers.", path)
    if volume.array.size == 0:
        raise ScanError(f"holds no voxel (shape {volume.array.shape})", EXPORT_AGAIN, path)
    if not spacing_is_sane(volume.grid.spacing):
        raise ScanError(f"has an impossible voxel size: {volume.grid}", "Correct the header.", path)
    if stored is not None and stored != volume.array.nbytes:
        finding = f"is damaged: it holds {stored} bytes of voxels, its header says {volume.array.nbytes}"
        raise ScanError(finding, EXPORT_AGAIN, path)
    if path.name.lower().endswith(NIFTI_ENDINGS):
        volume.grid, volume.forms, warnings = read_orientation(path, volume.grid)
        volume.warnings += warnings
    return volume


def _check_name(path: Path) -> None:
    """Refuse names that ITK cannot take: it ends the whole process at letters that are not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise ScanError("its path is not written in UTF-8", "Rename it in plain letters.", path) from None
    ending = ending_of(path, NIFTI_ENDINGS)
    if ending and path.name[-len(ending) :] not in (ending, ending.upper()):
        raise ScanError("its ending mixes small and capital letters", f"Rename it to end in {ending}.", path)


def _reason(error: Exception) -> str:
    """The telling part of an error message: what ITK says after its last ERROR mark, less its own inner matters.

    ITK gives the address of its reader, and a stale "No such file" as the reason for any failure to read a .mha file.
    """
    text = str(error).rsplit("ERROR:", 1)[-1].strip()
    text = re.sub(r"\w+\(0x[0-9a-f]+\): |\s*Reason: No such file or directory", "", text)
    return " ".join(text.split())[:200] or type(error).__name__


def _read_image(path: Path) -> Volume:
    sitk.ProcessObject.GlobalWarningDisplayOff()
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        if "orthonormal" not in str(error):
            raise
        return _read_skewed_nifti(path)
    return volume_of(image, path)


def volume_of(image: sitk.Image, path: Path) -> Volume:
    """An ITK image as a volume of one or more channels.

    Args:
        image: of three dimensions, or of four or of vectors with the channels.
        path: the image's file, or a name for messages.

    Raises:
        ScanError: it has other dimensions.
    """
    components = image.GetNumberOfComponentsPerPixel()
    channel_axes = [n for n in (*image.GetSize()[3:], components) if n > 1]
    if image.GetDimension() < 3 or len(channel_axes) > 1:
        raise ScanError(
            f"has {image.GetDimension()} dimensions {image.GetSize()}, not 3 (or 4 with channels)",
            "Export one 3D volume for each channel.",
            path,
        )
    array = sitk.GetArrayFromImage(image)
    if components > 1:
        array = np.moveaxis(array, -1, 0)
    return Volume(array.reshape(-1, *array.shape[-3:]), Grid.of(image))


def _read_skewed_nifti(path: Path) -> Volume:
    """Read a NIfTI file whose axes are not quite perpendicular, on the nearest grid whose axes are."""
    import nibabel

    image: Any = nibabel.load(path)
    affine = LPS_FROM_RAS @ image.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(affine[:3, :3] / spacing)
    direction = left @ right
    size = np.array(image.shape[:3])
    centre = affine[:3, :3] @ ((size - 1) / 2) + affine[:3, 3]
    origin = centre - direction @ (spacing * (size - 1) / 2)
    grid = Grid(tuple(int(n) for n in size), tuple(spacing), tuple(origin), tuple(direction.ravel()))
    skewed = Grid(grid.size, grid.spacing, tuple(affine[:3, 3]), tuple((affine[:3, :3] / spacing).ravel()))
    apart = distance_mm(grid, skewed)
    if apart > LARGEST_SKEW_VOXELS * spacing.min():
        raise ScanError(
            f"has axes that are not perpendicular (voxels up to {apart:.3g} mm off a rectangular grid)",
            "Resample it to a rectangular grid.",
            path,
        )
    array = np.asanyarray(image.dataobj)
    array = array.reshape(*array.shape[:3], -1).transpose(3, 2, 1, 0)
    warning = f"its axes are not quite perpendicular; taken as the nearest rectangular grid (up to {apart:.3g} mm)"
    return Volume(array, grid, warnings=[warning])


def _read_arrays(path: Path, spacing: tuple[float, ...] | None, content: str) -> Volume:
    names: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        array = loaded
    else:
        with loaded:
            array, names, unused = _pick_from_npz({key: loaded[key] for key in loaded.files}, path, content)
    channels = array if names else _channels_first(array, path)
    if channels.ndim != 4:
        raise ScanError(f"holds arrays of shape {channels.shape[1:]}, not 3D volumes", "Save (x, y, z) arrays.", path)
    if channels.shape[1] < FEWEST_ROWS:
        raise ScanError(f"has shape {array.shape}: no head is {channels.shape[1]} wide in x", SAVE_ALL_AXES, path)
    channels = channels.transpose(0, 3, 2, 1)
    z, y, x = channels.shape[1:]
    return Volume(channels, Grid((x, y, z), spacing or (1.0, 1.0, 1.0)), has_geometry=False, names=names, unused=unused)


def _pick_from_npz(
    arrays: dict[str, np.ndarray], path: Path, content: str
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """The array that is meant, the channel names if the keys tell them, and the keys left over.

    Named channels come stacked, (C, x, y, z): ADC, DWI and all others of their shape.
    """
    if len(arrays) == 1:
        return next(iter(arrays.values())), (), ()
    keys = {key.lower(): key for key in arrays}
    if content == "image" and all(key in keys for key in CHANNEL_KEYS):
        shape = arrays[keys[CHANNEL_KEYS[0]]].shape
        others = [key for key in keys if key not in (*CHANNEL_KEYS, *MASK_KEYS) and arrays[keys[key]].shape == shape]
        named = (*CHANNEL_KEYS, *others)
        unused = tuple(keys[key] for key in keys if key not in named)
        return np.stack([arrays[keys[key]] for key in named]), tuple(key.upper() for key in named), unused
    for key in IMAGE_KEYS if content == "image" else MASK_KEYS:
        if key in keys:
            return arrays[keys[key]], (), ()
    wanted = "adc and dwi, or image" if content == "image" else "mask"
    raise ScanError(f"holds several arrays: {', '.join(arrays)}", f"Save one array, or name them {wanted}.", path)


def _channels_first(array: np.ndarray, path: Path) -> np.ndarray:
    """(x, y, z), (x, y, z, c) or (c, x, y, z) -> (c, x, y, z).

    The channel axis is the shorter one of the first and the last that leaves an x axis a head can have; the last when
    they are equal.

    Raises:
        ScanError: the shape is none of these, or may be two of them.
    """
    if array.ndim == 3:
        if array.shape[0] < FEWEST_ROWS or 1 < array.shape[-1] < FEWEST_SLICES:
            raise ScanError(
                f"has shape {array.shape}, where the shortest axis may be slices or channels", SAVE_ALL_AXES, path
            )
        return array[None]
    first, last = array.shape[0], array.shape[-1]
    may_be_first = array.ndim == 4 and first <= MOST_CHANNELS and array.shape[1] >= FEWEST_ROWS
    may_be_last = array.ndim == 4 and last <= MOST_CHANNELS and first >= FEWEST_ROWS
    if array.ndim == 4 and last == 1 and first >= FEWEST_ROWS_OF_ONE_CHANNEL:
        return np.moveaxis(array, -1, 0)
    if may_be_first and may_be_last and last == 1:
        raise ScanError(
            f"has shape {array.shape}: one slice of {first} channels, or one channel of {first} rows",
            "Save a single channel as (x, y, z), several as (x, y, z, channels).",
            path,
        )
    if may_be_first and not (may_be_last and last <= first):
        return array
    if may_be_last:
        return np.moveaxis(array, -1, 0)
    raise ScanError(
        f"has shape {array.shape}, not (x, y, z), (x, y, z, channels) or (channels, x, y, z)",
        "Save one 3D array a channel, or a 4D array with channels last.",
        path,
    )
