"""Whether the plans and dataset.json of a model are complete and name nothing but what may run at prediction."""

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

# Packages whose network classes a file may name: prediction imports and calls what plans.json names.
KNOWN_PACKAGES = ("torch.nn", "dynamic_network_architectures", "nnunetv2", "nnunetv2_mscs")
FILE_ENDING = re.compile(r"(\.[A-Za-z0-9]{1,10}){1,3}")
ANOTHER = "Ask the sender for another file."
KINDS = ("data", "seg", "probabilities")


def check_plans(folder: Path, configuration: str, *, trust: Sequence[str] | None = ()) -> None:
    """Refuse plans that lack what nnU-Net reads at prediction, or that name other code than networks of known packages.

    Args:
        folder: the model's.
        configuration: that it predicts with. Of the others in the plans only the classes are checked.
        trust: further packages that classes of networks may be of; None for any, as in models of one's own.

    Raises:
        MscsError: something is missing or is not as nnU-Net has it; a class is of another package, is not there, or
            is no network.
    """
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans, dataset = read_json(folder / PLANS_JSON), read_json(folder / DATASET_JSON)
    channels = _check_dataset(dataset)
    with quiet():
        try:
            manager = PlansManager(plans)
            found = {name: manager.get_configuration(name) for name in plans["configurations"]}
            classes = [name for one in found.values() for name in _classes(one)]
        except Exception as error:
            # nnU-Net raises anything for plans that are none.
            raise MscsError(f"{PLANS_JSON} is no plan of nnU-Net's: {error}.", ANOTHER) from error
        if configuration not in found:
            raise MscsError(f"{folder.name}: {PLANS_JSON} has no {configuration}.", ANOTHER)
        _check_complete(plans, found[configuration].configuration, channels)
        for name in classes:
            _check_network(name, trust)
        _check_found_by_nnunet(plans, found[configuration].configuration)


def foreign_packages(folder: Path) -> list[str]:
    """Packages outside the known ones that the plans of a model take classes from."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    with quiet():
        manager = PlansManager(read_json(folder / PLANS_JSON))
        names = [name for one in manager.available_configurations for name in _classes(manager.get_configuration(one))]
    return sorted({name.split(".")[0] for name in names if not _is_of(name, KNOWN_PACKAGES)})


def _classes(configuration: Any) -> Iterator[str]:
    """Dotted paths that a configuration names."""
    yield str(configuration.network_arch_class_name)
    arguments = configuration.network_arch_init_kwargs
    for key in configuration.network_arch_init_kwargs_req_import:
        if arguments[key] is not None:
            yield str(arguments[key])


def _check_dataset(dataset: Mapping[str, Any]) -> int:
    """Raise MscsError unless dataset.json is complete; returns the number of channels."""
    channels = dataset.get("channel_names", dataset.get("modality"))
    for whole, what in (
        (isinstance(channels, dict) and channels and all(map(str.isdecimal, channels)), "channel_names"),
        (_is_labels(dataset.get("labels")), "labels"),
        (_matches(FILE_ENDING, dataset.get("file_ending")), "file_ending"),
    ):
        if not whole:
            raise MscsError(f"{DATASET_JSON} has no {what}, or not as nnU-Net has them.", ANOTHER)
    assert channels is not None
    return len(channels)


def _is_labels(value: Any) -> bool:
    if not isinstance(value, dict) or "background" not in value:
        return False
    return all(_is_number(one) or (_is_list(one, _is_number) and bool(one)) for one in value.values())


def _check_complete(plans: Mapping[str, Any], configuration: Mapping[str, Any], channels: int) -> None:
    """Raise MscsError unless everything is there that nnU-Net reads at prediction, of the right type and length."""
    intensities = plans.get(
        "foreground_intensity_properties_per_channel", plans.get("foreground_intensity_properties_by_modality")
    )
    axes = len(configuration["patch_size"]) if isinstance(configuration.get("patch_size"), list) else 0
    rules: dict[str, bool] = {
        **{key: _is_axes(plans.get(key)) for key in ("transpose_forward", "transpose_backward")},
        "image_reader_writer": isinstance(plans.get("image_reader_writer"), str),
        "foreground_intensity_properties_per_channel": isinstance(intensities, dict)
        and all(isinstance(intensities.get(str(channel)), dict) for channel in range(channels)),
        "patch_size": axes in (2, 3) and _is_list(configuration["patch_size"], _is_size),
        "spacing": _is_list(configuration.get("spacing"), _is_length, axes),
        "normalization_schemes": _is_list(configuration.get("normalization_schemes"), _is_text, channels),
        "use_mask_for_norm": _is_list(configuration.get("use_mask_for_norm"), _is_switch, channels),
        "preprocessor_name": isinstance(configuration.get("preprocessor_name"), str),
        **{f"resampling_fn_{kind}": isinstance(configuration.get(f"resampling_fn_{kind}"), str) for kind in KINDS},
        **{
            f"resampling_fn_{kind}_kwargs": isinstance(configuration.get(f"resampling_fn_{kind}_kwargs"), dict)
            for kind in KINDS
        },
    }
    wrong = [key for key, right in rules.items() if not right]
    if wrong:
        raise MscsError(f"{PLANS_JSON} has no {', '.join(wrong)} as nnU-Net needs it for {channels} channels.", ANOTHER)


def _is_list(value: Any, rule: Callable[[Any], bool], length: int | None = None) -> bool:
    return isinstance(value, list) and length in (None, len(value)) and all(map(rule, value))


def _is_number(value: Any) -> bool:
    return type(value) is int


def _is_size(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_length(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < float("inf")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_switch(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _is_axes(value: Any) -> bool:
    return _is_list(value, _is_number) and sorted(value) == [0, 1, 2]


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _check_network(name: str, trust: Sequence[str] | None) -> None:
    """Raise MscsError unless a dotted path leads to a class of networks of a package that is known or trusted."""
    import torch

    packages = (*KNOWN_PACKAGES, *(trust if trust is not None else [name.split(".")[0]]))
    if not _is_of(name, packages):
        raise MscsError(
            f"The plans name {name!r}, of a package that is not known.",
            f"If you trust that package, install it and add --trust {_top(name)}: prediction runs its code.",
        )
    try:
        found = pydoc.locate(name)
    except pydoc.ErrorDuringImport as error:
        raise MscsError(f"{name} cannot be imported: {error}.", "Install what it needs; see mscs doctor.") from error
    if found is None:
        raise MscsError(f"{name}, which the plans name, is not there.", "Install a version of its package that has it.")
    is_network = isinstance(found, type) and issubclass(found, torch.nn.Module)
    if not is_network or not (trust is None or _is_of(found.__module__, packages)):
        raise MscsError(f"The plans name {name!r}, which is no network class of {' or '.join(packages)}.", ANOTHER)


def _top(name: str) -> str:
    package = name.split(".")[0]
    return package if package.isidentifier() else "PACKAGE"


def _is_of(name: str, packages: Sequence[str]) -> bool:
    """Whether a dotted path lies in one of these packages, or is one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _check_found_by_nnunet(plans: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
    """Raise MscsError unless readers, preprocessing and resampling named by the plans are nnU-Net's or ours."""
    from nnunetv2.imageio.base_reader_writer import BaseReaderWriter
    from nnunetv2.preprocessing.normalization.default_normalization_schemes import ImageNormalization
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    functions = [configuration[f"resampling_fn_{kind}"] for kind in KINDS]
    schemes = configuration["normalization_schemes"]
    things: list[tuple[str, str, str, type | None]] = [
        ("preprocessor", configuration["preprocessor_name"], "preprocessing", DefaultPreprocessor),
        ("reader", plans["image_reader_writer"], "imageio", BaseReaderWriter),
        ("label manager", str(plans.get("label_manager", "LabelManager")), "utilities.label_handling", LabelManager),
        *(("resampling", name, "preprocessing.resampling", None) for name in functions),
        *(("normalisation", name, "preprocessing.normalization", ImageNormalization) for name in schemes),
    ]
    for what, name, room, kind in things:
        found = _found_by_nnunet(name, room)
        if found is None:
            raise MscsError(f"The {what} {name!r} of the plans is not found here.", "Install what it is of.")
        if kind is None:
            fits = callable(found) and _is_of(str(getattr(found, "__module__", "")), (f"nnunetv2.{room}",))
        else:
            fits = isinstance(found, type) and issubclass(found, kind) and _is_of(found.__module__, KNOWN_PACKAGES)
        if not fits:
            raise MscsError(f"The {what} {name!r} of the plans is none of nnU-Net's.", ANOTHER)


def _found_by_nnunet(name: str, room: str) -> Any:
    """What nnU-Net finds under a name in one of its packages, once it is shown ours, too; None if it finds nothing."""
    import nnunetv2
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    from nnunetv2_mscs.nnunet_shims.run import make_findable

    place = str(Path(nnunetv2.__path__[0]).joinpath(*room.split(".")))
    found = recursive_find_python_class(place, name, f"nnunetv2.{room}")
    if found is None:
        make_findable()
        found = recursive_find_python_class(place, name, f"nnunetv2.{room}")
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """Without what nnU-Net prints while it looks for classes."""
    with redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
