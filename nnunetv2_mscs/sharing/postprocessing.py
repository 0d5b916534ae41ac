"""Safe loading of nnU-Net's postprocessing.pkl: nothing in it runs, though a pickle may name any function."""

import pickle
import pickletools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError

# Module and name of each function that nnUNetv2_find_best_configuration writes into the file.
KNOWN = {("nnunetv2.postprocessing.remove_connected_components", "remove_all_but_largest_component_from_segmentation")}
# Labels are integers of NumPy, whose modules had other names before version 2.
SCALAR = {("numpy._core.multiarray", "scalar"), ("numpy.core.multiarray", "scalar")}
DTYPE = ("numpy", "dtype")
INTEGER = re.compile(r"[iu][1248]")
SETTINGS = {"labels_or_regions", "background_label"}
# nnU-Net's own file has some hundred bytes.
LARGEST_PICKLE_BYTES = 64_000
# A list of regions, each of which is a list of labels.
DEEPEST = 2
# All that Python's pickle writes for such a content, in its protocols 3 to 5.
OPCODES = re.compile(
    "PROTO|FRAME|STOP|MARK|EMPTY_LIST|APPENDS?|EMPTY_DICT|SETITEMS?|EMPTY_TUPLE|TUPLE[123]?|BININT[12]?|NONE|NEWTRUE|"
    "NEWFALSE|(SHORT_)?BINUNICODE|SHORT_BINBYTES|MEMOIZE|(LONG_)?BIN(PUT|GET)|(STACK_)?GLOBAL|REDUCE|BUILD"
)


@dataclass(frozen=True)
class _Named:
    """Stands for a function in a pickle; it cannot be called."""

    name: str


class _Type:
    """Stands for a type of NumPy's integers."""

    def __init__(self, kind: str, *_: bool):
        if not INTEGER.fullmatch(kind):
            raise pickle.UnpicklingError(f"it holds numbers of the type {kind!r}")
        self.signed = kind.startswith("i")

    def __setstate__(self, state: Sequence[Any]) -> None:
        self.order = "big" if state[1] == ">" else "little"


def _integer(kind: _Type, content: bytes) -> int:
    return int.from_bytes(content, "big" if kind.order == "big" else "little", signed=kind.signed)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in KNOWN:
            return _Named(name)
        if (module, name) in SCALAR:
            return _integer
        if (module, name) == DTYPE:
            return _Type
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not a postprocessing of nnU-Net's")


def read_postprocessing(file: Path) -> int:
    """The number of steps of postprocessing in a file; 0 if nnU-Net found none that helps.

    Raises:
        MscsError: it holds anything but nnU-Net's own postprocessing functions and labels for them.
    """
    try:
        if file.stat().st_size > LARGEST_PICKLE_BYTES:
            raise pickle.UnpicklingError("it is too large")
        content = file.read_bytes()
        _check_opcodes(content)
        functions, settings = _Unpickler(BytesIO(content)).load()
        whole = isinstance(functions, list) and isinstance(settings, list) and len(functions) == len(settings)
        if not whole or not all(isinstance(function, _Named) for function in functions):
            raise pickle.UnpicklingError("it is not a pair of functions and settings")
        if not all(isinstance(one, dict) and SETTINGS.issuperset(one) for one in settings):
            raise pickle.UnpicklingError("its settings are not those of nnU-Net's functions")
        labels: set[int] = set()
        if not all(_is_label(value, labels) for one in settings for value in one.values()):
            raise pickle.UnpicklingError("its settings are no labels")
    except Exception as error:
        # Damaged or foreign bytes may raise anything.
        raise MscsError(
            f"{file.name} is refused: {str(error) or type(error).__name__}.",
            "nnU-Net would run what it names; ask the sender for another file.",
        ) from error
    return len(functions)


def _check_opcodes(content: bytes) -> None:
    """Raise unless the bytes are one pickle, and nothing else, of only containers, texts and integers."""
    end = 0
    for opcode, argument, position in pickletools.genops(content):
        # Python allocates memory for all memo entries up to this number.
        is_huge = opcode.name == "LONG_BINPUT" and int(argument or 0) > LARGEST_PICKLE_BYTES
        if not OPCODES.fullmatch(opcode.name) or is_huge:
            raise pickle.UnpicklingError(f"it does what nnU-Net's never does ({opcode.name})")
        end = (position or 0) + 1
    if end != len(content):
        raise pickle.UnpicklingError("something follows its end")


def _is_label(value: Any, seen: set[int], depth: int = 0) -> bool:
    """Whether a setting is a label, a region of several labels, or a list of these. `seen`: ids of checked lists."""
    if id(value) in seen:
        return True
    if not isinstance(value, (list, tuple)):
        return isinstance(value, int)
    seen.add(id(value))
    return depth < DEEPEST and all(_is_label(one, seen, depth + 1) for one in value)
