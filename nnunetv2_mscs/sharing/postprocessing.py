"""nnU-Net's postprocessing.pkl, read without running anything from it: a pickle may name any function of Python's."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError

# What nnU-Net's nnUNetv2_find_best_configuration writes into the file, in the order module, name.
KNOWN = {
    (
        "nnunetv2.postprocessing.remove_connected_components",
        "remove_all_but_largest_component_from_segmentation",
    )
}
PLAIN = (str, int, float, bool, type(None))
LARGEST_BYTES = 1_000_000


@dataclass(frozen=True)
class _Named:
    """Stands for a function in a pickle; it cannot be called."""

    name: str


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no postprocessing of nnU-Net's")
        return _Named(name)


def read_postprocessing(file: Path) -> int:
    """How many steps of postprocessing a file holds; 0 if nnU-Net found none that helps.

    Raises:
        MscsError: it holds anything but nnU-Net's own postprocessing functions and plain settings of theirs.
    """
    try:
        if file.stat().st_size > LARGEST_BYTES:
            raise pickle.UnpicklingError("it is too large")
        with file.open("rb") as stream:
            content = _Reader(stream).load()
            rest = stream.read(1)
    except Exception as error:
        # Damaged or foreign bytes may raise anything; nothing of them has run.
        raise _refusal(file, str(error) or type(error).__name__) from error
    if rest:
        raise _refusal(file, "something follows its end")
    if not (isinstance(content, tuple) and len(content) == 2 and all(isinstance(part, list) for part in content)):
        raise _refusal(file, "it is no pair of functions and settings")
    functions, settings = content
    if len(functions) != len(settings) or not all(isinstance(function, _Named) for function in functions):
        raise _refusal(file, "it is no pair of functions and settings")
    if not all(isinstance(one, dict) and all(map(_is_plain, [*one, *one.values()])) for one in settings):
        raise _refusal(file, "its settings are no plain values")
    return len(functions)


def _is_plain(value: Any) -> bool:
    """Whether a setting is a number, a text, or a list of these, such as the labels of a region."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, PLAIN)


def _refusal(file: Path, reason: str) -> MscsError:
    return MscsError(
        f"{file.name} is refused: {reason}.", "nnU-Net would run what it names; ask the sender for another file."
    )
