"""The labels of a data set, or regions of several labels, that are evaluated."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnunetv2_mscs.errors import MscsError

IGNORE, LESION = "ignore", "lesion"
HIGHEST = 254  # 255 stands for 1 in masks of 0 and 255


@dataclass(frozen=True)
class Label:
    """A label, or a region of several, that is evaluated as one mask.

    `values` are those in the files.
    """

    name: str
    values: tuple[int, ...]

    @property
    def key(self) -> str:
        """As it stands in cases.csv: "1", or "1+2" for a region."""
        return "+".join(str(value) for value in self.values)

    def mask(self, labels: np.ndarray) -> np.ndarray:
        """Where a label map (Z, Y, X) holds it, boolean of the same shape."""
        return np.isin(labels, self.values) if len(self.values) > 1 else labels == self.values[0]


@dataclass(frozen=True)
class Labels:
    """The labels of a data set.

    Args:
        evaluated: in order.
        known: values that a file may hold.
        ignored: the value of reference voxels that count nowhere (nnU-Net's ignore label), if any.
    """

    evaluated: tuple[Label, ...]
    known: frozenset[int]
    ignored: int | None = None


def labels_of_dataset(dataset_json: Mapping[str, Any]) -> Labels:
    """Labels and regions as nnU-Net's dataset.json names them.

    Raises:
        MscsError: it names none.
    """
    try:
        named = {
            name: tuple(int(v) for v in value) if isinstance(value, list | tuple) else (int(value),)
            for name, value in dataset_json["labels"].items()
        }
        ignored = named.pop(IGNORE)[0] if IGNORE in named else None
        known = frozenset(value for values in named.values() for value in values) | {0}
        evaluated = tuple(Label(name, tuple(sorted(values))) for name, values in named.items() if values != (0,))
        if len({label.key for label in evaluated}) < len(evaluated):
            raise ValueError("it gives one label two names")
        if not evaluated:
            raise ValueError("it names nothing but background")
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise MscsError(
            f"dataset.json names no labels ({type(error).__name__}: {error}).", "Give them with --labels 1 ..."
        ) from error
    return Labels(evaluated, known if ignored is None else known | {ignored}, ignored)


def chosen_labels(values: Iterable[int], declared: Labels | None) -> Labels:
    """Each of some values as a label; names and the ignored value are those declared. Files may hold other values."""
    chosen = labels_of_values(values)
    names = {label.values: label.name for label in declared.evaluated} if declared else {}
    evaluated = tuple(Label(names.get(label.values, label.name), label.values) for label in chosen.evaluated)
    return Labels(evaluated, frozenset(range(256)), declared.ignored if declared else None)


def labels_of_values(values: Iterable[int]) -> Labels:
    """Each value above 0 as a label of its own; 1, the lesion, if there is none."""
    found = sorted({int(value) for value in values} - {0}) or [1]
    names = {1: LESION} if found == [1] else {}
    return Labels(tuple(Label(names.get(v, f"label_{v}"), (v,)) for v in found), frozenset({0, *found}))
