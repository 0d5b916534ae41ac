"""From signals on the fine grid to images as a hospital stores them: resolution, noise, ADC map, stripping."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from nnunetv2_mscs.phantom.heads.artefacts import ghosts, slice_factors
from nnunetv2_mscs.phantom.heads.view import FINE_MM, FINE_SIZE, Slices
from nnunetv2_mscs.phantom.random_fields import smooth_field

Array = np.ndarray
PARENCHYMA_ADC = 0.75
LARGEST_STORED = 32000


@dataclass(frozen=True)
class HeadProtocol:
    """How a scan is made and stored.

    Args:
        spacing: of the stored images along x, y, z, mm.
        size: voxels along x and y.
        acquired_mm: in-plane resolution before any interpolation.
        thickness_mm: of a slice; more than the spacing where slices were interpolated.
        noise: standard deviation as a fraction of white matter's signal in the DWI.
        bias: deviation of the logarithm of coil sensitivity.
        ghost: strength of the ghost of each image.
        shift_mm: of the b0 against the DWI along y and x.
        air: what the ADC is in air: "zero", "clipped" (noise, not negative) or "noise".
        stripped: whether the skull is removed.
    """

    spacing: tuple[float, float, float]
    size: tuple[int, int]
    acquired_mm: float
    thickness_mm: float
    noise: float
    bias: float
    ghost: float
    shift_mm: tuple[float, float]
    air: str
    stripped: bool

    def slices(self, lowest: float, highest: float) -> Slices:
        """Slices over this range, with 2 to 4 sub-slices whose weights fall to the slice's borders."""
        step = self.spacing[2]
        count = max(1, int((highest - lowest) / step))
        centres = (lowest + highest) / 2 + (np.arange(count) - (count - 1) / 2) * step
        parts = int(np.clip(round(self.thickness_mm / 1.6), 2, 4))
        offsets = ((np.arange(parts) + 0.5) / parts - 0.5) * self.thickness_mm
        weights = np.ones(parts)
        if self.thickness_mm > 1.2 * step:
            weights = 1.2 - np.abs(offsets) / self.thickness_mm * 2
        return Slices(centres, offsets, weights / weights.sum())


def draw_protocol(rng: np.random.Generator) -> HeadProtocol:
    """2 mm in all directions as ISLES'22 stores its scans, thick slices as hospitals do, or slices of 2.5 to 3.5 mm."""
    uniform = rng.uniform
    form = str(rng.choice(["isotropic", "thick", "medium"], p=[0.45, 0.4, 0.15]))
    acquired = uniform(0.9, 2.0)
    if form == "isotropic":
        spacing, step, thickness, field = 2.0, 2.0, uniform(2.0, 6.0), 224.0
    else:
        step = uniform(3.8, 7.0) if form == "thick" else uniform(2.5, 3.8)
        thickness, field = step * uniform(0.75, 1.0), uniform(220, 256)
        spacing = acquired
        if acquired > 1.5 and rng.random() < 0.6:  # scanners interpolate to twice the matrix
            spacing = acquired / 2
    count = round(field / spacing)
    return HeadProtocol(
        spacing=(spacing, spacing, step),
        size=(count, count),
        acquired_mm=acquired,
        thickness_mm=thickness,
        noise=uniform(0.02, 0.10) * (0.75 if form == "isotropic" else 1.0),
        bias=uniform(0.03, 0.16),
        ghost=uniform(0.01, 0.06) if rng.random() < 0.4 else 0.0,
        shift_mm=tuple(rng.normal(0, 0.8, 2)) if rng.random() < 0.3 else (0.0, 0.0),
        air=str(rng.choice(["zero", "clipped", "noise"], p=[0.5, 0.3, 0.2])),
        stripped=bool(rng.random() < (0.75 if form == "isotropic" else 0.25)),
    )


def resample(image: Array, sizes: tuple[int, int], spacing: float) -> Array:
    """(slice, row, column) of the fine grid -> so many rows and columns of this spacing about the same centre."""
    for axis, (count, fine) in enumerate(zip(sizes, FINE_SIZE, strict=True), start=1):
        image = _along(image, axis, (np.arange(count) - (count - 1) / 2) * spacing / FINE_MM + (fine - 1) / 2)
    return image


def _along(image: Array, axis: int, places: Array) -> Array:
    """Linear interpolation along an axis at these places; 0 outside."""
    away = np.abs(places[:, None] - np.arange(image.shape[axis]))
    weights = np.clip(1 - away, 0, None).astype(np.float32)
    return np.ascontiguousarray(np.moveaxis(np.tensordot(weights, image, axes=(1, axis)), 0, axis))


def rescale(image: Array, sizes: tuple[int, int], *, order: int) -> Array:
    """(slice, row, column) -> the same field of view in so many rows and columns."""
    if image.shape[1:] == sizes:
        return image
    places = [(np.arange(new) + 0.5) * old / new - 0.5 for new, old in zip(sizes, image.shape[1:], strict=True)]
    if order == 1:
        return _along(
            _along(image, 1, np.clip(places[0], 0, image.shape[1] - 1)), 2, np.clip(places[1], 0, image.shape[2] - 1)
        )
    grid = np.meshgrid(*places, indexing="ij")
    return np.stack([ndimage.map_coordinates(one, grid, order=order, mode="nearest") for one in image])


def acquire(b0: Array, dwi: Array, protocol: HeadProtocol, b: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """ADC in 10^-3 mm2/s and DWI (slice, row, column) of the stored grid, from noiseless signals of the fine grid."""
    count = round(protocol.size[0] * protocol.spacing[0] / protocol.acquired_mm)
    sizes = (count, count)
    blur = protocol.acquired_mm / FINE_MM * 0.42 * rng.uniform((0.9, 0.8), (1.8, 1.2))
    images = [resample(ndimage.gaussian_filter(x, (0, *blur)), sizes, protocol.acquired_mm) for x in (b0, dwi)]
    axes = (np.linspace(-60, 60, len(b0)), *((np.linspace(-110, 110, count),) * 2))
    sensitivity = np.exp(protocol.bias * smooth_field(rng, axes, rng.uniform(90, 200)))
    images[1] = images[1] * slice_factors(len(b0), rng)[:, None, None]
    sigma = np.float32(protocol.noise * np.exp(-b * PARENCHYMA_ADC))
    noisy = []
    for image, shift in zip(images, (protocol.shift_mm, (0.0, 0.0)), strict=True):
        image = image * sensitivity
        if protocol.ghost:
            image = ghosts(image, protocol.ghost)
        if any(shift):
            image = ndimage.shift(image, (0, *(s / protocol.acquired_mm for s in shift)), order=1)
        real, imaginary = rng.standard_normal((2, *image.shape), dtype=np.float32) * sigma
        noisy.append(rescale(np.hypot(image + real, imaginary), protocol.size, order=_order(protocol)))
    b0, dwi = (np.maximum(image, 0) for image in noisy)
    adc = np.log(np.maximum(b0, 1e-3) / np.maximum(dwi, 1e-3)) / np.float32(b)
    if protocol.air == "zero":
        adc = np.where(b0 > max(rng.uniform(0.1, 0.3), 3 * float(sigma)), np.maximum(adc, 0), 0)
    elif protocol.air == "clipped":
        adc = np.maximum(adc, 0)
    if rng.random() < 0.3:
        adc = np.minimum(adc, rng.uniform(3.0, 4.0))
    return np.clip(adc, -4, 6).astype(np.float32), dwi.astype(np.float32)


def _order(protocol: HeadProtocol) -> int:
    return 3 if protocol.spacing[0] < 0.8 * protocol.acquired_mm else 1


def strip(brain: Array, protocol: HeadProtocol, rng: np.random.Generator) -> Array:
    """A mask of the brain (slice, row, column) as tools find it: too tight or too loose by a few millimetres."""
    spacing = protocol.spacing[0]
    filled = np.stack([ndimage.binary_fill_holes(one > 0.3) for one in brain])
    smooth = ndimage.gaussian_filter(filled.astype(np.float32), (0.5, 2.2 / spacing, 2.2 / spacing))
    axes = (np.arange(len(brain)) * protocol.spacing[2] - 60, *((np.linspace(-110, 110, brain.shape[1]),) * 2))
    wobble = rng.uniform(0.0, 0.25) * smooth_field(rng, (np.clip(axes[0], -149, 149), *axes[1:]), rng.uniform(25, 60))
    return (smooth + wobble > rng.uniform(0.12, 0.6)) & (smooth > 0.04)
