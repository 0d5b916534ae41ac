"""Plans: the name of their file beside a model, and the configurations that nnU-Net plans."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PLANS_JSON = "plans.json"
LOW_RESOLUTION, FULL_RESOLUTION, CASCADE = "3d_lowres", "3d_fullres", "3d_cascade_fullres"
CONFIGURATIONS = ("2d", LOW_RESOLUTION, FULL_RESOLUTION, CASCADE)
# nnU-Net's residual encoder planners share the preprocessed data of these with its default planner.
RESIDUAL_PLANNER, DEFAULT_PLANS = "nnUNetPlannerResEnc", "nnUNetPlans"
SHARED_CONFIGURATIONS = ("2d", FULL_RESOLUTION)
# Beside the weights in the file of `weights_beside`: the probability of lesion from which a voxel is lesion.
WEIGHTS_THRESHOLD = "threshold"


def configuration_of(configurations: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A configuration of plans.json with the values that it inherits; empty if the plans do not have it."""
    chain: list[Mapping[str, Any]] = []
    while name in configurations and configurations[name] not in chain:
        chain.append(configurations[name])
        name = configurations[name].get("inherits_from", "")
    return {key: value for one in reversed(chain) for key, value in one.items()}


def weights_beside(preprocessed: Path, plans: str) -> Path:
    """The weights that trainings of these plans begin with, where `mscs adapt` took both from a model."""
    return preprocessed / f"{plans}_weights.pth"


def preprocessed_configuration(configuration: str) -> str:
    """The configuration whose preprocessed data are trained on; the cascade's second stage has those of 3d_fullres."""
    return FULL_RESOLUTION if configuration == CASCADE else configuration


def preprocessed_folder(planner: str, plans: str, configuration: str) -> str:
    """The name of the folder of a configuration's preprocessed data."""
    shared = planner.startswith(RESIDUAL_PLANNER) and configuration in SHARED_CONFIGURATIONS
    return f"{DEFAULT_PLANS if shared else plans}_{configuration}"
