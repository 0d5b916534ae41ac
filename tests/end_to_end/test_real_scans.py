"""From a folder of real scans to predicted masks, through the stock commands of nnU-Net."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

pytestmark = pytest.mark.slow

DATASET = "Dataset501_Stroke"
TRAINER = "MSCSTrainer_1epochs_2iterations"
PLANS = {
    "MSCSPlans": "MSCSPlanner",
    "nnUNetPlans": "ExperimentPlanner",
    "nnUNetResEncUNetMPlans": "nnUNetPlannerResEncM",
}


@pytest.fixture(scope="module")
def preprocessed(real_folder, folders, command) -> Path:
    """The five labelled scans and one new one converted; planned by three planners; preprocessed as two of them say."""
    command("mscs", "convert", real_folder, 501, "Stroke", "--unlabelled", real_folder / "unlabelled", "-np", 2)
    command("nnUNetv2_extract_fingerprint", "-d", 501, "-np", 2, "--verify_dataset_integrity")
    for planner in ("ExperimentPlanner", "nnUNetPlannerResEncM"):
        command("nnUNetv2_plan_experiment", "-d", 501, "-pl", planner)
    stock = "nnUNetv2_plan_and_preprocess"
    small = ("-gpu_memory_target", 2)  # a CPU trains and predicts with it
    command(stock, "-d", 501, "-pl", "MSCSPlanner", "-c", "3d_fullres", *small, "-np", 2)
    command("nnUNetv2_preprocess", "-d", 501, "-plans_name", "nnUNetPlans", "-c", "2d", "-np", 2)
    return folders / "nnUNet_preprocessed" / DATASET


def grid(file: Path) -> list[float]:
    image = sitk.ReadImage(str(file))
    return [*image.GetSize(), *image.GetSpacing(), *image.GetOrigin(), *image.GetDirection()]


def model_folder(folders: Path, trainer: str, plans: str, configuration: str) -> Path:
    return folders / "nnUNet_results" / DATASET / f"{trainer}__{plans}__{configuration}"


def test_all_cases_are_planned_and_split(preprocessed, folders):
    raw = folders / "nnUNet_raw" / DATASET
    assert len(list((raw / "labelsTr").iterdir())) == 5
    assert (preprocessed / "splits_final.json").read_text() == (raw / "splits_final.json").read_text()
    for plans in PLANS:
        assert set(json.loads((preprocessed / f"{plans}.json").read_text())["configurations"]) == {"2d", "3d_fullres"}
    for folder in ("MSCSPlans_3d_fullres", "nnUNetPlans_2d"):
        assert len(list((preprocessed / folder).glob("*.pkl"))) == 5
    chosen = json.loads((preprocessed / "MSCSPlans.json").read_text())["configurations"]["3d_fullres"]
    assert chosen["normalization_schemes"] == ["ADCNormalization", "DWINormalization"]


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
@pytest.mark.parametrize("plans", ["MSCSPlans", "nnUNetPlans", "nnUNetResEncUNetMPlans"])
def test_networks_of_all_plans_are_mscs_net_of_their_topology(preprocessed, plans, configuration):
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from nnunetv2_mscs.network import MSCSNet
    from nnunetv2_mscs.training import MSCSTrainer

    manager = PlansManager(str(preprocessed / f"{plans}.json"))
    chosen = manager.get_configuration(configuration)
    network = MSCSTrainer.build_network_architecture(manager, chosen, 2, 2, True)
    assert isinstance(network, MSCSNet)
    outputs = network.forward_without_data((1, 2, *chosen.patch_size))
    size = np.array(chosen.patch_size)
    for output, stride in zip(outputs, chosen.pool_op_kernel_sizes, strict=False):
        size = size // stride
        assert tuple(output.shape) == (1, 2, *size)
    assert len(outputs) == len(chosen.pool_op_kernel_sizes) - 1


@pytest.mark.parametrize(("plans", "configuration"), [("MSCSPlans", "3d_fullres"), ("nnUNetPlans", "2d")])
def test_training_and_prediction(preprocessed, folders, command, tmp_path, plans, configuration):
    """One epoch of a few steps, validation, and the masks of a new and of a labelled scan on the scans' own grids."""
    log = command("nnUNetv2_train", 501, configuration, 0, "-tr", TRAINER, "-p", plans, "-device", "cpu", "--npz")
    assert "MSCS-Net with" in log
    fold = model_folder(folders, TRAINER, plans, configuration) / "fold_0"
    (validated,) = json.loads((preprocessed / "splits_final.json").read_text())[0]["val"]
    assert (fold / "validation" / f"{validated}.npz").is_file()
    assert json.loads((fold / "validation" / "summary.json").read_text())["metric_per_case"]

    raw = folders / "nnUNet_raw" / DATASET
    scans = tmp_path / "scans"
    scans.mkdir()
    for case, source in (("ads_02", "imagesTs"), (validated, "imagesTr")):
        for file in (raw / source).glob(f"{case}_*.nii.gz"):
            os.symlink(file, scans / file.name)
    predict = ["nnUNetv2_predict", "-i", scans, "-o", tmp_path / "masks", "-d", 501, "-c", configuration, "-f", 0]
    command(*predict, "-tr", TRAINER, "-p", plans, "-device", "cpu", "--disable_tta", "-npp", 1, "-nps", 1)
    for case in ("ads_02", validated):
        mask = tmp_path / "masks" / f"{case}.nii.gz"
        np.testing.assert_allclose(grid(mask), grid(scans / f"{case}_0001.nii.gz"), rtol=0, atol=1e-5)
        assert set(np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(mask))))) <= {0, 1}
