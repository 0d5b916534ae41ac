"""Whether nnU-Net can predict with a model here: versions, classes named in its plans, trainer, network, weights."""

import pydoc
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.sources import DATASET_JSON, PLANS_JSON
from nnunetv2_mscs.sharing.checkpoints import Checkpoint
from nnunetv2_mscs.sharing.manifest import OURS, versions_here
from nnunetv2_mscs.sharing.selecting import read_json

# Packages whose network classes a file may name: prediction imports and calls what plans.json names.
KNOWN_PACKAGES = ("torch.nn", "dynamic_network_architectures", "nnunetv2", "nnunetv2_mscs")
TRUST = "Install and check that package; with --trust its class is accepted, and prediction runs it."


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


def check_plans(folder: Path, *, trust: bool) -> None:
    """Refuse plans that name classes or functions outside the known packages, for any configuration.

    Raises:
        MscsError: one is of another package (and not trusted), is not there, or is no network.
    """
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    file = folder / PLANS_JSON
    plans = read_json(file)
    with _quiet():
        try:
            manager = PlansManager(plans)
            configurations = [manager.get_configuration(name) for name in plans["configurations"]]
        except Exception as error:
            # nnU-Net raises anything for plans that are none.
            raise MscsError(
                f"{file.name} is no plan of nnU-Net's: {error}.", "Ask the sender for another file."
            ) from error
        for configuration in configurations:
            _check_network(configuration.network_arch_class_name, trust=trust)
            for key in configuration.network_arch_init_kwargs_req_import:
                named = configuration.network_arch_init_kwargs.get(key)
                if named is not None:
                    _check_network(str(named), trust=trust)
            _check_found_by_nnunet(manager, configuration)


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
    trainers = {(one.trainer, one.configuration) for one in checkpoints.values()}
    if len(trainers) != 1:
        raise MscsError(f"{folder.name}: its folds are of different trainers.", "Ask the sender for another file.")
    trainer_name, configuration = trainers.pop()
    if configuration not in plans["configurations"]:
        raise MscsError(f"{folder.name}: {PLANS_JSON} has no {configuration}.", "Ask the sender for another file.")
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
                "Install the versions that the model was made with (its model card names them).",
            )
    return notices


def _check_network(name: str, *, trust: bool) -> None:
    """Raise MscsError unless a dotted path leads to a class of networks, or trust is given."""
    import torch

    if trust:
        return
    if not any(name.startswith(f"{package}.") for package in KNOWN_PACKAGES):
        raise MscsError(f"The plans name {name!r}, of a package that is not known.", TRUST)
    try:
        found = pydoc.locate(name)
    except pydoc.ErrorDuringImport as error:
        raise MscsError(f"{name} cannot be imported: {error}.", "Install what it needs; see mscs doctor.") from error
    if found is None:
        raise MscsError(f"{name}, which the plans name, is not there.", "Install a version of its package that has it.")
    ours = isinstance(found, type) and issubclass(found, torch.nn.Module) and _is_known(found)
    if not ours:
        raise MscsError(f"The plans name {name!r}, which is no network class of a package that is known.", TRUST)


def _check_found_by_nnunet(manager: Any, configuration: Any) -> None:
    """Raise MscsError unless readers, preprocessing and resampling named by the plans are nnU-Net's or ours."""
    from nnunetv2.preprocessing.resampling.utils import recursive_find_resampling_fn_by_name

    own = configuration.configuration
    functions = [own[key] for key in own if key.startswith("resampling_fn") and not key.endswith("kwargs")]
    schemes = own.get("normalization_schemes", [])
    found = [
        ("preprocessor", own.get("preprocessor_name"), lambda: configuration.preprocessor_class),
        ("reader", manager.plans.get("image_reader_writer"), lambda: manager.image_reader_writer_class),
        *(("resampling", name, lambda name=name: recursive_find_resampling_fn_by_name(name)) for name in functions),
        *(("normalisation", name, lambda name=name: _normalisation(name)) for name in schemes),
    ]
    for what, name, look_up in found:
        try:
            thing = look_up()
        except Exception as error:
            # Each look-up of nnU-Net's fails in its own way.
            raise MscsError(f"The {what} {name!r} of the plans is not found here: {error}.", "mscs doctor") from error
        if thing is None or not _is_known(thing):
            raise MscsError(
                f"The {what} {name!r} of the plans is none of nnU-Net's.", "Install what it is of; see mscs doctor."
            )


def _normalisation(name: str) -> Any:
    import nnunetv2
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    place = Path(nnunetv2.__path__[0]) / "preprocessing" / "normalization"
    found = recursive_find_python_class(str(place), name, "nnunetv2.preprocessing.normalization")
    if found is None:
        from nnunetv2_mscs.nnunet_shims.run import make_findable

        make_findable()
        found = recursive_find_python_class(str(place), name, "nnunetv2.preprocessing.normalization")
    return found


def _trainer(name: str, notices: list[str]) -> Any:
    """The trainer class that nnU-Net finds by itself, or once it is shown ours."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    if not re.fullmatch(r"\w+", name):
        raise MscsError(f"{name!r} is no name of a trainer.", "Ask the sender for another file.")
    with _quiet():
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

    with _quiet():
        try:
            manager = PlansManager(plans)
            chosen = manager.get_configuration(configuration)
            channels = determine_num_input_channels(manager, chosen, dataset)
            heads = manager.get_label_manager(dataset).num_segmentation_heads
            with torch.device("meta"):
                return trainer.build_network_architecture(
                    manager, chosen, channels, heads, enable_deep_supervision=False
                )
        except Exception as error:
            # Whatever a network's constructor raises: prediction would raise the same.
            raise MscsError(
                f"The network of {name} cannot be built from the plans: {type(error).__name__}: {error}.",
                "Install the versions that the model was made with (its model card names them).",
            ) from error


def _shapes(weights: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def _is_known(thing: Any) -> bool:
    module = str(getattr(thing, "__module__", ""))
    return any(module == package or module.startswith(f"{package}.") for package in KNOWN_PACKAGES)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.split("+")[0]))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what nnU-Net prints while it looks for classes."""
    with redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
