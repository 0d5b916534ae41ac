"""MSCSPlanner on fingerprints of data sets of every shape."""

import itertools
import json

import numpy as np
import pytest
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.planning.planner import MSCSPlanner
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
    for target in (2, 4, 8, 24, 80):
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
    assert "MSCSPlans.json planned other networks for 3d_fullres" in capsys.readouterr().out
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


def test_a_target_below_every_patch_is_refused(fingerprinted, nnunet_folders):
    with pytest.raises(MscsError, match="too small for MSCS-Net: nnU-Net plans no stage below the image"):
        planned(fingerprinted(), nnunet_folders, gpu_memory_target_in_gb=0.3)


def test_images_below_every_topology_are_refused(fingerprinted, nnunet_folders):
    with pytest.raises(MscsError, match="A patch of 6 x 6 x 6 voxels is too small"):
        planned(fingerprinted(size=(6, 6, 6), spacing=(5.0, 5.0, 5.0)), nnunet_folders)
