"""What is estimated against what phantoms, nnU-Net and PyTorch really write."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.environment import PREPROCESSED, RAW, RESULTS, folders_of
from nnunetv2_mscs.pipeline.checks.estimate import SGD_PER_PARAMETER, bytes_per_parameter, estimate
from nnunetv2_mscs.pipeline.checks.scan_sizes import Scans, count_values, measure_scans
from nnunetv2_mscs.pipeline.graph.models import PlannedModel
from nnunetv2_mscs.pipeline.graph.settings import RunSettings

SETTINGS = RunSettings("scans", 1, "Stroke")
# 40 phantoms of 192 x 192 x 20 voxels, 8 of them for the test, as `mscs convert` and nnUNetv2_preprocess wrote them.
PHANTOMS = Scans(labelled=32, test=8, values_per_scan=2 * 192 * 192 * 20, voxels_per_scan=192 * 192 * 20)
PHANTOMS_RAW_BYTES = 41_943_347 + 10_419_228 + 52_439 + 14_410
PHANTOMS_PREPROCESSED_BYTES = 66_140_818 + 52_439


def test_converted_and_preprocessed_phantoms_within_a_third():
    expected = estimate(SETTINGS, PHANTOMS)

    assert expected[RAW] == pytest.approx(PHANTOMS_RAW_BYTES, rel=1 / 3)
    assert expected[PREPROCESSED] == pytest.approx(PHANTOMS_PREPROCESSED_BYTES, rel=1 / 3)


def test_a_checkpoint_of_nnunets_has_this_many_bytes_a_parameter(tmp_path):
    """Weights and SGD's momentum, as nnU-Net's trainer saves them."""
    import torch

    network = torch.nn.Linear(1000, 1000)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.99)
    network(torch.ones(1, 1000)).sum().backward()
    optimizer.step()
    file = tmp_path / "checkpoint.pth"
    torch.save({"network_weights": network.state_dict(), "optimizer_state": optimizer.state_dict()}, file)

    assert file.stat().st_size / 1_001_000 == pytest.approx(SGD_PER_PARAMETER, rel=0.02)


def test_what_is_there_already_is_not_needed():
    assert estimate(SETTINGS, PHANTOMS, converts=False)[RAW] == 0


def test_more_of_anything_needs_more():
    least = estimate(SETTINGS, PHANTOMS)
    rival = estimate(replace(SETTINGS, compare=("nnUNetTrainer",)), PHANTOMS)
    two = estimate(replace(SETTINGS, configurations=("2d", "3d_fullres")), PHANTOMS)

    assert rival[PREPROCESSED] > 1.9 * least[PREPROCESSED]
    assert two[PREPROCESSED] > 1.9 * least[PREPROCESSED]
    assert two[RESULTS] > 2 * least[RESULTS] * 0.9
    assert estimate(replace(SETTINGS, folds=(0,)), PHANTOMS)[RESULTS] < least[RESULTS] / 2
    assert estimate(SETTINGS, PHANTOMS, at_a_time=4)[RESULTS] > least[RESULTS]


def test_probabilities_are_kept_for_ensembles_only():
    one, two = SETTINGS, replace(SETTINGS, configurations=("2d", "3d_fullres"))
    more_labels = replace(PHANTOMS, labels=PHANTOMS.labels + 1)

    assert estimate(one, more_labels) == estimate(one, PHANTOMS)
    assert estimate(two, more_labels)[RESULTS] > estimate(two, PHANTOMS)[RESULTS]


def test_data_shared_by_models_are_counted_once():
    same_plans = replace(SETTINGS, compare=("nnUNetTrainer:MSCSPlanner",))
    cascade = replace(SETTINGS, configurations=("3d_lowres", "3d_fullres", "3d_cascade_fullres"))

    assert estimate(same_plans, PHANTOMS)[PREPROCESSED] == estimate(SETTINGS, PHANTOMS)[PREPROCESSED]
    assert estimate(cascade, PHANTOMS)[PREPROCESSED] < 2.1 * estimate(SETTINGS, PHANTOMS)[PREPROCESSED]


def test_adam_keeps_two_moments():
    assert bytes_per_parameter(PlannedModel("MSCSTrainerPaper_9epochs", "MSCSPlanner", "2d")) == 12


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.nrrd", "a.npy", "a.npz"])
def test_values_are_counted_by_the_header(tmp_path, name):
    array = np.zeros((5, 6, 7), np.float32)
    file = tmp_path / name
    if name.endswith(".npy"):
        np.save(file, array)
    elif name.endswith(".npz"):
        np.savez_compressed(file, image=array, spacing=np.ones(3))
    else:
        sitk.WriteImage(sitk.GetImageFromArray(array), str(file))

    assert count_values(file) == 5 * 6 * 7


@pytest.fixture
def scans(tmp_path):
    """Six cases of ADC and DWI."""
    for case in range(6):
        for name in (f"images/c{case}_adc", f"images/c{case}_dwi", f"masks/c{case}"):
            file = tmp_path / "scans" / f"{name}.nii.gz"
            file.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(np.zeros((5, 6, 7 + case), np.float32)), str(file))
    return tmp_path / "scans"


def test_a_source_is_measured_without_reading_its_voxels(scans, tmp_path):
    measured = measure_scans(replace(SETTINGS, source=str(scans), test_fraction=1 / 3), folders_of(tmp_path / "ws"))

    assert measured == Scans(labelled=4, test=2, values_per_scan=2 * 30 * 9.5, voxels_per_scan=30 * 9.5)


def test_a_source_without_readable_headers_is_named(scans, tmp_path):
    for file in scans.rglob("*.nii.gz"):
        file.write_bytes(b"no scan")

    with pytest.raises(MscsError, match=r"_adc\.nii\.gz is text, not NIfTI"):
        measure_scans(replace(SETTINGS, source=str(scans)), folders_of(tmp_path / "ws"))


def test_a_data_set_in_nnunets_raw_format(scans, tmp_path):
    raw = tmp_path / "ws" / "nnUNet_raw" / "Dataset001_Stroke"
    for folder in ("imagesTr", "imagesTs", "labelsTr"):
        (raw / folder).mkdir(parents=True)
    (raw / "dataset.json").write_text('{"channel_names": {"0": "ADC", "1": "DWI"}, "file_ending": ".nii.gz"}')
    for case in range(3):
        for channel, suffix in enumerate(("adc", "dwi")):
            (scans / "images" / f"c{case}_{suffix}.nii.gz").rename(raw / f"imagesTr/c{case}_{channel:04d}.nii.gz")
        (scans / "masks" / f"c{case}.nii.gz").rename(raw / f"labelsTr/c{case}.nii.gz")
    (raw / "imagesTs/t_0000.nii.gz").touch()
    (raw / "imagesTs/t_0001.nii.gz").touch()

    measured = measure_scans(replace(SETTINGS, source=str(raw)), folders_of(tmp_path / "ws"))

    assert measured == Scans(labelled=3, test=1, values_per_scan=2 * 30 * 8, voxels_per_scan=30 * 8)
