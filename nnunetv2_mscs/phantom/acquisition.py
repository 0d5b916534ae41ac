"""From signals to images: coil sensitivity, Rician noise, the fit of the ADC, and storing as whole numbers."""

from collections.abc import Sequence

import numpy as np

from nnunetv2_mscs.phantom.grids import Grids
from nnunetv2_mscs.phantom.random_fields import Axes, smooth_field
from nnunetv2_mscs.phantom.settings import Air, PhantomSettings
from nnunetv2_mscs.phantom.shapes import Points
from nnunetv2_mscs.phantom.tissues import B_VALUE

WHITE_MATTER_STORED = (180.0, 420.0)
BIAS_DEVIATION, BIAS_WAVELENGTH_MM = 0.09, 150.0
LARGEST_STORED, LARGEST_STORED_ADC = 4095, 4000
AIR_THRESHOLD = 0.06


def coil_sensitivity(points: Points, axes: Axes, rng: np.random.Generator) -> np.ndarray:
    """A smooth factor around 1: coils near the skin receive more from the rim of the head than from its middle.

    Args:
        points: coordinates in the head's frame of the voxels, mm.
        axes: positions of the same voxels in the scanner, along z, y, x, in mm.
        rng: gives its bends.
    """
    u, v, w = (p / np.float32(90) for p in points)
    rim = np.float32(rng.uniform(0.02, 0.12)) * (u * u + v * v + 0.5 * w * w)
    return np.asarray(np.exp(BIAS_DEVIATION * smooth_field(rng, axes, BIAS_WAVELENGTH_MM) + rim), dtype=np.float32)


def susceptibility(points: Points, spots: Sequence[tuple[float, float, float]], rng: np.random.Generator) -> np.ndarray:
    """A factor above 1 at the skull base, where echo-planar images pile up the signal beside air-filled bone."""
    factor = np.ones(points[0].shape, np.float32)
    for spot in spots:
        squared = sum(
            ((p - c) / r) ** 2 for p, c, r in zip(points, spot, rng.uniform((7, 4, 4), (14, 9, 8)), strict=True)
        )
        factor += np.float32(rng.uniform(0.6, 1.6)) * np.exp(-squared.astype(np.float32))
    return factor


def magnitude(signal: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """The magnitude of a complex signal with Gaussian noise in both of its parts: Rician, Rayleigh in air."""
    real, imaginary = rng.standard_normal((2, *signal.shape), dtype=np.float32) * np.float32(noise)
    return np.asarray(np.hypot(signal + real, imaginary), dtype=np.float32)


def fitted_adc(b0: np.ndarray, dwi: np.ndarray, air: Air, threshold: float) -> np.ndarray:
    """ln(b0 / dwi) / b in 10^-6 mm2/s, int16, from magnitudes as stored.

    Args:
        b0: whole numbers, 0 and above.
        dwi: likewise.
        air: "zero" sets the map to 0 below the threshold, and where it would be negative; "noise" keeps the logarithm
            of the noise, negative values included, and has 0 only where a magnitude is 0.
        threshold: of b0.
    """
    known = (b0 > 0) & (dwi > 0)
    ratio = np.divide(b0, dwi, out=np.ones(b0.shape, np.float32), where=known)
    adc = np.log(ratio) * np.float32(1000 / B_VALUE)
    if air == "zero":
        adc = np.where(b0 > threshold, np.maximum(adc, 0), 0)
    return np.rint(np.clip(adc, -LARGEST_STORED_ADC, LARGEST_STORED_ADC)).astype(np.int16)


def scan(
    b0: np.ndarray,
    dwi: np.ndarray,
    grids: Grids,
    spots: Sequence[tuple[float, float, float]],
    settings: PhantomSettings,
    rng: np.random.Generator,
    noise_rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ADC, DWI and b0 of the whole volume, (z, y, x) int16, from noiseless signals around the head."""
    points = grids.voxel_points()
    texture, diffusion = (np.exp(0.03 * smooth_field(rng, grids.voxel_axes, length)) for length in (11, 17))
    gain = coil_sensitivity(points, grids.voxel_axes, rng) * texture * susceptibility(points, spots, rng)
    stored = float(rng.uniform(*WHITE_MATTER_STORED))
    images = []
    for signal in (b0 * gain, dwi * gain * diffusion):
        whole = np.zeros(settings.grid.shape, np.float32)
        whole[grids.voxels] = signal
        images.append(np.rint(np.minimum(stored * magnitude(whole, settings.noise, noise_rng), LARGEST_STORED)))
    threshold = stored * max(AIR_THRESHOLD, 4 * settings.noise)
    adc = fitted_adc(images[0], images[1], settings.air, threshold)
    return adc, images[1].astype(np.int16), images[0].astype(np.int16)
