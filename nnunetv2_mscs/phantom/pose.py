"""One head's size, and how it lies in the scanner."""

from dataclasses import dataclass

import numpy as np

from nnunetv2_mscs.phantom.shapes import Points

# Head lengths and breadths of adults differ by about 4 %; heads in a coil turn and tilt by some degrees.
SIZE_DEVIATION, SIZE_LIMITS = 0.035, (0.9, 1.08)
TURN_DEVIATION_DEGREES, TILT_DEVIATION_DEGREES, ROLL_DEVIATION_DEGREES = 4.0, 5.0, 3.0
SHIFT_DEVIATION_MM = (2.5, 3.0, 3.0)


@dataclass(frozen=True)
class Pose:
    """The transform from the scanner's world (LPS, mm) to the head's frame: left, front, up, in mm of a standard head.

    Args:
        matrix: (3, 3); its columns are the head's axes in the world, each as long as the head is large along it.
        centre: of the head's frame in the world.
    """

    matrix: np.ndarray
    centre: np.ndarray

    def to_head(self, world: Points) -> Points:
        """World coordinates, arrays that broadcast together, in the head's frame."""
        inverse = np.linalg.inv(self.matrix).astype(np.float32)
        offset = [p - np.float32(c) for p, c in zip(world, self.centre, strict=True)]
        u, v, w = (row[0] * offset[0] + row[1] * offset[1] + row[2] * offset[2] for row in inverse)
        return u, v, w

    def mirror(self, world: np.ndarray) -> np.ndarray:
        """World points (N, 3) reflected in the head's mid-plane."""
        head = (world - self.centre) @ np.linalg.inv(self.matrix).T
        head[:, 0] *= -1
        return head @ self.matrix.T + self.centre


def draw_pose(rng: np.random.Generator) -> Pose:
    """A head of a random size, turned, tilted, rolled and shifted a little."""
    common, *single = rng.standard_normal(4) * SIZE_DEVIATION
    size = np.clip(1 + common + 0.5 * np.array(single), *SIZE_LIMITS)
    deviations = (TURN_DEVIATION_DEGREES, TILT_DEVIATION_DEGREES, ROLL_DEVIATION_DEGREES)
    angles = np.radians(np.clip(rng.standard_normal(3), -2, 2) * deviations)
    turn, tilt, roll = (_rotation(axis, angle) for axis, angle in zip((2, 0, 1), angles, strict=True))
    to_front = np.diag([1.0, -1.0, 1.0])
    centre = np.clip(rng.standard_normal(3), -2, 2) * SHIFT_DEVIATION_MM + [0, 2, -8]
    return Pose(turn @ tilt @ roll @ to_front @ np.diag(size), centre)


def _rotation(axis: int, angle: float) -> np.ndarray:
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix
