"""Label maps of heads: any segmentation in FreeSurfer's or SynthSeg's numbers, brought to 1 mm and to MNI space."""

import io
import json
import lzma
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

import numpy as np
from scipy import ndimage

from nnunetv2_mscs.errors import MscsError


class HeadTissue(IntEnum):
    """Tissues that differ in water, relaxation or diffusion."""

    AIR = 0
    WHITE = 1
    CORTEX = 2
    DEEP_GREY = 3
    PALLIDUM = 4
    BRAINSTEM = 5
    CEREBELLAR_CORTEX = 6
    CEREBELLAR_WHITE = 7
    CSF = 8
    VENTRICLE = 9
    VESSEL = 10
    DURA = 11
    EYE = 12
    SOFT = 13
    MUSCLE = 14
    BONE = 15
    FAT = 16
    SKIN = 17


LAST_OF_PARENCHYMA = HeadTissue.CEREBELLAR_WHITE
LAST_OF_BRAIN = HeadTissue.VESSEL

# FreeSurfer's numbers (FreeSurferColorLUT) and those that SynthSeg's training maps have outside the brain.
NUMBERS: dict[HeadTissue, tuple[int, ...]] = {
    HeadTissue.WHITE: (2, 41, 28, 60, 77, 78, 79, 85, 192, 251, 252, 253, 254, 255),
    HeadTissue.CORTEX: (3, 42, 17, 53, 18, 54, 19, 55, 136, 137, 163, 164),
    HeadTissue.DEEP_GREY: (9, 10, 48, 49, 11, 50, 12, 51, 26, 58),
    HeadTissue.PALLIDUM: (13, 52),
    HeadTissue.BRAINSTEM: (16, 170, 173, 174, 175, 178),
    HeadTissue.CEREBELLAR_CORTEX: (8, 47, 172),
    HeadTissue.CEREBELLAR_WHITE: (7, 46),
    HeadTissue.CSF: (14, 15, 24, 25, 57, 72, 257),
    HeadTissue.VENTRICLE: (4, 5, 31, 43, 44, 63),
    HeadTissue.VESSEL: (30, 62),
    HeadTissue.DURA: (502, 530),
    HeadTissue.EYE: (506,),
    HeadTissue.SOFT: (507, 258),
    HeadTissue.MUSCLE: (508, 509),
    HeadTissue.BONE: (511, 515, 165),
    HeadTissue.FAT: (512, 514),
    HeadTissue.SKIN: (516,),
}
ENDINGS = (".npy.xz", ".nii", ".nii.gz", ".mgz", ".mgh")
CORTEX_PARCELS = ((1000, 1035), (2000, 2035), (11100, 12175))

# Parenchyma of SynthSeg's heads in MNI152 space, mm: mean, deviation across, covariance in the sagittal plane.
MNI_CENTRE, MNI_DEVIATION_ACROSS = np.array([0.3, -23.2, 8.9]), 33.7
MNI_SAGITTAL = np.array([[1675.0, 155.0], [155.0, 1022.0]])
BRAIN_MIDDLE = (0.0, -18.0, 8.0)  # between the poles, mm of MNI space
SMALLEST_BRAIN_VOXELS = 200
SCALP_MM, SKULL_MM, FLUID_MM = 6.0, 7.0, 2.5


@dataclass(frozen=True)
class HeadMap:
    """Tissues of one head.

    Args:
        tissues: uint8 (x, y, z), values of `HeadTissue`, 1 mm, axes to right, front and head.
        to_mni: 4x4, voxel to mm of MNI space, affine.
        name: of the file.
    """

    tissues: np.ndarray
    to_mni: np.ndarray
    name: str = ""

    @property
    def parenchyma(self) -> np.ndarray:
        return (self.tissues > 0) & (self.tissues <= LAST_OF_PARENCHYMA)

    def aged(self, sulci: int, ventricles: int) -> "HeadMap":
        """The same head with sulci and ventricles wider by so many voxels on each side."""
        tissues = self.tissues.copy()
        for fluid, into, times in (
            (HeadTissue.CSF, (HeadTissue.CORTEX, HeadTissue.CEREBELLAR_CORTEX), sulci),
            (HeadTissue.VENTRICLE, (HeadTissue.WHITE,), ventricles),
        ):
            if times:
                open_to_it = np.isin(tissues, (fluid, *into))
                tissues[ndimage.binary_dilation(tissues == fluid, iterations=times, mask=open_to_it)] = fluid
        return replace(self, tissues=tissues)

    def centre(self) -> np.ndarray:
        """The middle of the brain, voxels."""
        return np.linalg.solve(self.to_mni, np.append(BRAIN_MIDDLE, 1.0))[:3]


def find_heads(folder: Path) -> list[Path]:
    """The label maps in the folder `heads` of a folder, or else in the folder itself, by name.

    Raises:
        MscsError: there are none.
    """
    for place in (folder / "heads", folder):
        files = sorted(path for path in place.glob("*") if path.name.endswith(ENDINGS))
        if files:
            return files
    raise MscsError(
        f"{folder} holds no label maps.",
        "Name a folder of FreeSurfer or SynthSeg segmentations (.nii.gz, .mgz); docs/weights.md says where some are.",
    )


def read_head(path: Path) -> HeadMap:
    """Read a label map; where it holds nothing outside the brain, a skull and a scalp are laid around it.

    Raises:
        MscsError: the file cannot be read, or holds no brain in FreeSurfer's numbers.
    """
    labels, to_mni = _packed(path) if path.name.endswith(".npy.xz") else _volume(path)
    tissues = tissues_of_labels(labels)
    if np.count_nonzero((tissues > 0) & (tissues <= LAST_OF_PARENCHYMA)) < SMALLEST_BRAIN_VOXELS:
        raise MscsError(f"{path} holds no brain in FreeSurfer's numbers.", "Segment it with SynthSeg or FreeSurfer.")
    if not (tissues > LAST_OF_BRAIN).any():
        tissues = with_shells(tissues)
        to_mni = None
    matrix = mni_by_moments(tissues) if to_mni is None else to_mni
    return HeadMap(without_distant_fluid(tissues), matrix, path.name)


def tissues_of_labels(labels: np.ndarray) -> np.ndarray:
    """FreeSurfer's numbers -> values of `HeadTissue`; what has no tissue here becomes air."""
    largest = max(int(labels.max()), 13000)
    table = np.zeros(largest + 1, np.uint8)
    for tissue, numbers in NUMBERS.items():
        table[list(numbers)] = tissue
    for first, last in CORTEX_PARCELS:
        table[first : last + 1] = HeadTissue.CORTEX
    return table[labels]


def _packed(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """An index volume (.npy.xz) whose numbers stand in heads.json, beside it or a folder above."""
    index = next(
        (file for file in (path.parent / "heads.json", path.parents[1] / "heads.json") if file.is_file()), None
    )
    if index is None:
        raise MscsError(f"There is no heads.json beside {path}.", "It says which number each value stands for.")
    facts = json.loads(index.read_text())
    try:
        values = np.load(io.BytesIO(lzma.decompress(path.read_bytes())))
    except (lzma.LZMAError, ValueError, OSError) as error:
        raise MscsError(f"{path} cannot be read: {error}.", "Copy it again.") from error
    entry = facts["heads"].get(path.name.removesuffix(".npy.xz"))
    to_mni = None if entry is None else MASKS_TO_MNI @ np.array(entry["mask_voxel_from_head_voxel"])
    return np.array(facts["labels"])[values], to_mni


# Voxel of the lesion masks' grid to mm of MNI space (Rorden's SOOP masks, 157 x 189 x 136 voxels of 1 mm).
MASKS_TO_MNI = np.array([[-1.0, 0, 0, 78], [0, 1, 0, -112], [0, 0, 1, -50], [0, 0, 0, 1]])


def _volume(path: Path) -> tuple[np.ndarray, None]:
    """A NIfTI or MGH file of any grid, turned to axes R, A, S and brought to 1 mm by nearest neighbours."""
    import nibabel

    try:
        image = nibabel.as_closest_canonical(nibabel.load(path))
        labels = np.rint(np.asarray(image.dataobj)).astype(np.int32)
    except (OSError, ValueError, nibabel.filebasedimages.ImageFileError) as error:
        raise MscsError(f"{path} cannot be read: {error}.", "Copy it again.") from error
    labels = np.where(labels < 0, 0, labels.reshape(labels.shape[:3]))
    spacing = np.array(image.header.get_zooms()[:3], float)
    sizes = [max(1, round(n * s)) for n, s in zip(labels.shape, spacing, strict=True)]
    picks = [
        np.clip(((np.arange(new) + 0.5) / new * old).astype(int), 0, old - 1)
        for new, old in zip(sizes, labels.shape, strict=True)
    ]
    labels = labels[np.ix_(*picks)]
    if not labels.any():
        return labels, None
    box = ndimage.find_objects((labels > 0).astype(int))[0]
    return labels[box], None


def with_shells(tissues: np.ndarray) -> np.ndarray:
    """A brain without a head -> the brain within fluid, skull and scalp of usual thickness."""
    pad = int(FLUID_MM + SKULL_MM + SCALP_MM) + 2
    tissues = np.pad(tissues, pad)
    closed = ndimage.binary_closing(tissues > 0, iterations=6)
    distance = ndimage.distance_transform_edt(~closed)
    shells = np.select(
        [
            distance <= FLUID_MM,
            distance <= FLUID_MM + SKULL_MM,
            distance <= FLUID_MM + SKULL_MM + SCALP_MM - 2,
            distance <= FLUID_MM + SKULL_MM + SCALP_MM,
        ],
        [HeadTissue.CSF, HeadTissue.BONE, HeadTissue.FAT, HeadTissue.SKIN],
        HeadTissue.AIR,
    )
    return np.where(tissues > 0, tissues, shells).astype(np.uint8)


def without_distant_fluid(tissues: np.ndarray) -> np.ndarray:
    """Fluid above the brain's middle more than 4 mm from parenchyma is bone: SynthSeg's maps are generous there."""
    parenchyma = (tissues > 0) & (tissues <= LAST_OF_PARENCHYMA)
    top = int(np.flatnonzero(parenchyma.any((0, 1))).mean())
    near = ndimage.binary_dilation(parenchyma[:, :, top:], iterations=5)  # 5 steps to a side, 3 diagonally
    fluid = tissues[:, :, top:] == HeadTissue.CSF
    result = tissues.copy()
    result[:, :, top:][fluid & ~near] = HeadTissue.BONE
    return result


def mni_by_moments(tissues: np.ndarray) -> np.ndarray:
    """The affine map that gives parenchyma the mean and the principal axes that it has in MNI space.

    The axis from left to right is kept; of the two in the sagittal plane the longer runs from front to back. The map
    lies 2 to 7 mm off a registration of the same heads, which lesions that are moved at random bear.
    """
    voxels = np.argwhere((tissues > 0) & (tissues <= LAST_OF_PARENCHYMA))[::7].astype(float)
    covariance, mean = np.cov(voxels.T), voxels.mean(0)
    lengths, axes = _sagittal_axes(covariance[1:, 1:])
    wanted_lengths, wanted_axes = _sagittal_axes(MNI_SAGITTAL)
    affine = np.eye(4)
    affine[0, 0] = MNI_DEVIATION_ACROSS / np.sqrt(covariance[0, 0])
    affine[1:3, 1:3] = wanted_axes @ np.diag(wanted_lengths / lengths) @ axes.T
    affine[:3, 3] = MNI_CENTRE - affine[:3, :3] @ mean
    return affine


def _sagittal_axes(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deviations along the longer and the shorter axis, and the axes, which point to the front and the top."""
    variances, axes = np.linalg.eigh(covariance)
    axes = axes[:, ::-1]
    return np.sqrt(variances[::-1]), axes * np.sign(np.diag(axes))
