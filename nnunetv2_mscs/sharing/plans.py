"""Whether the plans and dataset.json of a model are complete, and name no code but networks of known packages."""

import pydoc
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON
from nnunetv2_mscs.nnunet_files.json_files import read_json
from nnunetv2_mscs.nnunet_files.plans import PLANS_JSON

# Packages whose network classes plans may name: prediction imports and calls them.
KNOWN_PACKAGES = ("torch.nn", "dynamic_network_architectures", "nnunetv2", "nnunetv2_mscs")
FILE_ENDING = re.compile(r"(\.[A-Za-z0-9]{1,10}){1,3}")
ANOTHER = "Ask the sender for another file."
RESAMPLING = tuple(f"resampling_fn_{kind}" for kind in ("data", "seg", "probabilities"))


def check_plans(folder: Path, configuration: str, *, trust: Sequence[str] | None = ()) -> set[str]:
    """Check plans.json and dataset.json of a model folder.

    Args:
        folder: the model's.
        configuration: the one that it predicts with. The classes of the others are checked, too.
        trust: further packages that network classes may be from; None for any, as in models of one's own.

    Returns:
        The packages of network classes that are not among the known ones.

    Raises:
        MscsError: something that nnU-Net reads at prediction is missing or of a wrong type; or a class is missing, is
            no network, or is from another package.
    """
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans, dataset = read_json(folder / PLANS_JSON), read_json(folder / DATASET_JSON)
    channels = dataset.get("channel_names", dataset.get("modality"))
    _refuse_lacking(DATASET_JSON, _rules_of_dataset(dataset, channels))
    with quiet():
        try:
            manager = PlansManager(plans)
            found = {name: manager.get_configuration(name) for name in plans["configurations"]}
            classes = [name for one in found.values() for name in _classes(one)]
        except Exception as error:
            # Whatever nnU-Net raises for what are no plans.
            raise MscsError(f"{PLANS_JSON} is no plan of nnU-Net's: {error}.", ANOTHER) from error
        if configuration not in found:
            raise MscsError(f"{folder.name}: {PLANS_JSON} has no {configuration}.", ANOTHER)
        chosen = found[configuration].configuration
        _refuse_lacking(PLANS_JSON, _rules_of_plans(plans, chosen, len(channels or ())))
        for name in classes:
            _check_network(name, trust)
        _check_parts(plans, chosen)
    return {name.split(".")[0] for name in classes if not _is_in(name, KNOWN_PACKAGES)}


def _classes(configuration: Any) -> Iterator[str]:
    """Dotted paths that a configuration names."""
    yield str(configuration.network_arch_class_name)
    arguments = configuration.network_arch_init_kwargs
    for key in configuration.network_arch_init_kwargs_req_import:
        if arguments[key] is not None:
            yield str(arguments[key])


def _refuse_lacking(file: str, rules: Mapping[str, Any]) -> None:
    lacking = [key for key, fulfilled in rules.items() if not fulfilled]
    if lacking:
        raise MscsError(f"{file} has no {', '.join(lacking)}, or not as nnU-Net needs it.", ANOTHER)


def _rules_of_dataset(dataset: Mapping[str, Any], channels: Any) -> dict[str, Any]:
    """Whether what prediction reads from dataset.json is as nnU-Net writes it."""
    labels, ending = dataset.get("labels"), dataset.get("file_ending")
    return {
        "channel_names": isinstance(channels, dict) and channels and all(map(str.isdecimal, channels)),
        "labels": isinstance(labels, dict)
        and "background" in labels
        and all(_is_integer(label) or (_is_list(label, _is_integer) and label) for label in labels.values()),
        "file_ending": isinstance(ending, str) and FILE_ENDING.fullmatch(ending),
    }


def _rules_of_plans(plans: Mapping[str, Any], configuration: Mapping[str, Any], channels: int) -> dict[str, Any]:
    """Whether what prediction reads from plans.json is as nnU-Net writes it, for this number of channels."""
    intensities = plans.get(
        "foreground_intensity_properties_per_channel", plans.get("foreground_intensity_properties_by_modality")
    )
    patch, get = configuration.get("patch_size"), configuration.get
    axes = len(patch) if isinstance(patch, list) else 0
    return {
        **{
            key: _is_list(plans.get(key), _is_integer) and sorted(plans[key]) == [0, 1, 2]
            for key in ("transpose_forward", "transpose_backward")
        },
        "image_reader_writer": isinstance(plans.get("image_reader_writer"), str),
        "foreground_intensity_properties_per_channel": isinstance(intensities, dict)
        and all(isinstance(intensities.get(str(channel)), dict) for channel in range(channels)),
        "patch_size": axes in (2, 3) and _is_list(patch, lambda size: _is_integer(size) and size > 0),
        "spacing": _is_list(get("spacing"), lambda mm: type(mm) in (int, float) and 0 < mm < float("inf"), axes),
        "normalization_schemes": _is_list(get("normalization_schemes"), lambda name: isinstance(name, str), channels),
        "use_mask_for_norm": _is_list(
            get("use_mask_for_norm"), lambda use: use is None or isinstance(use, bool), channels
        ),
        "preprocessor_name": isinstance(get("preprocessor_name"), str),
        **{key: isinstance(get(key), str) for key in RESAMPLING},
        **{f"{key}_kwargs": isinstance(get(f"{key}_kwargs"), dict) for key in RESAMPLING},
    }


def _is_list(value: Any, rule: Callable[[Any], bool], length: int | None = None) -> bool:
    return isinstance(value, list) and length in (None, len(value)) and all(map(rule, value))


def _is_integer(value: Any) -> bool:
    return type(value) is int


def _check_network(name: str, trust: Sequence[str] | None) -> None:
    """Raise MscsError unless a dotted path leads to a network class of a known or trusted package."""
    import torch

    packages = (*KNOWN_PACKAGES, *(trust if trust is not None else [name.split(".")[0]]))
    if not _is_in(name, packages):
        package = name.split(".")[0]
        raise MscsError(
            f"The plans name {name!r}, of a package that is not known.",
            "If you trust that package, install it and add "
            f"--trust {package if package.isidentifier() else 'PACKAGE'}: prediction runs its code.",
        )
    try:
        found = pydoc.locate(name)
    except pydoc.ErrorDuringImport as error:
        raise MscsError(f"{name} cannot be imported: {error}.", "Install what it needs; see mscs doctor.") from error
    if found is None:
        raise MscsError(f"{name}, which the plans name, is not there.", "Install a version of its package that has it.")
    is_network = isinstance(found, type) and issubclass(found, torch.nn.Module)
    if not is_network or not (trust is None or _is_in(found.__module__, packages)):
        raise MscsError(f"The plans name {name!r}, which is no network class of {' or '.join(packages)}.", ANOTHER)


def _is_in(name: str, packages: Sequence[str]) -> bool:
    """Whether a dotted path is one of these packages or lies in one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _check_parts(plans: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
    """Raise MscsError unless reader, preprocessing and resampling named by the plans are nnU-Net's or ours."""
    import nnunetv2
    from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
    from nnunetv2.preprocessing.normalization.default_normalization_schemes import ImageNormalization
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    schemes = configuration["normalization_schemes"]
    parts: list[tuple[str, str, str, type | None]] = [
        ("preprocessor", configuration["preprocessor_name"], "preprocessing", DefaultPreprocessor),
        ("reader", plans["image_reader_writer"], "imageio", BaseReaderWriter),
        ("label manager", str(plans.get("label_manager", "LabelManager")), "utilities.label_handling", LabelManager),
        *(("resampling", configuration[key], "preprocessing.resampling", None) for key in RESAMPLING),
        *(("normalisation", name, "preprocessing.normalization", ImageNormalization) for name in schemes),
    ]
    for what, name, room, kind in parts:
        place = str(Path(nnunetv2.__path__[0], *room.split(".")))
        found, _ = found_by_nnunet(recursive_find_python_class, place, name, f"nnunetv2.{room}")
        if found is None:
            raise MscsError(f"The {what} {name!r} of the plans is not found here.", "Install its package.")
        if kind is None:
            fits = callable(found) and _is_in(str(getattr(found, "__module__", "")), (f"nnunetv2.{room}",))
        else:
            fits = isinstance(found, type) and issubclass(found, kind) and _is_in(found.__module__, KNOWN_PACKAGES)
        if not fits:
            raise MscsError(f"The {what} {name!r} of the plans is not one of nnU-Net's.", ANOTHER)


def found_by_nnunet(find: Callable[..., Any], *words: str) -> tuple[Any, bool]:
    """What nnU-Net's function `find` finds, or None; and whether it does so without being shown our classes."""
    from nnunetv2_mscs.nnunet_shims.run import make_findable

    for by_itself in (True, False):
        with quiet():
            try:
                found = find(*words)
            except (RuntimeError, AssertionError):
                found = None
        if found is not None:
            return found, by_itself
        make_findable()
    return None, False


@contextmanager
def quiet() -> Iterator[None]:
    """Without what nnU-Net prints while it looks for classes."""
    with redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
