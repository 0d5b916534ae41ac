"""`Predictor`: one scan in any form gives one mask, on the grid as stored."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from nnunetv2_mscs import Predictor
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.model_folder import Model, ModelSet
from nnunetv2_mscs.scans.grid import Grid, distance_mm
from tests.models.conftest import make_coarse, write_cascade
from tests.models.new_scans import AFFINE, scan, write, write_study
from tests.sharing.tiny_models import DATASET, write_best, write_decision, write_model
from tests.stored_scans import ALL_AXES, along, oblique, placed, same_place, write_nifti

TILT = (12, -8, 20)


def as_placed(prediction):
    image = prediction.as_image()
    affine = np.eye(4)
    direction = np.reshape(image.GetDirection(), (3, 3))
    affine[:3, :3], affine[:3, 3] = direction * image.GetSpacing(), image.GetOrigin()
    affine[:2] *= -1  # ITK's world is LPS
    return prediction.mask.T, affine


@pytest.fixture(scope="module")
def plain(predictor, tmp_path_factory):
    folder = write_study(tmp_path_factory.mktemp("plain"), tilt=TILT)
    return predictor.predict(adc=folder / "adc.nii.gz", dwi=str(folder / "dwi.nii.gz"))


def test_the_result_of_a_scan(plain):
    assert plain.mask.dtype == np.uint8
    assert plain.mask.shape == plain.probabilities.shape == plain.grid.shape
    assert 0 < plain.mask.mean() < 1, "an untrained network must mark some voxels and not others"
    np.testing.assert_array_equal(plain.mask > 0, plain.probabilities > 0.5)
    assert plain.lesion_volume_ml == pytest.approx((plain.mask > 0).sum() * 8 * 8 * 14 / 1000)
    assert plain.lesion_count == len(plain.lesion_volumes_ml) >= 1
    assert plain.largest_probability == plain.probabilities.max()
    assert set(plain.seconds) == {"read", "preprocess", "network", "resample", "measure"}


def test_all_orders_and_directions_of_axes_give_the_same_mask(model, tmp_path):
    """Without mirroring, which would hide a network that sees a scan mirrored."""
    predictor = Predictor(model, "cpu", precision="float32", fast=True)
    folder = write_study(tmp_path, tilt=TILT)
    plain = predictor.predict(adc=folder / "adc.nii.gz", dwi=folder / "dwi.nii.gz")
    assert 0 < plain.mask.mean() < 1
    for number in range(48):
        dwi_axes, adc_axes = ALL_AXES[number], ALL_AXES[-number]
        folder = write(tmp_path / str(number), {"dwi": "dwi.nii.gz"}, axes=dwi_axes, tilt=TILT)
        write(folder, {"adc": "adc.nii.gz"}, axes=adc_axes, tilt=TILT)
        found = predictor.predict(adc=folder / "adc.nii.gz", dwi=folder / "dwi.nii.gz")
        stored = Grid.of(sitk.ReadImage(str(folder / "dwi.nii.gz")))
        assert distance_mm(found.grid, stored) < 1e-3, dwi_axes
        assert same_place(as_placed(plain), as_placed(found)), dwi_axes
        assert found.largest_probability == pytest.approx(plain.largest_probability, abs=1e-5)


def test_it_is_what_nnunets_own_predictor_gives(plain, model, tmp_path):
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    folder = write(tmp_path / "scan", {"adc": "s_0000.nii.gz", "dwi": "s_0001.nii.gz"}, axes="LAS", tilt=TILT)
    theirs = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    theirs.initialize_from_trained_model_folder(str(model), (0, 1))
    (tmp_path / "out").mkdir()
    theirs.predict_from_files_sequential(str(folder), str(tmp_path / "out"))
    assert same_place(as_placed(plain), placed(tmp_path / "out/s.nii.gz"))


def test_a_cascade_is_nnunets(tmp_path):
    """Its second stage sees the masks of the first as nnU-Net's command hands them on."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    coarse, fine = write_cascade(tmp_path)
    scan = write(tmp_path / "scan", {"adc": "s_0000.nii.gz", "dwi": "s_0001.nii.gz"}, axes="LAS", tilt=TILT)
    places = [tmp_path / name for name in ("first", "second")]
    for model, place in zip((coarse, fine), places, strict=True):
        place.mkdir()
        theirs = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
        theirs.initialize_from_trained_model_folder(str(model), (0, 1))
        before = str(places[0]) if model == fine else None
        theirs.predict_from_files_sequential(str(scan), str(place), folder_with_segs_from_prev_stage=before)
    ours = Predictor(fine, "cpu", precision="float32").predict(adc=scan / "s_0000.nii.gz", dwi=scan / "s_0001.nii.gz")
    assert ours.mask.any()
    assert same_place(as_placed(ours), placed(places[1] / "s.nii.gz"))


def test_paths_images_and_arrays_are_one(predictor, tmp_path):
    folder = write_study(tmp_path)
    files = {name: folder / f"{name}.nii.gz" for name in ("adc", "dwi")}
    of_paths = predictor.predict(**files)
    of_images = predictor.predict(**{name: sitk.ReadImage(str(file)) for name, file in files.items()})
    np.testing.assert_array_equal(of_images.mask, of_paths.mask)
    # Arrays are taken to lie along LPS, and this scan is stored along LAS.
    arrays = {name: np.flip(array.T, 1) for name, array in scan().items() if name != "b0"}
    of_arrays = predictor.predict(**arrays, spacing=(8, 8, 14))
    np.testing.assert_array_equal(np.flip(of_arrays.mask, 1), of_paths.mask)
    assert any("which side is left is not recorded" in one for one in of_arrays.warnings)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dwi": scan()["dwi"].T}, "knows no voxel size"),
        ({"dwi": scan()["dwi"], "adc": scan()["adc"].T, "spacing": (8, 8, 14)}, "shapes differ"),
        ({"dwi": scan()["dwi"].T, "spacing": (8, 8, 14)}, "has no ADC, and no b0"),
        ({"adc": scan()["adc"].T, "spacing": (8, 8, 14)}, "has no DWI"),
        ({"dwi": scan()["dwi"].T, "b0": scan()["b0"].T, "spacing": (8, 8, 14)}, "b-value of the DWI is not recorded"),
        ({"dwi": scan()["dwi"].T[0], "adc": scan()["adc"].T, "spacing": (8, 8, 14)}, r"DWI has shape \(24, 20\)"),
        ({"dwi": scan()["b0"].T, "b0": scan()["dwi"].T, "b_value": 1000, "spacing": (8, 8, 14)}, "exchanged"),
        ({"dwi": "not_there.nii.gz", "adc": "not_there.nii.gz"}, "not_there.nii.gz"),
    ],
)
def test_what_is_no_scan_is_refused_with_a_reason(predictor, given, said):
    with pytest.raises(MscsError, match=said) as caught:
        predictor.predict(**given)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("device", "said"),
    [("gpu", "'gpu' is no device to predict on."), ("meta", "'meta' is no"), ("cuda:99", "no device cuda:99 here")],
)
def test_a_device_that_is_not_there_is_refused(model, device, said):
    with pytest.raises(MscsError, match=said):
        Predictor(model, device)


def test_an_adc_on_another_grid_is_brought_onto_that_of_the_dwi(predictor, tmp_path):
    folder = write(tmp_path, {"dwi": "dwi.nii.gz"}, tilt=TILT)
    finer = np.repeat(scan()["adc"], 2, axis=0)
    affine = AFFINE.copy()
    affine[0, 0] /= 2
    affine[0, 3] += 2.0
    write_nifti(folder / "adc.nii.gz", *along(finer, oblique(affine, *TILT), "SAR"))
    found = predictor.predict(adc=folder / "adc.nii.gz", dwi=folder / "dwi.nii.gz")
    assert any("ADC was resampled (linear) onto the grid of DWI" in one for one in found.warnings)
    np.testing.assert_allclose(found.scan.scan.channels["ADC"], scan()["adc"].T, rtol=1e-4, atol=0.1)


def test_threshold_and_smallest_lesion(model, plain, tmp_path):
    folder = write_study(tmp_path, tilt=TILT)
    files = {name: folder / f"{name}.nii.gz" for name in ("adc", "dwi")}
    threshold = float(np.quantile(plain.probabilities, 0.97))
    few = Predictor(model, "cpu", precision="float32", threshold=threshold).predict(**files)
    np.testing.assert_array_equal(few.mask > 0, plain.probabilities >= np.float32(threshold))
    assert few.lesion_count > 1
    least = few.lesion_volumes_ml[0] - 1e-6
    large = Predictor(model, "cpu", precision="float32", threshold=threshold, min_lesion_ml=least).predict(**files)
    assert large.lesion_volumes_ml == tuple(one for one in few.lesion_volumes_ml if one >= least)
    none = Predictor(model, "cpu", precision="float32", threshold=0.999).predict(**files)
    assert (none.lesion_count, none.mean_adc, none.relative_dwi) == (0, None, None)
    assert none.largest_probability == pytest.approx(plain.largest_probability)


def test_fast_uses_one_fold_and_no_mirroring(model, predictor, tmp_path):
    folder = write_study(tmp_path)
    fast = Predictor(model, "cpu", precision="float32", fast=True)
    assert (fast._networks.count, predictor._networks.count) == (1, 2)
    files = {name: folder / f"{name}.nii.gz" for name in ("adc", "dwi")}
    assert not np.allclose(fast.predict(**files).probabilities, predictor.predict(**files).probabilities)


def test_the_mean_adc_is_that_of_the_mask(plain):
    adc = plain.scan.scan.channels["ADC"]
    assert plain.mean_adc == pytest.approx(adc[plain.mask > 0].mean())


def test_the_best_ensemble_with_its_postprocessing(tmp_path):
    trainers = ("MSCSTrainer", "nnUNetTrainer")
    folders = [write_model(tmp_path / "results", trainer, steps=0) for trainer in trainers]
    for folder in folders:
        make_coarse(folder)
    write_best(tmp_path / "results", *trainers)
    models = ModelSet(DATASET, tuple(Model(trainer, "nnUNetPlans", "2d") for trainer in trainers), ("0", "1"))
    write_decision(tmp_path / "results" / DATASET / models.decisions, steps=1)
    write_study(tmp_path / "in", tilt=TILT)
    files = {name: tmp_path / f"in/{name}.nii.gz" for name in ("adc", "dwi")}
    alone = [Predictor(folder, "cpu", precision="float32").predict(**files).probabilities for folder in folders]
    together = Predictor(tmp_path / "results" / DATASET, "cpu", precision="float32").predict(**files)
    np.testing.assert_allclose(together.probabilities, (alone[0] + alone[1]) / 2, atol=1e-6)
    pieces, count = ndimage.label(together.probabilities > 0.5, np.ones((3, 3, 3)))
    largest = np.bincount(pieces.ravel())[1:].argmax() + 1
    np.testing.assert_array_equal(together.mask > 0, pieces == largest)
    assert count > 1, "else nothing is seen of the postprocessing"
