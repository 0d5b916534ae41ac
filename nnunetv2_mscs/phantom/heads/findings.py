"""What is bright, dark or slow to diffuse in a head without an acute lesion: normal findings, old lesions, decoys."""

import numpy as np

from nnunetv2_mscs.phantom.heads.label_maps import LAST_OF_BRAIN, HeadTissue
from nnunetv2_mscs.phantom.heads.view import View

Array = np.ndarray
WHITES = (HeadTissue.WHITE, HeadTissue.CEREBELLAR_WHITE)
CORTICES = (HeadTissue.CORTEX, HeadTissue.CEREBELLAR_CORTEX)


class Scene:
    """S0 and ADC at every point of a view, changed in place by what is found in the head.

    Args:
        view: of the head.
        tissues: values of `HeadTissue` (slice, sub-slice, row, column), uint8.
        s0: relative to white matter's, float32 of the same shape.
        adc: 10^-3 mm2/s, likewise.
    """

    def __init__(self, view: View, tissues: Array, s0: Array, adc: Array):
        self.view, self.tissues, self.s0, self.adc = view, tissues, s0, adc
        self.parenchyma = (tissues > 0) & (tissues <= HeadTissue.CEREBELLAR_WHITE)

    def of(self, *tissues: HeadTissue) -> Array:
        return np.isin(self.tissues, tissues)

    def multiply(self, amount: Array, where: Array, s0: float, adc: float) -> None:
        """S0 and ADC times these factors where `amount` (slice, row, column) is 1, in part where it is between."""
        part = amount[:, None] * where
        self.s0 *= 1 + np.float32(s0 - 1) * part
        self.adc *= 1 + np.float32(adc - 1) * part

    def replace(self, amount: Array, where: Array, s0: float, adc: float) -> None:
        part = amount[:, None] * where
        self.s0 += (np.float32(s0) - self.s0) * part
        self.adc += (np.float32(adc) - self.adc) * part


def add_findings(scene: Scene, rng: np.random.Generator) -> None:
    """All that is not an acute lesion; each finding is there in some heads."""
    _outside(scene, rng)
    for finding, probability in FINDINGS:
        if rng.random() < probability:
            finding(scene, rng)


def _blobs(scene: Scene, rng: np.random.Generator, wavelength: float, above: float, symmetric: bool = False) -> Array:
    """Soft-edged patches where a field exceeds `above` deviations."""
    view = scene.view
    field = view.symmetric_field(rng, wavelength) if symmetric else view.field(rng, wavelength)
    return np.clip((field - np.float32(above)) * 2.5 + 0.5, 0, 1)


def _outside(scene: Scene, rng: np.random.Generator) -> None:
    """Muscle, glands, mucosa and marrow: of any brightness in any place, as no two scanners show them alike."""
    outside = scene.tissues > LAST_OF_BRAIN
    view = scene.view
    texture = np.exp(rng.uniform(0.1, 0.5) * view.field(rng, 18) + rng.uniform(0.0, 0.4) * view.field(rng, 7))
    for _ in range(int(rng.integers(0, 4))):
        part = np.clip((view.field(rng, rng.uniform(20, 70)) - rng.uniform(0.2, 1.5)) * 4, 0, 1)
        factor = np.exp(rng.uniform(np.log(0.15), np.log(6)))
        texture *= 1 + np.float32(factor - 1) * part
    scene.s0 *= np.where(outside, texture[:, None], np.float32(1))
    scene.adc *= np.where(outside, np.exp(0.3 * view.field(rng, 15))[:, None], np.float32(1))


def _tracts(scene: Scene, rng: np.random.Generator) -> None:
    """Tracts along which water diffuses less in the directions measured: bright, on both sides."""
    where = scene.of(*WHITES, HeadTissue.BRAINSTEM, HeadTissue.DEEP_GREY)
    amount = _blobs(scene, rng, rng.uniform(20, 35), rng.uniform(0.4, 1.1), symmetric=True)
    scene.multiply(amount, where, 1 + rng.uniform(0, 0.15), 1 - rng.uniform(0.05, 0.28))


def _cortex(scene: Scene, rng: np.random.Generator) -> None:
    """Insula, cingulum, hippocampus: cortex that is brighter than other cortex, on both sides."""
    amount = _blobs(scene, rng, rng.uniform(25, 45), rng.uniform(0.2, 1.0), symmetric=True)
    scene.multiply(amount, scene.of(*CORTICES), 1 + rng.uniform(0.08, 0.45), 1 - rng.uniform(-0.05, 0.12))


def _midline(scene: Scene, rng: np.random.Generator) -> None:
    """Cortex beside the midline, as the anterior cingulum often is: bright."""
    x, y, z = scene.view.mni
    centre, reach = rng.uniform((10, 0), (45, 30)), rng.uniform((12, 8), (30, 20))
    near = np.exp(-((y - centre[0]) ** 2) / (2 * reach[0] ** 2) - (z - centre[1]) ** 2 / (2 * reach[1] ** 2))
    amount = (near * (np.abs(x) < 12)).astype(np.float32)
    scene.multiply(amount, scene.of(HeadTissue.CORTEX), 1 + rng.uniform(0.1, 0.5), 1 - rng.uniform(0, 0.12))


def _white_matter_lesions(scene: Scene, rng: np.random.Generator) -> None:
    """Small vessel disease around the ventricles and in patches: long T2, fast diffusion."""
    amount = _blobs(scene, rng, rng.uniform(14, 30), rng.uniform(0.7, 1.5), symmetric=rng.random() < 0.6)
    x, y, z = scene.view.mni
    if rng.random() < 0.6:  # mostly near the ventricles
        away = np.sqrt((np.abs(x) - 18) ** 2 / 144 + (y + 20) ** 2 / 1600 + (z - 22) ** 2 / 324)
        amount = amount * np.clip(2.2 - away, 0, 1).astype(np.float32)
    scene.multiply(amount, scene.of(HeadTissue.WHITE), 1 + rng.uniform(0.2, 1.1), 1 + rng.uniform(0.15, 0.9))


def _shine_through(scene: Scene, rng: np.random.Generator) -> None:
    """Bright by its long T2 with fast diffusion: no acute lesion, however bright."""
    amount = _blobs(scene, rng, rng.uniform(11, 26), rng.uniform(1.6, 2.3))
    scene.multiply(amount, scene.parenchyma, 1 + rng.uniform(0.4, 1.4), 1 + rng.uniform(0.2, 0.7))


def _old_lesions(scene: Scene, rng: np.random.Generator) -> None:
    """Old infarcts and lacunes: nearly water."""
    small = rng.random() < 0.5
    amount = _blobs(scene, rng, rng.uniform(9, 14) if small else rng.uniform(20, 45), rng.uniform(1.8, 2.4))
    scene.replace(amount, scene.parenchyma, rng.uniform(1.3, 2.6), rng.uniform(1.5, 2.9))


def _iron(scene: Scene, rng: np.random.Generator) -> None:
    """Microbleeds: dark in both images."""
    scene.multiply(_blobs(scene, rng, 11, 2.3), scene.parenchyma, 1 - rng.uniform(0.3, 0.8), 1.0)


def _choroid_plexus(scene: Scene, rng: np.random.Generator) -> None:
    """Bright within the ventricles, with an ADC above the brain's."""
    amount = _blobs(scene, rng, rng.uniform(10, 16), rng.uniform(0.7, 1.5), symmetric=rng.random() < 0.75)
    behind = scene.view.mni[1] < -10
    scene.replace(amount * behind, scene.of(HeadTissue.VENTRICLE), rng.uniform(1.1, 2.4), rng.uniform(1.0, 2.0))


FINDINGS = (
    (_tracts, 0.65),
    (_cortex, 0.55),
    (_midline, 0.35),
    (_white_matter_lesions, 0.55),
    (_shine_through, 0.35),
    (_old_lesions, 0.35),
    (_iron, 0.2),
    (_choroid_plexus, 0.5),
)
