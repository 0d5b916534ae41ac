"""Whether nnU-Net can predict with a model here: versions, trainer, network, weights."""

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON
from nnunetv2_mscs.nnunet_files.json_files import read_json
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.sharing.checkpoints import Checkpoint
from nnunetv2_mscs.sharing.manifest import OURS, versions_here
from nnunetv2_mscs.sharing.plans import quiet

VERSIONS = "Install the versions that the model was made with (its model card names them)."


def compare_versions(versions: Mapping[str, str]) -> list[str]:
    """Notices about versions of packages that are older here than where the model was made.

    Raises:
        MscsError: nnU-Net or this package is of another major version.
    """
    here, notices = versions_here(), []
    for package, command in (("nnunetv2", "nnunetv2"), (OURS, "nnunetv2-mscs")):
        made, mine = versions.get(package, ""), here.get(package, "")
        if made and mine and _numbers(made)[:1] != _numbers(mine)[:1]:
            raise MscsError(
                f"The model was made with {package} {made}, and here is {mine}.", f"pip install '{command}=={made}'"
            )
    for package in ("nnunetv2", OURS, "torch"):
        made, mine = versions.get(package, ""), here.get(package, "")
        if made and mine and _numbers(made)[:2] > _numbers(mine)[:2]:
            notices.append(f"the model was made with {package} {made}, newer than {mine} here.")
    return notices


def trained_with(folder: Path, checkpoints: Mapping[str, Checkpoint]) -> tuple[str, str]:
    """Trainer and configuration of a model's folds. Raises MscsError if they differ."""
    told = {(one.trainer, one.configuration) for one in checkpoints.values()}
    if len(told) != 1:
        raise MscsError(f"{folder.name}: its folds are of different trainers.", "Ask the sender for another file.")
    return told.pop()


def check_model(folder: Path, checkpoints: Mapping[str, Checkpoint]) -> list[str]:
    """Build the network as nnU-Net's prediction does and compare it with the weights of each fold.

    Args:
        folder: the model's, whose plans passed `check_plans`.
        checkpoints: by fold.

    Returns:
        Notices.

    Raises:
        MscsError: the trainer is not found, or weights and network do not fit.
    """
    plans, dataset = read_json(folder / PLANS_JSON), read_json(folder / DATASET_JSON)
    notices: list[str] = []
    trainer_name, configuration = trained_with(folder, checkpoints)
    trainer = _trainer(trainer_name, notices)
    expected = _shapes(_network(trainer, trainer_name, plans, dataset, configuration).state_dict())
    for fold, checkpoint in checkpoints.items():
        # Names that nnU-Net's prediction takes as they are.
        found = _shapes(checkpoint.weights)
        if found != expected:
            differing = next(name for name in [*expected, *found] if expected.get(name) != found.get(name))
            raise MscsError(
                f"{folder.name}, fold {fold}: the weights do not fit the network that {trainer_name} builds here "
                f"({differing} is {found.get(differing, 'missing')}, not {expected.get(differing, 'absent')}).",
                VERSIONS,
            )
    return notices


def _trainer(name: str, notices: list[str]) -> Any:
    """The trainer class that nnU-Net finds by itself, or once it is shown ours."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    if not re.fullmatch(r"\w+", name):
        raise MscsError(f"{name!r} is no name of a trainer.", "Ask the sender for another file.")
    with quiet():
        try:
            return recursive_find_trainer_class_by_name(name)
        except (RuntimeError, AssertionError):
            from nnunetv2_mscs.nnunet_shims.run import make_findable

            make_findable()
        try:
            found = recursive_find_trainer_class_by_name(name)
        except (RuntimeError, AssertionError) as error:
            raise MscsError(
                f"The model's trainer {name} is not found here.",
                "Install the package that it is of; nnU-Net finds trainers in nnUNet_extTrainer, too.",
            ) from error
    notices.append(f"nnU-Net does not find {name} by itself yet: mscs doctor --link.")
    return found


def _network(trainer: Any, name: str, plans: dict, dataset: dict, configuration: str) -> Any:
    """The network for prediction, without room for its weights."""
    import torch
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    with quiet():
        try:
            manager = PlansManager(plans)
            chosen = manager.get_configuration(configuration)
            channels = determine_num_input_channels(manager, chosen, dataset)
            heads = manager.get_label_manager(dataset).num_segmentation_heads
            build = trainer.build_network_architecture
            named: tuple[Any, ...] = (manager, chosen)
            if "plans_manager" not in inspect.signature(build).parameters:
                # Trainers of before nnU-Net's present signature: its prediction knows both.
                named = (
                    chosen.network_arch_class_name,
                    chosen.network_arch_init_kwargs,
                    chosen.network_arch_init_kwargs_req_import,
                )
            with torch.device("meta"):
                return build(*named, channels, heads, enable_deep_supervision=False)
        except Exception as error:
            # Whatever a network's constructor raises: prediction would raise the same.
            raise MscsError(
                f"The network of {name} cannot be built from the plans: {type(error).__name__}: {error}.",
                VERSIONS,
            ) from error


def _shapes(weights: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]{1,9}", version.split("+")[0]))
