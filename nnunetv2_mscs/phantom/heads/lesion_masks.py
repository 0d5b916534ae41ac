"""Masks of real lesions in MNI space, for their shapes and places: a packed file, or a folder of NIfTI masks."""

import io
import lzma
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_mscs.errors import MscsError

SMALLEST_ML = 0.03
# The scan of this mask is one of those that the project is tried on.
LEFT_OUT = ("3",)


@dataclass(frozen=True)
class LesionShape:
    """One mask, cut to its box.

    Args:
        mask: bool (x, y, z), 1 mm.
        to_mni: 4x4, voxel of the box to mm of MNI space.
        name: of the subject.
    """

    mask: np.ndarray
    to_mni: np.ndarray
    name: str = ""

    def mirrored(self) -> "LesionShape":
        """The same in the other hemisphere."""
        return replace(self, to_mni=np.diag([-1.0, 1, 1, 1]) @ self.to_mni)

    @property
    def centre_mni(self) -> np.ndarray:
        return self.to_mni[:3, :3] @ ((np.array(self.mask.shape) - 1) / 2) + self.to_mni[:3, 3]


@dataclass(frozen=True)
class LesionMasks:
    """All masks of a source.

    Args:
        names: subjects.
        volumes_ml: of each mask.
        boxes: bool arrays packed to bits, or NIfTI files, whichever the source has.
        shapes: of the boxes; (0, 0, 0) for files.
        to_mni: 4x4 of each.
    """

    names: tuple[str, ...]
    volumes_ml: np.ndarray
    boxes: tuple[np.ndarray | Path, ...]
    shapes: tuple[tuple[int, ...], ...]
    to_mni: tuple[np.ndarray, ...]

    @classmethod
    def read(cls, path: Path, left_out: Collection[str] = LEFT_OUT) -> "LesionMasks":
        """Read `lesions_mni.npz.xz`, or a folder of NIfTI masks.

        Args:
            path: the file or the folder.
            left_out: subjects by the first number in their name: `-3`, `sub-3` and `bwsrsub-3_lesion` are 3.

        Raises:
            MscsError: nothing there can be read.
        """
        masks = _from_folder(path, left_out) if path.is_dir() else _from_packed(path, left_out)
        if not masks.names:
            raise MscsError(f"{path} holds no lesion mask.", "docs/weights.md says where to get masks.")
        return masks

    def __len__(self) -> int:
        return len(self.names)

    def get(self, index: int) -> LesionShape:
        box = self.boxes[index]
        if isinstance(box, Path):
            mask, to_mni = _nifti_box(box)
            return LesionShape(mask, to_mni, self.names[index])
        shape = self.shapes[index]
        mask = np.unpackbits(box)[: int(np.prod(shape))].reshape(shape).astype(bool)
        return LesionShape(mask, self.to_mni[index], self.names[index])

    def draw(self, volume_ml: float, rng: np.random.Generator, among: int = 30) -> LesionShape:
        """One of the masks that are nearest to a volume, mirrored or not."""
        distance = np.abs(np.log(self.volumes_ml / volume_ml))
        nearest = np.argsort(distance, kind="stable")[: min(among, len(self))]
        shape = self.get(int(rng.choice(nearest)))
        return shape.mirrored() if rng.random() < 0.5 else shape


def _is_left_out(name: str, left_out: Collection[str]) -> bool:
    number = re.search(r"\d+", name)
    return number is not None and str(int(number[0])) in left_out


def _from_packed(path: Path, left_out: Collection[str]) -> LesionMasks:
    try:
        raw = path.read_bytes()
        data = np.load(io.BytesIO(lzma.decompress(raw) if path.suffix == ".xz" else raw))
        ids, boxes, lens, bits, volumes, affine = (
            data[key] for key in ("ids", "boxes", "lens", "bits", "vol", "affine")
        )
    except (lzma.LZMAError, KeyError, ValueError, OSError) as error:
        raise MscsError(
            f"{path} cannot be read as lesion masks: {error}.", "docs/weights.md says what it is."
        ) from error
    ends = np.cumsum(lens.astype(np.int64))
    kept = [
        i for i, name in enumerate(ids) if volumes[i] / 1000 >= SMALLEST_ML and not _is_left_out(str(name), left_out)
    ]
    matrices = []
    for i in kept:
        matrix = affine.astype(float).copy()
        matrix[:3, 3] += matrix[:3, :3] @ boxes[i, :, 0]
        matrices.append(matrix)
    return LesionMasks(
        tuple(str(ids[i]) for i in kept),
        volumes[kept] / 1000.0,
        tuple(bits[ends[i] - lens[i] : ends[i]] for i in kept),
        tuple(tuple(int(n) for n in boxes[i, :, 1].astype(int) - boxes[i, :, 0]) for i in kept),
        tuple(matrices),
    )


def _from_folder(path: Path, left_out: Collection[str]) -> LesionMasks:
    files = [
        file
        for file in sorted(path.glob("*.nii*"))
        if not _is_left_out(file.name.split(".")[0], left_out) and "atlas" not in file.name.lower()
    ]
    found = [(file, volume) for file in files if (volume := _nifti_volume_ml(file)) >= SMALLEST_ML]
    return LesionMasks(
        tuple(file.name.split(".")[0] for file, _ in found),
        np.array([volume for _, volume in found]),
        tuple(file for file, _ in found),
        ((0, 0, 0),) * len(found),
        (np.eye(4),) * len(found),
    )


def _load(file: Path) -> tuple[np.ndarray, np.ndarray]:
    import nibabel

    try:
        image: Any = nibabel.load(file)
        return np.asarray(image.dataobj).reshape(image.shape[:3]) > 0, image.affine
    except (OSError, ValueError, nibabel.filebasedimages.ImageFileError) as error:
        raise MscsError(f"{file} cannot be read: {error}.", "Copy it again.") from error


def _nifti_volume_ml(file: Path) -> float:
    mask, affine = _load(file)
    return float(mask.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000)


def _nifti_box(file: Path) -> tuple[np.ndarray, np.ndarray]:
    mask, affine = _load(file)
    where = np.argwhere(mask)
    low, high = where.min(0), where.max(0) + 1
    box = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    affine = affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    return box, affine
