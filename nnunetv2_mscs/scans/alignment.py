"""Bring the volumes of one scan onto one grid: by their headers, never by index."""

import numpy as np
import SimpleITK as sitk

from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.grid import AWAY, TOWARDS, Grid, distance_mm, nearest_axes

SAME_GRID = "Export both from one series, or let --resample bring them onto the DWI's grid."


def align(
    array: np.ndarray,
    grid: Grid,
    reference: Grid,
    *,
    what: str,
    reference_name: str,
    resample: bool = False,
    is_mask: bool = False,
) -> tuple[np.ndarray, list[str]]:
    """The volume `array` on the grid `reference`.

    Axes that point another way are swapped and flipped, which is exact. What then lies within the grid's tolerance is
    taken to be the same grid.

    Args:
        array: (C, Z, Y, X) on `grid`.
        grid: where the array's voxels lie.
        reference: the grid to bring it to.
        what: the volume's name in messages, such as "ADC".
        reference_name: the name of the volume that gave the reference.
        resample: interpolate if the grids really differ (linear, or nearest neighbour for masks).
        is_mask: the array holds labels.

    Returns:
        The array on the reference grid, and warnings.

    Raises:
        ScanError: the grids differ and `resample` is off, or they do not overlap.
    """
    stored = grid
    array, grid = turn(array, stored, reference)
    apart = distance_mm(reference, grid)
    if apart <= reference.tolerance_mm:
        return array, []
    if resample:
        return _resampled(array, grid, reference, what=what, reference_name=reference_name, is_mask=is_mask)
    how = "in size" if np.isinf(apart) else f"by up to {apart:.3g} mm"
    raise ScanError(
        f"{what} and {reference_name} lie on different grids ({how}). {what}: {stored}. {reference_name}: {reference}",
        SAME_GRID,
    )


def turn(array: np.ndarray, grid: Grid, reference: Grid) -> tuple[np.ndarray, Grid]:
    """Swap and flip the axes of a (C, Z, Y, X) array to run the way of the reference's axes, and its grid with them."""
    axes, flipped = _turning(grid, reference)
    array = array.transpose(0, *(3 - axes[i] for i in (2, 1, 0)))
    return np.flip(array, tuple(3 - i for i in range(3) if flipped[i])), turned(grid, reference)


def turned(grid: Grid, reference: Grid) -> Grid:
    """A grid with its axes in the order and direction of the reference's axes."""
    axes, flipped = _turning(grid, reference)
    origin = np.array(grid.origin)
    direction = np.empty((3, 3))
    for i, axis in enumerate(axes):
        direction[:, i] = grid.matrix[:, axis] * (-1 if flipped[i] else 1)
        if flipped[i]:
            origin = origin + grid.matrix[:, axis] * grid.spacing[axis] * (grid.size[axis] - 1)
    return Grid(
        tuple(grid.size[axis] for axis in axes),
        tuple(grid.spacing[axis] for axis in axes),
        tuple(float(o) for o in origin),
        tuple(float(d) for d in direction.ravel()),
    )


def along(axes: str, grid: Grid) -> Grid:
    """The grid stored along other axes: x, y and z point to `axes`, or are nearest to them.

    Args:
        axes: directions of the patient, as in `Grid.axes`.
        grid: any grid.
    """
    belonging = nearest_axes(grid.matrix)
    columns = []
    for letter in axes:
        world = (TOWARDS if letter in TOWARDS else AWAY).index(letter)
        column = grid.matrix[:, belonging[world]]
        columns.append(column if (column[world] > 0) == (letter in TOWARDS) else -column)
    direction = tuple(float(cosine) for cosine in np.stack(columns, axis=1).ravel())
    return turned(grid, Grid(grid.size, grid.spacing, direction=direction))


def _turning(grid: Grid, reference: Grid) -> tuple[tuple[int, ...], list[bool]]:
    """Which axis of the grid becomes x, y and z, and whether it is flipped."""
    cosines = reference.matrix.T @ grid.matrix
    axes = nearest_axes(cosines)
    return axes, [bool(cosines[i, axis] < 0) for i, axis in enumerate(axes)]


def _resampled(
    array: np.ndarray, grid: Grid, reference: Grid, *, what: str, reference_name: str, is_mask: bool
) -> tuple[np.ndarray, list[str]]:
    covered = _resample_one(np.ones(grid.shape, np.uint8), grid, reference, sitk.sitkNearestNeighbor).mean()
    if covered == 0:
        raise ScanError(
            f"{what} and {reference_name} do not overlap in space. {what}: {grid}. {reference_name}: {reference}",
            "They are not of one scan, or a header is wrong.",
        )
    method, name = (sitk.sitkNearestNeighbor, "nearest") if is_mask else (sitk.sitkLinear, "linear")
    source = array if is_mask else array.astype(np.float32)
    result = np.stack([_resample_one(channel, grid, reference, method) for channel in source])
    warnings = [f"{what} was resampled ({name}) onto the grid of {reference_name}"]
    if covered < 0.999:
        warnings.append(f"{what} covers only {covered:.1%} of the grid of {reference_name}; the rest is 0")
    return result, warnings


def _resample_one(array: np.ndarray, grid: Grid, reference: Grid, method: int) -> np.ndarray:
    image = grid.place(sitk.GetImageFromArray(np.ascontiguousarray(array)))
    target = reference.place(sitk.Image([int(n) for n in reference.size], sitk.sitkUInt8))
    return sitk.GetArrayFromImage(sitk.Resample(image, target, sitk.Transform(), method, 0.0))
