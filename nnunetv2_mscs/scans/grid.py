"""Where the voxels of a volume lie in the patient, and when two volumes lie alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import SimpleITK as sitk

SMALLEST_SPACING_MM, LARGEST_SPACING_MM = 0.01, 100.0
# Letters for the directions that the axes of ITK's world point to, and for the opposite ones.
TOWARDS, AWAY = "LPS", "RAI"
ALL_AXES = tuple("".join(letters) for order in permutations(("LR", "PA", "SI")) for letters in product(*order))
# Settles to which of the patient's axes a volume's axes belong that stand half-way, by where they point, not by their
# order in the file: too small to change anything else.
HALF_WAY = 1e-3 * np.array([[0.0, 1.0, 2.0], [-1.0, 0.0, 3.0], [-2.0, -3.0, 0.0]])


@dataclass(frozen=True)
class Grid:
    """A regular grid in ITK's convention: axes in the order x, y, z; millimetres; LPS world.

    Args:
        size: voxels along x, y, z.
        spacing: voxel size in mm.
        origin: position of the first voxel's centre in mm.
        direction: the 3x3 matrix of direction cosines, row by row; its columns are the axes' directions.
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    @classmethod
    def of(cls, image: sitk.Image) -> "Grid":
        """The grid of the first three axes of an ITK image of three or more dimensions."""
        dimension = image.GetDimension()
        direction = np.reshape(image.GetDirection(), (dimension, dimension))[:3, :3]
        return cls(
            tuple(image.GetSize()[:3]),
            tuple(image.GetSpacing()[:3]),
            tuple(image.GetOrigin()[:3]),
            tuple(float(cosine) for cosine in direction.ravel()),
        )

    @property
    def matrix(self) -> np.ndarray:
        """Direction cosines, (3, 3), a column an axis."""
        return np.reshape(self.direction, (3, 3))

    @property
    def axes(self) -> str:
        """The direction of the patient that x, y and z point to, or are nearest to, such as LPS or RAS.

        L and R are left and right, P and A back and front, S and I head and feet, as nibabel and ITK have them.
        """
        belonging = nearest_axes(self.matrix)
        letters = {
            axis: TOWARDS[world] if self.matrix[world, axis] > 0 else AWAY[world]
            for world, axis in enumerate(belonging)
        }
        return "".join(letters[axis] for axis in range(3))

    @property
    def shape(self) -> tuple[int, int, int]:
        """The array's shape, (Z, Y, X)."""
        return self.size[2], self.size[1], self.size[0]

    @property
    def voxel_volume_ml(self) -> float:
        return float(np.prod(self.spacing)) / 1000.0

    @property
    def tolerance_mm(self) -> float:
        """How far voxels of two grids may lie apart and still be called the same: 1 % of a voxel, or 0.01 mm."""
        return max(0.01, 0.01 * min(self.spacing))

    def corners_mm(self) -> np.ndarray:
        """World positions of the eight corner voxels, (8, 3)."""
        indices = np.array(list(product(*((0, n - 1) for n in self.size))), dtype=float)
        return np.asarray(self.origin) + (indices * self.spacing) @ self.matrix.T

    def place(self, image: sitk.Image) -> sitk.Image:
        """Give an ITK image of this size this grid's geometry."""
        image.SetSpacing([float(s) for s in self.spacing])
        image.SetOrigin([float(o) for o in self.origin])
        image.SetDirection([float(d) for d in self.direction])
        return image

    def __str__(self) -> str:
        axes = "; ".join(_join(column, ", ") for column in self.matrix.T)
        return f"{_join(self.size)} voxels of {_join(self.spacing)} mm from ({_join(self.origin, ', ')}), axes ({axes})"


def _join(values: Sequence[float] | np.ndarray, separator: str = "x") -> str:
    return separator.join(f"{round(float(value), 4) + 0.0:g}" for value in values)


def distance_mm(a: Grid, b: Grid) -> float:
    """The farthest that any voxel of `b` lies from the voxel of the same index in `a`; infinite if sizes differ.

    The distance between two affine maps is greatest at a corner of the index box, so eight corners give it exactly.
    """
    if a.size != b.size:
        return float("inf")
    return float(np.linalg.norm(a.corners_mm() - b.corners_mm(), axis=1).max())


def nearest_axes(cosines: np.ndarray) -> tuple[int, ...]:
    """For each row of a (3, 3) matrix of direction cosines the column that belongs to it, each column once.

    The columns are given to the rows so that the sum of their absolute cosines is the largest.
    """

    def fit(columns: tuple[int, ...]) -> float:
        ordered = cosines[:, columns]
        signs = np.where(np.diag(ordered) < 0, -1.0, 1.0)
        return float(np.abs(np.diag(ordered)).sum() + (HALF_WAY * ordered * signs).sum())

    return max(permutations(range(3)), key=fit)


def spacing_is_sane(spacing: Sequence[float]) -> bool:
    """Whether a voxel size in mm can be one of a scan of a head."""
    return all(np.isfinite(s) and SMALLEST_SPACING_MM <= s <= LARGEST_SPACING_MM for s in spacing)
