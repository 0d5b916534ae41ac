"""The settings of a set of phantoms, and their limits: the volume must hold a head."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.scans.grid import Grid

# What stroke protocols cover: 230 mm in the plane, 130 mm from the cerebellum to the vertex.
FIELD_OF_VIEW_MM = (230.0, 230.0, 130.0)
SMALLEST_SIZE, LARGEST_SIZE = (32, 32, 4), (512, 512, 128)
SMALLEST_EXTENT_MM, LARGEST_EXTENT_MM = (170.0, 190.0, 60.0), (600.0, 600.0, 400.0)
LARGEST_NOISE = 0.15

Air = Literal["zero", "noise"]
Lesions = Literal["any", "scattered"]


@dataclass(frozen=True)
class PhantomSettings:
    """How the scans of a set are made.

    Args:
        size: voxels along x, y, z.
        spacing: voxel size in mm; by default the volume covers 230 x 230 x 130 mm.
        noise: standard deviation of the receiver's noise as a fraction of white matter's b0 signal, up to 0.15.
        lesion_free: probability that a case has no acute lesion.
        air: the ADC where there is no signal: 0, as most scanners write, or what noise gives.
        lesions: acute infarcts of any kind and size, or a shower of many small ones in every case that has any.

    Raises:
        MscsError: a value out of range, or a volume that cannot hold a head.
    """

    size: tuple[int, int, int] = (192, 192, 20)
    spacing: tuple[float, float, float] | None = None
    noise: float = 0.03
    lesion_free: float = 0.1
    air: Air = "zero"
    lesions: Lesions = "any"

    def __post_init__(self) -> None:
        for axis, n, fewest, most_voxels in zip("xyz", self.size, SMALLEST_SIZE, LARGEST_SIZE, strict=True):
            if not fewest <= n <= most_voxels:
                raise MscsError(f"a size of {n} voxels along {axis}.", f"Give {fewest} to {most_voxels}.")
        if not 0 <= self.noise <= LARGEST_NOISE:
            raise MscsError(
                f"noise of {self.noise:g}.",
                f"Give a fraction of white matter's b0 signal, 0 to {LARGEST_NOISE}: the ADC is set to 0 where b0 is "
                "below 4 times the noise, and more noise would blank the brain with the air.",
            )
        if not 0 <= self.lesion_free <= 1:
            raise MscsError(f"a lesion-free share of {self.lesion_free:g}.", "Give 0 to 1.")
        if self.air not in ("zero", "noise"):
            raise MscsError(f"air {self.air!r}.", "Give zero or noise.")
        if self.lesions not in ("any", "scattered"):
            raise MscsError(f"lesions {self.lesions!r}.", "Give any or scattered.")
        for axis, extent, least, most in zip("xyz", self.extent_mm, SMALLEST_EXTENT_MM, LARGEST_EXTENT_MM, strict=True):
            if not least <= extent <= most:
                raise MscsError(
                    f"size x spacing along {axis} is {extent:.4g} mm, which "
                    + ("cannot hold a head." if extent < least else "is far more than a head."),
                    f"Choose a size and a spacing that cover {least:g} to {most:g} mm.",
                )

    @property
    def voxel_mm(self) -> tuple[float, float, float]:
        """The voxel size in mm along x, y, z."""
        if self.spacing is not None:
            return self.spacing
        x, y, z = (round(field / n, 4) for field, n in zip(FIELD_OF_VIEW_MM, self.size, strict=True))
        return x, y, z

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        x, y, z = (n * s for n, s in zip(self.size, self.voxel_mm, strict=True))
        return x, y, z

    @property
    def grid(self) -> Grid:
        """Where the voxels lie: x to the left, y to the back, z to the top, 0 at the middle of the volume."""
        origin = -(np.asarray(self.size) - 1) / 2 * self.voxel_mm
        return Grid(self.size, self.voxel_mm, tuple(float(o) for o in origin))
