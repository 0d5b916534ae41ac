"""The real cases, with three units of ADC among them, come out right, and nnU-Net takes them."""

import csv
import json

import nibabel
import numpy as np
import pytest

UNITS = {
    "isles22_0001": ("10^-3 mm2/s", 1e3),
    "isles22_0002": ("mm2/s", 1e6),
    "isles22_0003": ("mm2/s", 1e6),
    "isles22_0004": ("10^-3 mm2/s", 1e3),
    "soop_3": ("10^-6 mm2/s", 1.0),
}
LESIONS = {
    "isles22_0001": (6.68, 31),
    "isles22_0002": (0.94, 1),
    "isles22_0003": (31.0, 46),
    "isles22_0004": (2.25, 8),
    "soop_3": (156.6, 6),
}


@pytest.fixture
def converted(mscs, raw, real_folder):
    outcome = mscs("convert", real_folder, 7, "Stroke", "--unlabelled", real_folder / "unlabelled")
    assert outcome.code == 0, outcome.err
    return raw / "Dataset007_Stroke", outcome


def voxels(path) -> np.ndarray:
    return np.asanyarray(nibabel.load(path).dataobj)


def test_the_whole_dataset(converted, real_folder, nnunet_folders):
    folder, outcome = converted
    content = json.loads((folder / "dataset.json").read_text())
    assert content["channel_names"] == {"0": "ADC", "1": "DWI"}
    assert content["labels"] == {"background": 0, "lesion": 1}
    assert content["numTraining"] == 5
    assert content["file_ending"] == ".nii.gz"
    assert content["source"] == str(real_folder)
    assert content["converted_by"].startswith("nnunetv2-mscs ")
    rows = {row["case"]: row for row in csv.DictReader((folder / "cases.csv").open())}
    assert list(rows) == [*UNITS, "ads_02"]
    for name, (unit, factor) in UNITS.items():
        assert rows[name]["adc_unit"] == unit
        assert float(rows[name]["lesion_volume_ml"]) == pytest.approx(LESIONS[name][0], rel=5e-3)
        assert int(rows[name]["pieces"]) == LESIONS[name][1]
        assert rows[name]["adc_file"] == f"images/{name}_adc.nii.gz"
        source = nibabel.load(real_folder / f"images/{name}_dwi.nii.gz")
        for index, channel in enumerate(("adc", "dwi")):
            written = nibabel.load(folder / f"imagesTr/{name}_{index:04d}.nii.gz")
            stored = voxels(real_folder / f"images/{name}_{channel}.nii.gz").astype(np.float64)
            scale = factor if channel == "adc" else 1.0
            np.testing.assert_allclose(np.asanyarray(written.dataobj), stored * scale, rtol=1e-6)
            np.testing.assert_allclose(written.affine, source.affine, atol=1e-3)
            assert written.get_data_dtype() == np.float32
        np.testing.assert_array_equal(
            voxels(folder / f"labelsTr/{name}.nii.gz"), voxels(real_folder / f"masks/{name}.nii.gz")
        )
    assert rows["ads_02"]["split"] == "unlabelled"
    assert rows["ads_02"]["adc_unit"] == "mm2/s"
    assert sorted(path.name for path in (folder / "imagesTs").iterdir()) == ["ads_02_0000.nii.gz", "ads_02_0001.nii.gz"]
    assert not (folder / "labelsTs").exists()
    assert "b0.nii.gz" in outcome.out
    assert "negative" in rows["ads_02"]["warnings"]
    assert "nnUNetv2_plan_and_preprocess -d 7 -pl MSCSPlanner" in outcome.out
    folds = json.loads((folder / "splits_final.json").read_text())
    assert len(folds) == 5
    assert sorted(case for fold in folds for case in fold["val"]) == sorted(UNITS)


def test_nnunet_accepts_it(converted, capfd):
    """nnU-Net's own check, which reads every file through its own reader."""
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
    from nnunetv2.utilities.dataset_name_id_conversion import convert_id_to_dataset_name

    assert convert_id_to_dataset_name(7) == "Dataset007_Stroke"
    verify_dataset_integrity(str(converted[0]), num_processes=1)
    said = capfd.readouterr().out.lower()
    assert "warning" not in said
    assert "error:" not in said


def test_a_new_scan_given_as_its_own_folder(mscs, raw, real_folder, tmp_path):
    for folder, case in (("images", "isles22_0002_adc"), ("images", "isles22_0002_dwi"), ("masks", "isles22_0002")):
        (tmp_path / "one" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "one" / folder / f"{case}.nii.gz").symlink_to(real_folder / folder / f"{case}.nii.gz")
    outcome = mscs("convert", tmp_path / "one", 1, "One", "--unlabelled", real_folder / "unlabelled" / "ads_02")
    assert outcome.code == 0, outcome.err
    assert (raw / "Dataset001_One/imagesTs/ads_02_0001.nii.gz").is_file()
    assert not (raw / "Dataset001_One/splits_final.json").exists()
    assert "one training patient" in outcome.out
