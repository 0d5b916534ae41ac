"""Two grids over one head: smooth level sets are made on the coarse one and read on the fine one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from nnunetv2_mscs.phantom.pose import Pose
from nnunetv2_mscs.phantom.random_fields import Axes
from nnunetv2_mscs.phantom.settings import PhantomSettings
from nnunetv2_mscs.phantom.shapes import Points

COARSE_MM = 2.4
FINE_IN_PLANE_MM, FINE_THROUGH_PLANE_MM = 0.8, 1.6
MOST_PARTS_IN_PLANE, MOST_SUB_SLICES = 5, 8
HALF_HEAD_MM = (88.0, 110.0)


@dataclass(frozen=True)
class Axis:
    """The positions in mm of one axis of the voxels, cut down to the head, and of the two grids laid over it.

    Args:
        first: index of the first voxel kept.
        count: of voxels kept.
        parts: fine cells a voxel.
        fine: their positions.
        coarse: positions of the coarse grid.
    """

    first: int
    count: int
    parts: int
    fine: np.ndarray
    coarse: np.ndarray

    @classmethod
    def over(cls, origin: float, spacing: float, size: int, parts: int, low: float, high: float) -> "Axis":
        """The voxels between the positions `low` and `high`, each of `parts` fine cells."""
        first = int(np.clip(np.floor((low - origin) / spacing), 0, size - 1)) if np.isfinite(low) else 0
        last = int(np.clip(np.ceil((high - origin) / spacing), first, size - 1)) if np.isfinite(high) else size - 1
        count = last - first + 1
        start = origin + (first - 0.5) * spacing
        fine = start + (np.arange(count * parts) + 0.5) * spacing / parts
        knots = int(np.ceil((fine[-1] - fine[0]) / COARSE_MM)) + 5
        coarse = fine[0] + COARSE_MM * (np.arange(knots) - 1.5)
        return cls(first, count, parts, fine.astype(np.float32), coarse.astype(np.float32))

    @property
    def kept(self) -> slice:
        return slice(self.first, self.first + self.count)

    def interpolation(self) -> sparse.csr_matrix:
        """Catmull-Rom weights (fine, coarse): cubic, through the knots."""
        place = (self.fine - self.coarse[0]) / COARSE_MM
        knot = np.floor(place).astype(int)
        t = place - knot
        weights = [
            ((-t + 2) * t - 1) * t / 2,
            ((3 * t - 5) * t * t + 2) / 2,
            ((-3 * t + 4) * t + 1) * t / 2,
            (t - 1) * t * t / 2,
        ]
        rows = np.tile(np.arange(len(t)), 4)
        columns = np.concatenate([knot + shift for shift in (-1, 0, 1, 2)])
        values = np.concatenate(weights).astype(np.float32)
        return sparse.csr_matrix((values, (rows, columns)), shape=(len(t), len(self.coarse)))


@dataclass(frozen=True)
class Grids:
    """The axes x, y, z of both grids in the scanner's world, and the head's pose in it."""

    x: Axis
    y: Axis
    z: Axis
    pose: Pose

    @classmethod
    def around(cls, pose: Pose, settings: PhantomSettings) -> "Grids":
        """Both grids over the part of the volume that the head may fill."""
        grid, scale = settings.grid, np.linalg.norm(pose.matrix, axis=0)
        axes = []
        for i in range(2):
            half = HALF_HEAD_MM[i] * float(scale[i])
            parts = int(np.clip(round(grid.spacing[i] / FINE_IN_PLANE_MM), 2, MOST_PARTS_IN_PLANE))
            middle = float(pose.centre[i])
            axes.append(Axis.over(grid.origin[i], grid.spacing[i], grid.size[i], parts, middle - half, middle + half))
        parts = int(np.clip(round(grid.spacing[2] / FINE_THROUGH_PLANE_MM), 2, MOST_SUB_SLICES))
        axes.append(Axis.over(grid.origin[2], grid.spacing[2], grid.size[2], parts, -np.inf, np.inf))
        x, y, z = axes
        return cls(x, y, z, pose)

    def coarse_points(self) -> Points:
        """Coordinates in the head's frame of the coarse grid, each (Z, Y, X)."""
        return self._head_points(self.x.coarse, self.y.coarse, self.z.coarse)

    def fine_points(self, index: int) -> Points:
        """Coordinates in the head's frame of one fine slice, each (Y, X)."""
        u, v, w = self._head_points(self.x.fine, self.y.fine, self.z.fine[index : index + 1])
        return u[0], v[0], w[0]

    @property
    def coarse_axes(self) -> Axes:
        """Positions in the world of the coarse grid along z, y, x, in mm."""
        return self.z.coarse, self.y.coarse, self.x.coarse

    @property
    def voxel_axes(self) -> Axes:
        """Positions in the world of the voxels around the head along z, y, x, in mm."""
        z, y, x = (axis.fine.reshape(axis.count, axis.parts).mean(axis=1) for axis in (self.z, self.y, self.x))
        return z, y, x

    def voxel_points(self) -> Points:
        """Coordinates in the head's frame of the voxels around the head, each (Z, Y, X)."""
        z, y, x = self.voxel_axes
        return self._head_points(x, y, z)

    @property
    def voxels(self) -> tuple[slice, slice, slice]:
        """Where the voxels around the head lie in the whole volume, (Z, Y, X)."""
        return self.z.kept, self.y.kept, self.x.kept

    @property
    def fine_volume_ml(self) -> float:
        """The volume of a fine cell."""
        steps = [float(axis.fine[1] - axis.fine[0]) for axis in (self.x, self.y, self.z)]
        return float(np.prod(steps)) / 1000

    def slices(self, fields: Mapping[str, np.ndarray]) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Fields of the coarse grid, (Z, Y, X), read on one fine slice after the other, each (Y, X)."""
        in_plane = {name: self._in_plane(field) for name, field in fields.items()}
        for index, weights in enumerate(self.z.interpolation().toarray()):
            used = slice(*np.flatnonzero(weights)[[0, -1]] + [0, 1])
            yield index, {name: np.tensordot(weights[used], planes[used], 1) for name, planes in in_plane.items()}

    def averaged(self, slices: np.ndarray) -> np.ndarray:
        """The means over the voxels of the plane of fine cells, (Y, X) -> (voxels in y, voxels in x)."""
        return slices.reshape(self.y.count, self.y.parts, self.x.count, self.x.parts).mean(axis=(1, 3))

    def _in_plane(self, field: np.ndarray) -> np.ndarray:
        depth, height, width = field.shape
        along_x = self.x.interpolation() @ field.reshape(-1, width).T
        along_x = along_x.reshape(-1, depth, height).transpose(2, 1, 0)
        along_y = self.y.interpolation() @ along_x.reshape(height, -1)
        return np.ascontiguousarray(along_y.reshape(-1, depth, len(self.x.fine)).swapaxes(0, 1))

    def _head_points(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> Points:
        return self.pose.to_head((x[None, None, :], y[None, :, None], z[:, None, None]))
