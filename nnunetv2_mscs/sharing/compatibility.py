"""Whether the nnU-Net here can predict with a model: plans, trainer, network, weights."""

import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON
from nnunetv2_mscs.nnunet_files.json_files import read_json
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON
from nnunetv2_mscs.sharing.checkpoints import Checkpoint
from nnunetv2_mscs.sharing.plans import ANOTHER, check_plans, found_by_nnunet, quiet

VERSIONS = "Install the versions that the model was made with (its model card names them)."


def check_model(
    folder: Path, checkpoints: Mapping[str, Checkpoint], *, trust: Sequence[str] | None
) -> tuple[set[str], list[str]]:
    """Check the plans, build the network as nnU-Net's prediction does, and compare it with the weights of each fold.

    Args:
        folder: the model's.
        checkpoints: by fold.
        trust: further packages that network classes may be from; None for any.

    Returns:
        The packages of its network classes that are not among the known ones; and notices for the user.

    Raises:
        MscsError: plans or trainer are missing or not as they should be, or weights and network do not fit.
    """
    trained = {(one.trainer, one.configuration) for one in checkpoints.values()}
    if len(trained) != 1:
        raise MscsError(f"{folder.name}: its folds are from different trainers.", ANOTHER)
    trainer_name, configuration = trained.pop()
    packages = check_plans(folder, configuration, trust=trust)
    trainer, by_itself = find_trainer(trainer_name)
    plans, dataset = read_json(folder / PLANS_JSON), read_json(folder / DATASET_JSON)
    expected = _shapes(build_network(trainer, trainer_name, plans, dataset, configuration, "meta").state_dict())
    for fold, checkpoint in checkpoints.items():
        # nnU-Net's prediction takes the names as they are.
        found = _shapes(checkpoint.weights)
        if found != expected:
            differing = next(name for name in [*expected, *found] if expected.get(name) != found.get(name))
            raise MscsError(
                f"{folder.name}, fold {fold}: the weights do not fit the network that {trainer_name} builds here "
                f"({differing} is {found.get(differing, 'missing')}, not {expected.get(differing, 'absent')}).",
                VERSIONS,
            )
    notice = f"nnU-Net does not find {trainer_name} by itself yet: mscs doctor --link."
    return packages, [] if by_itself else [notice]


def find_trainer(name: str) -> tuple[Any, bool]:
    """The trainer class, and whether nnU-Net finds it by itself."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    if not re.fullmatch(r"\w+", name):
        raise MscsError(f"{name!r} is not the name of a trainer.", ANOTHER)
    trainer, by_itself = found_by_nnunet(recursive_find_trainer_class_by_name, name)
    if trainer is None:
        raise MscsError(
            f"The model's trainer {name} is not found here.",
            "Install the package that it is from; nnU-Net finds trainers in nnUNet_extTrainer, too.",
        )
    return trainer, by_itself


def build_network(trainer: Any, name: str, plans: dict, dataset: dict, configuration: str, device: str) -> Any:
    """The network for prediction on a device; on "meta" without memory for its weights."""
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
                # nnU-Net's prediction accepts trainers with its former signature, too.
                named = (
                    chosen.network_arch_class_name,
                    chosen.network_arch_init_kwargs,
                    chosen.network_arch_init_kwargs_req_import,
                )
            with torch.device(device):
                return build(*named, channels, heads, enable_deep_supervision=False)
        except Exception as error:
            # Whatever a network's constructor raises: prediction would raise the same.
            raise MscsError(
                f"The network of {name} cannot be built from the plans: {type(error).__name__}: {error}.",
                VERSIONS,
            ) from error


def _shapes(weights: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}
