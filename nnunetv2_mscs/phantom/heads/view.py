"""A head before the scanner: where the points of the computation lie in its label map and in MNI space."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import polar

from nnunetv2_mscs.phantom.heads.label_maps import HeadMap
from nnunetv2_mscs.phantom.random_fields import smooth_field

FINE_MM = 1.3
FINE_SIZE = (176, 144)  # rows, columns
Array = np.ndarray


@dataclass(frozen=True)
class Slices:
    """Positions along the patient's axis.

    Args:
        centres: of the slices, mm.
        offsets: of the sub-slices from the centre, mm.
        weights: of the sub-slices, with sum 1.
    """

    centres: Array
    offsets: Array
    weights: Array


class View:
    """Points (slice, sub-slice, row, column) of the fine grid, and the head that lies under them.

    Rows run to the patient's back and columns to the left (ITK's LPS).

    Args:
        head: the label map.
        slices: along the patient's axis, mm from the scanner's centre.
        pose: how the head lies.
        step: keep every so many-th row and column.
    """

    def __init__(self, head: HeadMap, slices: Slices, pose: "HeadPose", step: int = 1):
        self.head, self.slices, self.pose = head, slices, pose
        rows, columns = FINE_SIZE
        self.y = ((np.arange(rows) - (rows - 1) / 2) * FINE_MM)[::step]
        self.x = ((np.arange(columns) - (columns - 1) / 2) * FINE_MM)[::step]

    @property
    def axes(self) -> tuple[Array, Array, Array]:
        """Slices, rows and columns in mm."""
        return self.slices.centres, self.y, self.x

    def field(self, rng: np.random.Generator, wavelength_mm: float) -> Array:
        """A smooth field (slice, row, column) of deviation 1."""
        return smooth_field(rng, self.axes, wavelength_mm)

    @cached_property
    def _centre_points(self) -> Array:
        """Head voxels (3, slice, row, column) of the slices' centres."""
        z, y, x = np.meshgrid(*(axis.astype(np.float32) for axis in self.axes), indexing="ij", sparse=True)
        points = np.stack([sum(self.pose.matrix[i, j] * a for j, a in enumerate((x, y, z))) for i in range(3)])
        points = points.astype(np.float32) + self.pose.centre.astype(np.float32)[:, None, None, None]
        for i, (seed, wavelength) in enumerate(self.pose.bends):
            bend = self.field(np.random.default_rng(seed), wavelength)
            points[i] += np.float32(self.pose.bend_mm) * bend
        return points

    def points(self) -> Array:
        """Head voxels (3, slice, sub-slice, row, column), float32."""
        along = self.pose.matrix[:, 2].astype(np.float32)
        steps = along[:, None] * self.slices.offsets.astype(np.float32)
        return self._centre_points[:, :, None] + steps[:, None, :, None, None]

    @cached_property
    def mni(self) -> Array:
        """MNI coordinates in mm (3, slice, row, column) of the slices' centres."""
        return affine(self.head.to_mni, self._centre_points)

    def from_mni(self, place: Array) -> Array:
        """Where a place of MNI space lies: mm along z, y, x of this view, bends apart."""
        voxel = np.linalg.solve(self.head.to_mni, np.append(place, 1.0))[:3]
        return np.linalg.solve(self.pose.matrix, voxel - self.pose.centre)[::-1]

    def from_voxel(self, voxel: Array) -> Array:
        """Where a voxel of the head lies: mm along z, y, x of this view, bends apart."""
        return np.linalg.solve(self.pose.matrix, np.asarray(voxel, float) - self.pose.centre)[::-1]

    def symmetric_field(self, rng: np.random.Generator, wavelength_mm: float) -> Array:
        """A smooth field (slice, row, column) that is the same in both hemispheres."""
        reach, step = 110.0, wavelength_mm / 8
        axis = np.arange(-reach, reach + step, step)
        side = axis[axis >= -step]
        coarse = smooth_field(rng, (axis, axis, side), wavelength_mm)
        half = self.mni[:, :, ::2, ::2]
        place = np.stack(
            [(np.abs(half[0]) - side[0]) / step, (half[1] + 20 + reach) / step, (half[2] - 10 + reach) / step]
        )
        field = torch.from_numpy(interpolate(coarse.transpose(2, 1, 0), place.astype(np.float32)))[:, None]
        return F.interpolate(field, self.mni.shape[2:], mode="bilinear", align_corners=False)[:, 0].numpy()


@dataclass(frozen=True)
class HeadPose:
    """How a head lies in the scanner, its size, and how it is bent.

    Args:
        matrix: 3x3, mm along (x, y, z) of the scanner, LPS, to voxels of the head.
        centre: voxel under the scanner's centre.
        bends: seed and wavelength in mm of the bend along each axis of the head.
        bend_mm: deviation of the bends.
    """

    matrix: Array
    centre: Array
    bends: tuple[tuple[int, float], ...]
    bend_mm: float


def draw_pose(head: HeadMap, rng: np.random.Generator) -> HeadPose:
    """Turned within 8 degrees of MNI's axes (pitch within 16), 90 to 112 % of its size, sides exchanged in half."""
    upright, _ = polar(head.to_mni[:3, :3])
    pitch = np.clip(rng.normal(0, 7), -16, 16)
    angles = np.deg2rad([pitch, rng.uniform(-7, 7), rng.uniform(-9, 9)])
    size = rng.uniform(0.96, 1.04, 3) * rng.uniform(0.92, 1.08)
    to_ras = np.diag([-1.0, -1.0, 1.0])
    mirror = np.diag([float(rng.choice([-1.0, 1.0])), 1.0, 1.0])
    matrix = upright.T @ mirror @ rotation(angles) @ np.diag(1 / size) @ to_ras
    centre = head.centre() + matrix @ rng.uniform((-6, -6, -4), (6, 6, 4))
    bends = tuple((int(rng.integers(1 << 31)), float(rng.uniform(45, 90))) for _ in range(3))
    return HeadPose(matrix, centre, bends, float(rng.uniform(0.4, 2.2)))


def rotation(angles: Sequence[float] | Array) -> Array:
    """Turns about x, then y, then z, radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def affine(matrix: Array, points: Array) -> Array:
    """A 4x4 map of points (3, ...), float32."""
    matrix = matrix.astype(np.float32)
    shift = matrix[:3, 3].reshape(3, *[1] * (points.ndim - 1))
    return np.tensordot(matrix[:3, :3], points, axes=1) + shift


def interpolate(volume: Array, points: Array, *, nearest: bool = False) -> Array:
    """Values of a volume (x, y, z) at points (3, ...) in voxels; 0 outside."""
    shape = points.shape[1:]
    scale = [2 / max(n - 1, 1) for n in volume.shape]
    grid = torch.empty((1, 1, 1, points[0].size, 3))
    for i in range(3):  # grid_sample wants the last axis first
        grid[0, 0, 0, :, 2 - i] = torch.from_numpy(np.ascontiguousarray(points[i]).reshape(-1) * scale[i] - 1)
    source = torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))[None, None]
    mode = "nearest" if nearest else "bilinear"
    return F.grid_sample(source, grid, mode=mode, align_corners=True, padding_mode="zeros").numpy().reshape(shape)
