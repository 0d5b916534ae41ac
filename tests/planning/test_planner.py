"""MSCSPlanner on fingerprints of data sets of every shape."""

import itertools
import json

import numpy as np
import pytest
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.planning.planner import MSCSPlanner, MSCSPlannerZScore
from nnunetv2_mscs.training.trainer import MSCSTrainer


def voxels(configuration: dict) -> int:
    return int(np.prod(configuration["patch_size"]))


def planned(name: str, nnunet_folders, **arguments) -> dict:
    MSCSPlanner(name, **arguments).plan_experiment()
    plans_name = arguments.get("plans_name", "MSCSPlans")
    return json.loads((nnunet_folders / "nnUNet_preprocessed" / name / f"{plans_name}.json").read_text())


def test_low_resolution_scans_fit_whole(fingerprinted, nnunet_folders):
    plans = planned(fingerprinted(), nnunet_folders)
    assert plans["plans_name"] == "MSCSPlans"
    assert plans["experiment_planner_used"] == "MSCSPlanner"
    full = plans["configurations"]["3d_fullres"]
    assert full["patch_size"] == [20, 192, 192]
    assert full["architecture"]["network_class_name"] == "nnunetv2_mscs.network.MSCSNet"
    assert full["mscs_net"]["estimated_memory_gb"] <= 8
    assert 2 <= full["batch_size"] <= 0.05 * 250 + 0.5


def test_topology_and_preprocessing_are_nnunets(fingerprinted, nnunet_folders):
    """Where memory is no limit, both choose the same patch: then all that the network does not decide agrees."""
    name = fingerprinted(size=(20, 96, 96), cases=5)
    ours = planned(name, nnunet_folders)
    theirs = json.loads(json.dumps(ExperimentPlanner(name).plan_experiment(), default=float))
    for configuration in ("2d", "3d_fullres"):
        a, b = ours["configurations"][configuration], theirs["configurations"][configuration]
        differing = {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)}
        assert differing <= {"architecture", "mscs_net", "batch_size", "data_identifier"}
        assert a["architecture"]["arch_kwargs"]["strides"] == b["architecture"]["arch_kwargs"]["strides"]


def test_larger_targets_give_larger_patches_or_batches(fingerprinted, nnunet_folders):
    name = fingerprinted(size=(128, 256, 256), spacing=(1.0, 1.0, 1.0), cases=1000)
    chosen = []
    for target in (2, 8, 80):
        full = planned(name, nnunet_folders, gpu_memory_target_in_gb=target)["configurations"]["3d_fullres"]
        assert full["mscs_net"]["estimated_memory_gb"] <= 0.9 * target
        chosen.append((voxels(full), full["batch_size"]))
    patches = [patch for patch, _ in chosen]
    assert patches == sorted(patches)
    assert patches[0] < patches[-1]
    work = [patch * batch for patch, batch in chosen]
    assert all(a < b for a, b in itertools.pairwise(work))


def test_3d_lowres_and_cascade_appear_for_large_images(fingerprinted, nnunet_folders):
    name = fingerprinted(size=(400, 512, 512), spacing=(1.0, 0.8, 0.8), cases=50)
    configurations = planned(name, nnunet_folders, gpu_memory_target_in_gb=6)["configurations"]
    assert set(configurations) == {"2d", "3d_lowres", "3d_fullres", "3d_cascade_fullres"}
    assert configurations["3d_lowres"]["data_identifier"] == "MSCSPlans_3d_lowres"


@pytest.mark.parametrize(
    ("size", "spacing"),
    [((1, 256, 256), (1.0, 1.0, 1.0)), ((20, 256, 256), (6.5, 0.9, 0.9)), ((73, 112, 112), (2.0, 2.0, 2.0))],
)
def test_every_configuration_builds_a_network_without_blind_taps(fingerprinted, nnunet_folders, size, spacing):
    plans = planned(fingerprinted(size=size, spacing=spacing), nnunet_folders)
    assert ("3d_fullres" in plans["configurations"]) == (size[0] > 1)
    manager = PlansManager(plans)
    for name, configuration in plans["configurations"].items():
        network = MSCSTrainer.build_network_architecture(manager, manager.get_configuration(name), 2, 2, False)
        patch = configuration["patch_size"]
        assert network.forward_without_data((1, 2, *patch)).shape == (1, 2, *patch)
        arguments = configuration["architecture"]["arch_kwargs"]
        feature_map = np.array(patch)
        for stride, kernels in zip(arguments["strides"], arguments["dmsa_kernel_sizes"], strict=True):
            feature_map = feature_map // stride
            assert (np.array(kernels) <= 2 * feature_map - 1).all()


def test_replacing_plans_of_other_networks_is_said(fingerprinted, nnunet_folders, capsys):
    name = fingerprinted(size=(128, 256, 256), spacing=(1.0, 1.0, 1.0))
    planned(name, nnunet_folders)
    planned(name, nnunet_folders)
    assert "WARNING" not in capsys.readouterr().out
    planned(name, nnunet_folders, gpu_memory_target_in_gb=2)
    assert "MSCSPlans.json planned other networks or input for 3d_fullres" in capsys.readouterr().out
    planned(name, nnunet_folders, gpu_memory_target_in_gb=8, plans_name="MSCSPlans8")
    assert "WARNING" not in capsys.readouterr().out


def test_it_says_what_it_chose_and_why(fingerprinted, nnunet_folders, capsys):
    plans = planned(fingerprinted(cases=5), nnunet_folders)
    printed = capsys.readouterr().out
    for configuration in plans["configurations"].values():
        choice = configuration["mscs_net"]
        assert f"{choice['parameters'] / 1e6:.1f} million parameters" in printed
        assert all(reason in printed for reason in choice["reasons"])
    assert "nnU-Net's smallest" in printed


def test_data_are_shared_with_default_plans_that_preprocess_alike(fingerprinted, nnunet_folders):
    name = fingerprinted()

    def identifiers(**arguments) -> list[str]:
        configurations = planned(name, nnunet_folders, **arguments)["configurations"]
        return [configurations[configuration]["data_identifier"] for configuration in ("2d", "3d_fullres")]

    own, shared = ["MSCSPlans_2d", "MSCSPlans_3d_fullres"], ["nnUNetPlans_2d", "nnUNetPlans_3d_fullres"]
    assert identifiers() == own
    ExperimentPlanner(name).plan_experiment()
    assert identifiers() == shared
    assert identifiers(overwrite_target_spacing=[5.0, 1.0, 1.0]) == own
    assert identifiers(preprocessor_name="AnotherPreprocessor") == own
    ExperimentPlanner(name, overwrite_target_spacing=[5.0, 1.2, 1.2]).plan_experiment()
    assert identifiers() == ["nnUNetPlans_2d", "MSCSPlans_3d_fullres"]


OURS, ZSCORE = ["ADCNormalization", "DWINormalization"], ["ZScoreNormalization"] * 2
LESIONS = {"0": {"median": 550.0, "max": 2700.0}, "1": {"median": 480.0, "max": 1500.0}}


def schemes(plans: dict) -> list[str]:
    both = [plans["configurations"][name]["normalization_schemes"] for name in ("2d", "3d_fullres")]
    assert both[0] == both[1]
    return both[0]


def normalisation_reason(plans: dict) -> str:
    (reason,) = [one for one in plans["configurations"]["2d"]["mscs_net"]["reasons"] if one.startswith("normalisation")]
    return reason


@pytest.mark.parametrize("stored", [1, 1e-3, 1e-6])
def test_adc_and_dwi_are_normalised_by_what_they_are(fingerprinted, nnunet_folders, stored):
    lesions = {"0": {key: value * stored for key, value in LESIONS["0"].items()}, "1": LESIONS["1"]}
    plans = planned(fingerprinted(channels=("adc", "Dwi"), intensities=lesions), nnunet_folders)
    assert schemes(plans) == OURS
    assert plans["configurations"]["2d"]["use_mask_for_norm"] == [False, False]
    unit = {1: "10^-6 mm2/s", 1e-3: "10^-3 mm2/s", 1e-6: "mm2/s"}[stored]
    assert normalisation_reason(plans) == (
        f"normalisation: adc by its unit (lesions are in {unit}), Dwi by the median of its parenchyma"
    )
    assert PlansManager(plans).get_configuration("2d").normalization_schemes == OURS


def test_a_planner_of_its_own_keeps_nnunets_normalisation(fingerprinted, nnunet_folders):
    MSCSPlannerZScore(fingerprinted(intensities=LESIONS)).plan_experiment()
    (file,) = nnunet_folders.rglob("MSCSPlansZScore.json")
    plans = json.loads(file.read_text())
    assert (plans["plans_name"], plans["experiment_planner_used"]) == ("MSCSPlansZScore", "MSCSPlannerZScore")
    assert (schemes(plans), normalisation_reason(plans)) == (ZSCORE, "normalisation: by nnU-Net's rules")


@pytest.mark.parametrize(
    ("channels", "expected", "reason"),
    [
        (("ADC", "DWI", "FLAIR"), [*OURS, "ZScoreNormalization"], ", the others by nnU-Net's rules"),
        (("DWI",), OURS[1:], ": DWI by the median of its parenchyma"),
        (("FLAIR", "nonorm"), ["ZScoreNormalization", "NoNormalization"], "normalisation: by nnU-Net's rules"),
    ],
)
def test_other_channels_are_normalised_by_nnunets_rules(fingerprinted, nnunet_folders, channels, expected, reason):
    lesions = LESIONS | {"2": {"median": 30.0, "max": 90.0}}
    plans = planned(fingerprinted(channels=channels, intensities=lesions), nnunet_folders)
    assert schemes(plans) == expected
    assert normalisation_reason(plans).endswith(reason)


@pytest.mark.parametrize(
    ("adc", "why"),
    [
        ({"median": 0.17, "max": 0.98}, "(median 0.17, at most 0.98) is in no unit of diffusivity"),
        ({"median": 0.5, "max": 1.0}, "is in no unit of diffusivity"),
        ({"median": -0.3, "max": 2.1}, "is in no unit of diffusivity"),
        ({"median": 20.0, "max": 70.0}, "is in no unit of diffusivity"),
        ({"median": float("nan"), "max": float("nan")}, "fingerprint has no ADC of lesions"),
        ({}, "fingerprint has no ADC of lesions"),
    ],
)
def test_adc_without_a_unit_leaves_all_to_nnunets_rules(fingerprinted, nnunet_folders, capsys, adc, why):
    plans = planned(fingerprinted(intensities={"0": adc, "1": LESIONS["1"]}), nnunet_folders)
    assert schemes(plans) == ZSCORE
    assert normalisation_reason(plans).startswith("normalisation: by nnU-Net's rules, because the ")
    assert normalisation_reason(plans).endswith(why)
    assert why in capsys.readouterr().out


def test_images_have_to_be_in_the_unit_that_their_lesions_promise(fingerprinted, nnunet_folders):
    """Preprocessing would refuse the data set, hours later."""
    assert schemes(planned(fingerprinted(intensities=LESIONS, value=800.0), nnunet_folders)) == OURS
    plans = planned(fingerprinted(intensities=LESIONS, value=104.0), nnunet_folders)
    assert schemes(plans) == ZSCORE
    assert "because preprocessing would refuse case (ADC unit not recognised" in normalisation_reason(plans)


def test_only_plans_that_normalise_alike_share_data(fingerprinted, nnunet_folders):
    name = fingerprinted(intensities=LESIONS)
    ExperimentPlanner(name).plan_experiment()
    shared = [
        planner(name).plan_experiment()["configurations"]["2d"]["data_identifier"]
        for planner in (MSCSPlanner, MSCSPlannerZScore)
    ]
    assert shared == ["MSCSPlans_2d", "nnUNetPlans_2d"]


def test_models_of_another_normalisation_are_warned_of(fingerprinted, nnunet_folders, capsys):
    name = fingerprinted(intensities=LESIONS)
    planned(name, nnunet_folders)
    capsys.readouterr()
    MSCSPlannerZScore(name, plans_name="MSCSPlans").plan_experiment()
    assert "MSCSPlans.json planned other networks or input for 2d, 3d_fullres" in capsys.readouterr().out


def test_a_target_below_every_patch_is_refused(fingerprinted, nnunet_folders):
    with pytest.raises(MscsError, match="too small for MSCS-Net: nnU-Net plans no stage below the image"):
        planned(fingerprinted(), nnunet_folders, gpu_memory_target_in_gb=0.3)


def test_images_below_every_topology_are_refused(fingerprinted, nnunet_folders):
    with pytest.raises(MscsError, match="A patch of 6 x 6 x 6 voxels is too small"):
        planned(fingerprinted(size=(6, 6, 6), spacing=(5.0, 5.0, 5.0)), nnunet_folders)
