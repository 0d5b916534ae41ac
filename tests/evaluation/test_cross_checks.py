"""Every metric beside independent implementations: SimpleITK, MedPy, MONAI, surface-distance, cc3d, and brute force.

The pairs of masks are random ones on anisotropic grids, touching the image's edges, and real masks against their
shifted, dilated, eroded and split copies. panoptica, which asks for another NumPy, is in test_panoptica.py.
"""

from collections.abc import Callable, Iterator

import cc3d
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage
from scipy.spatial.distance import cdist

from nnunetv2_mscs.evaluation.case import evaluate_masks
from nnunetv2_mscs.evaluation.distances import border_of, directed_distances
from nnunetv2_mscs.scans.reading import read_volume

SPACINGS = [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (5.0, 1.2, 1.2), (6.0, 0.898, 0.898), (0.7, 3.1, 1.9)]
REAL = ("isles22_0001", "isles22_0002", "isles22_0003", "isles22_0004", "soop_3")
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "itself": lambda mask: mask,
    "shifted": lambda mask: ndimage.shift(mask, (1, 2, -3), order=0),
    "dilated": ndimage.binary_dilation,
    "eroded": lambda mask: _eroded(mask),
    "split": lambda mask: mask & (np.arange(mask.shape[2]) % 5 > 0),
    "mirrored": lambda mask: mask[:, :, ::-1],
}
Pair = tuple[np.ndarray, np.ndarray, tuple[float, ...]]


def _eroded(mask: np.ndarray) -> np.ndarray:
    """The mask less its border, or its first voxels where that leaves none."""
    eroded = ndimage.binary_erosion(mask)
    return eroded if eroded.any() else mask & (np.cumsum(mask).reshape(mask.shape) <= 5)


def blobs(seed: int) -> Pair:
    """Two masks of blobs of many sizes that overlap in part and touch the image's edges; odd seeds add specks."""
    rng = np.random.default_rng(seed)
    shape = rng.integers((5, 18, 18), (13, 34, 34))
    fields = [ndimage.gaussian_filter(rng.normal(size=shape), (0.8, 1.5, 1.5), mode="constant") for _ in range(2)]
    fields[1] = 0.7 * fields[0] + 0.5 * fields[1]
    masks = [field > np.quantile(field, share) for field, share in zip(fields, (0.9, 0.92), strict=True)]
    if seed % 2:
        masks = [mask | (rng.random(shape) > 0.99) for mask in masks]
    return masks[0], masks[1], SPACINGS[seed % len(SPACINGS)]


def tiny(name: str) -> Pair:
    """Pairs at the limits: one voxel, one slice, masks that fill the image."""
    masks = np.zeros((2, 4, 9, 9), dtype=bool)
    if name == "one voxel each":
        masks[0, 0, 0, 0] = masks[1, 3, 8, 8] = True
    elif name == "one slice":
        masks = masks[:, :1]
        masks[0, :, 2:6, 2:7] = masks[1, :, 3:9, 3:9] = True
    elif name == "the whole image":
        masks[0] = True
        masks[1, 1:3, 2:8, 2:8] = True
    return masks[0], masks[1], (5.0, 1.2, 0.8)


MADE_UP = [*range(10), "one voxel each", "one slice", "the whole image"]


@pytest.fixture(scope="module", params=MADE_UP)
def made_up(request) -> Pair:
    return blobs(request.param) if isinstance(request.param, int) else tiny(request.param)


@pytest.fixture(scope="module", params=REAL)
def real(request, real_folder) -> dict[str, Pair]:
    """A real mask with each of its changed copies, by the change."""
    volume = read_volume(real_folder / "masks" / f"{request.param}.nii.gz", content="mask")
    mask = volume.array[0] > 0
    return {name: (mask, change(mask), volume.grid.spacing[::-1]) for name, change in CHANGES.items()}


def around(pair: Pair) -> Pair:
    """The part of the image that holds both masks, with a margin: slow libraries need not see the rest."""
    box = ndimage.find_objects((pair[0] | pair[1]).astype(int))[0]
    wider = tuple(slice(max(0, side.start - 2), side.stop + 2) for side in box)
    return pair[0][wider], pair[1][wider], pair[2]


def check(found: dict[str, float], expected: dict[str, float], tolerance: float = 1e-6) -> None:
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=tolerance, abs=tolerance)


def of_simpleitk(pair: Pair) -> dict[str, float]:
    """Overlaps, both volumes, the mean AHD, and the count of pieces."""
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in pair[:2]]
    for image in images:
        image.SetSpacing(pair[2][::-1])
    overlap, distance, shape = (
        sitk.LabelOverlapMeasuresImageFilter(),
        sitk.HausdorffDistanceImageFilter(),
        sitk.LabelShapeStatisticsImageFilter(),
    )
    overlap.Execute(images[1], images[0])
    distance.Execute(*images)
    volumes, pieces = [], []
    for image in images:
        shape.Execute(image)
        volumes.append(shape.GetPhysicalSize(1) / 1000)
        components = sitk.ConnectedComponentImageFilter()
        components.FullyConnectedOn()
        components.Execute(image)
        pieces.append(components.GetObjectCount())
    return {
        "dice": overlap.GetDiceCoefficient(),
        "iou": overlap.GetJaccardCoefficient(),
        "precision": 1 - overlap.GetFalseDiscoveryRate(1),
        "sensitivity": 1 - overlap.GetFalseNegativeError(1),
        "volume_reference_ml": volumes[0],
        "volume_prediction_ml": volumes[1],
        "volume_difference_ml": volumes[1] - volumes[0],
        "absolute_volume_difference_ml": abs(volumes[1] - volumes[0]),
        "ahd_mean_mm": distance.GetAverageHausdorffDistance(),
        "lesion_count_reference": pieces[0],
        "lesion_count_prediction": pieces[1],
        "lesion_count_difference": abs(pieces[0] - pieces[1]),
    }


def of_medpy(pair: Pair) -> dict[str, float]:
    """MedPy's ASSD is pooled since 0.5; its HD95 is another definition, for which there is a test below."""
    from medpy.metric import binary

    reference, prediction, spacing = pair
    return {
        "dice": binary.dc(prediction, reference),
        "iou": binary.jc(prediction, reference),
        "precision": binary.precision(prediction, reference),
        "sensitivity": binary.recall(prediction, reference),
        "specificity": binary.specificity(prediction, reference),
        "assd_mm": binary.assd(prediction, reference, spacing),
    }


def of_monai(pair: Pair) -> dict[str, float]:
    """In single precision, as MONAI computes."""
    from monai.metrics import (
        compute_average_surface_distance,
        compute_confusion_matrix_metric,
        compute_hausdorff_distance,
        compute_surface_dice,
        get_confusion_matrix,
    )

    reference, prediction = (torch.from_numpy(mask[None, None].astype(np.float32)) for mask in pair[:2])
    keywords = {"include_background": True, "spacing": pair[2]}
    confusion = get_confusion_matrix(prediction, reference)
    return {
        **{
            name: compute_confusion_matrix_metric(name, confusion).item()
            for name in ("accuracy", "precision", "sensitivity", "specificity")
        },
        "hd95_mm": compute_hausdorff_distance(prediction, reference, percentile=95, **keywords).item(),
        "assd_mm": compute_average_surface_distance(prediction, reference, symmetric=True, **keywords).item(),
        **{
            f"nsd_{mm}mm": compute_surface_dice(prediction, reference, [mm], use_subvoxels=True, **keywords).item()
            for mm in (1, 2)
        },
    }


def of_surface_distance(pair: Pair) -> dict[str, float]:
    """DeepMind's own code, which expects NumPy 1, and masks that stay clear of the image's first voxels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "Inf", np.inf, raising=False)
        for module in ("filters", "morphology"):
            patch.setattr(ndimage, module, ndimage, raising=False)
        import surface_distance

        distances = surface_distance.compute_surface_distances(*(np.pad(mask, 1) for mask in pair[:2]), pair[2])
    return {f"nsd_{mm}mm": surface_distance.compute_surface_dice_at_tolerance(distances, mm) for mm in (1, 2)}


def by_brute_force(pair: Pair) -> dict[str, float]:
    """All distances between all voxels, from the definitions; and the ISLES'22 rule lesion by lesion, with cc3d."""
    reference, prediction, spacing = pair
    borders = cdist(*(np.argwhere(border_of_by_neighbours(mask)) * spacing for mask in (reference, prediction)))
    voxels = cdist(*(np.argwhere(mask) * spacing for mask in (reference, prediction)))
    to_prediction, to_reference = voxels.min(axis=1), voxels.min(axis=0)
    directed = borders.min(axis=1), borders.min(axis=0)
    means = to_prediction.mean(), to_reference.mean()
    found = [bool((prediction & lesion).any()) for lesion in pieces_of(reference)]
    true = [bool((reference & lesion).any()) for lesion in pieces_of(prediction)]
    true_positive, false_negative, false_positive = sum(found), found.count(False), true.count(False)
    return {
        "accuracy": float(np.mean(reference == prediction)),
        "hd95_mm": max(np.quantile(side, 0.95) for side in directed),
        "assd_mm": np.concatenate(directed).mean(),
        "ahd_max_mm": max(means),
        "ahd_mean_mm": sum(means) / 2,
        "ahd_balanced_mm": (to_prediction.sum() + to_reference.sum()) / reference.sum() / 2,
        "f1_isles22": 2 * true_positive / (2 * true_positive + false_positive + false_negative),
        "recall_isles22": true_positive / len(found),
        "precision_isles22": true_positive / (true_positive + false_positive),
        "lesion_count_difference": abs(len(found) - len(true)),
    }


def border_of_by_neighbours(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    inner = np.ones(mask.shape, dtype=bool)
    for axis in range(3):
        for step in (-1, 1):
            inner &= np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1]
    return mask & ~inner


def pieces_of(mask: np.ndarray) -> Iterator[np.ndarray]:
    pieces = cc3d.connected_components(mask, connectivity=26)
    for number in range(1, int(pieces.max()) + 1):
        yield pieces == number


LIBRARIES = {
    "SimpleITK": (of_simpleitk, 1e-6),
    "MedPy": (of_medpy, 1e-6),
    "MONAI": (of_monai, 1e-6),
    "surface-distance": (of_surface_distance, 1e-6),
    "brute force": (by_brute_force, 1e-6),
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_made_up_masks(made_up, library):
    implementation, tolerance = LIBRARIES[library]
    expected = implementation(made_up)
    if made_up[0].all():
        expected.pop("specificity", None)  # 0 of 0, which the libraries leave undefined
    check(evaluate_masks(*made_up), expected, tolerance)


@pytest.mark.parametrize("library", LIBRARIES)
def test_real_masks(real, library):
    implementation, tolerance = LIBRARIES[library]
    for change, pair in real.items():
        if library == "MONAI" and change not in ("shifted", "split"):
            continue  # a second a pair
        if library == "brute force" and pair[0].sum() > 10_000:
            continue  # gigabytes of distances
        expected = implementation(around(pair))
        for of_the_whole_image in ("accuracy", "specificity"):
            expected.pop(of_the_whole_image, None)
        check(evaluate_masks(*pair), expected, tolerance)


def test_medpy_defines_hd95_otherwise_on_the_same_distances(made_up):
    """MedPy takes the percentile of the distances of both directions at once; ours, so treated, give its number."""
    from medpy.metric import binary

    reference, prediction, spacing = made_up
    both = [directed_distances(*masks, spacing).border for masks in ((reference, prediction), (prediction, reference))]
    assert np.percentile(np.concatenate(both), 95) == pytest.approx(
        binary.hd95(prediction, reference, spacing), abs=1e-6
    )


def test_one_border(made_up):
    for mask in made_up[:2]:
        assert np.array_equal(border_of(mask), border_of_by_neighbours(mask))


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_checks_can_fail(library):
    """Another pair's numbers are not accepted: the comparison does compare."""
    implementation, tolerance = LIBRARIES[library]
    with pytest.raises(AssertionError):
        check(evaluate_masks(*blobs(0)), implementation(blobs(2)), tolerance)
