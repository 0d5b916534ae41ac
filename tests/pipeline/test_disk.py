"""How large a data set is, and what a run on it needs, against what phantoms and nnU-Net really wrote."""

from dataclasses import replace

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.environment import PREPROCESSED, RAW, RESULTS
from nnunetv2_mscs.pipeline.disk import estimate
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.source import Scans, measure_scans

SETTINGS = RunSettings("scans", 1, "Stroke")
# 40 phantoms of 192 x 192 x 20 voxels, 8 of them for the test, as `mscs convert` and nnUNetv2_preprocess wrote them.
PHANTOMS = Scans(labelled=32, test=8, values=2 * 192 * 192 * 20)
PHANTOMS_RAW_BYTES = 41_943_347 + 10_419_228 + 52_439 + 14_410
PHANTOMS_PREPROCESSED_BYTES = 66_140_818 + 52_439


def test_converted_and_preprocessed_phantoms_within_a_third():
    expected = estimate(SETTINGS, PHANTOMS)
    assert expected[RAW] == pytest.approx(PHANTOMS_RAW_BYTES, rel=1 / 3)
    assert expected[PREPROCESSED] == pytest.approx(PHANTOMS_PREPROCESSED_BYTES, rel=1 / 3)
    assert estimate(SETTINGS, replace(PHANTOMS, is_raw=True))[RAW] == 0, "it is there already"


def test_models_share_data_of_the_same_plans_and_keep_probabilities_for_ensembles_only():
    least = estimate(SETTINGS, PHANTOMS)
    same_plans = estimate(replace(SETTINGS, compare=("nnUNetTrainer:MSCSPlanner",)), PHANTOMS)
    cascade = estimate(replace(SETTINGS, configurations=("3d_lowres", "3d_fullres", "3d_cascade_fullres")), PHANTOMS)
    assert same_plans[PREPROCESSED] == least[PREPROCESSED]
    assert same_plans[RESULTS] == pytest.approx(2 * least[RESULTS], rel=0.1), "checkpoints alone"
    assert cascade[PREPROCESSED] == 2 * least[PREPROCESSED]
    many = replace(PHANTOMS, labelled=32_000)
    assert estimate(SETTINGS, many)[RESULTS] == least[RESULTS]
    assert estimate(replace(SETTINGS, configurations=("2d", "3d_fullres")), many)[RESULTS] > 10 * least[RESULTS]
    assert estimate(replace(SETTINGS, folds=(0,)), PHANTOMS)[RESULTS] < least[RESULTS] / 2
    assert estimate(SETTINGS, PHANTOMS, at_a_time=4)[RESULTS] > least[RESULTS]


def test_a_source_is_measured_by_names_and_some_scans(scans, folders):
    measured = measure_scans(replace(SETTINGS, source=str(scans), test_fraction=1 / 3), folders)
    assert measured == Scans(labelled=4, test=2, values=2 * 30 * 9)


def test_scans_that_cannot_be_read_are_named(scans, folders):
    for file in scans.rglob("*.nii.gz"):
        file.write_bytes(b"no scan")
    with pytest.raises(MscsError, match="is text, not NIfTI") as error:
        measure_scans(replace(SETTINGS, source=str(scans)), folders)
    assert error.value.file.endswith("c0_adc.nii.gz")


def test_a_data_set_in_nnunets_raw_format(scans, folders):
    raw = folders.raw / "Dataset001_Stroke"
    for folder in ("imagesTr", "imagesTs", "labelsTr"):
        (raw / folder).mkdir(parents=True)
    (raw / "dataset.json").write_text('{"channel_names": {"0": "ADC", "1": "DWI"}, "file_ending": ".nii.gz"}')
    for case in range(3):
        for channel, suffix in enumerate(("adc", "dwi")):
            (scans / "images" / f"c{case}_{suffix}.nii.gz").rename(raw / f"imagesTr/c{case}_{channel:04d}.nii.gz")
        (scans / "masks" / f"c{case}.nii.gz").rename(raw / f"labelsTr/c{case}.nii.gz")
    (raw / "imagesTs/t_0000.nii.gz").touch()
    (raw / "imagesTs/t_0001.nii.gz").touch()
    measured = measure_scans(replace(SETTINGS, source=str(raw)), folders)
    assert measured == Scans(labelled=3, test=1, values=2 * 30 * 8, is_raw=True)
