"""The choice of the slices to show, by a rule that the picture states."""

from dataclasses import dataclass, field

import numpy as np

MOST_ERROR, LARGEST = "most error", "largest area"


@dataclass(frozen=True)
class ShownSlices:
    """The chosen slices.

    Args:
        indices: ascending.
        marks: by index, why a slice was chosen.
        rule: the rule in a sentence.
    """

    indices: tuple[int, ...]
    marks: dict[int, str] = field(default_factory=dict)
    rule: str = ""


def choose_slices(
    truth: np.ndarray | None, prediction: np.ndarray | None, head: np.ndarray, *, count: int
) -> ShownSlices:
    """The slice with most error, the slice with the largest true area, the rest evenly over the slices with a mask.

    Error is the number of false voxels, positive and negative. Without truth the largest predicted area counts. If
    fewer slices hold a mask than are shown, the nearest others follow. Without any masked voxel, slices are spread
    evenly over the head.

    Args:
        truth: (Z, Y, X) boolean, or None.
        prediction: likewise.
        head: likewise, tissue apart from air.
        count: how many slices, fewer if the volume has fewer.
    """
    count = min(count, len(head))
    given = [mask for mask in (truth, prediction) if mask is not None and mask.any()]
    if not given:
        rule = "Slices are spread evenly over the head, as no voxel is masked."
        return ShownSlices(_evenly(_of_the_head(head), count), {}, rule)
    masked = np.flatnonzero(np.any([mask.any(axis=(1, 2)) for mask in given], axis=0))
    wanted: dict[int, str] = {}
    texts = []
    if truth is not None and prediction is not None and (error := truth ^ prediction).any():
        wanted[int(error.sum(axis=(1, 2)).argmax())] = MOST_ERROR
        texts.append("that with most false voxels")
    largest = int(given[0].sum(axis=(1, 2)).argmax())
    if count > len(wanted) or largest in wanted:
        wanted[largest] = f"{wanted[largest]}, {LARGEST}" if largest in wanted else LARGEST
        texts.append(f"that with the largest {'true' if given[0] is truth else 'predicted'} area")
    enough = _with_neighbours(masked, count, len(head))
    chosen = list(_evenly(enough, count))
    for index in wanted:
        if index not in chosen:
            chosen.remove(min((other for other in chosen if other not in wanted), key=lambda other: abs(other - index)))
            chosen.append(index)
    spread = "the others evenly over the slices that hold a mask" + (", and beside them" if len(masked) < count else "")
    return ShownSlices(tuple(sorted(chosen)), wanted, f"Slices: {', '.join([*texts, spread])}.")


def _of_the_head(head: np.ndarray) -> np.ndarray:
    """Slices with at least a third of the largest area of the head; all if there is none."""
    area = head.sum(axis=(1, 2))
    return np.flatnonzero(3 * area >= area.max())


def _with_neighbours(indices: np.ndarray, count: int, depth: int) -> np.ndarray:
    """The given slices and the nearest others, `count` in all, ascending."""
    others = np.setdiff1d(np.arange(depth), indices)
    distance = np.abs(others[:, None] - indices).min(axis=1)
    nearest = others[np.argsort(distance, kind="stable")][: max(count - len(indices), 0)]
    return np.sort(np.concatenate([indices, nearest]))


def _evenly(indices: np.ndarray, count: int) -> tuple[int, ...]:
    """At most `count` of the indices, the first and last among them."""
    if count == 1:
        return (int(indices[len(indices) // 2]),)
    places = np.unique(np.rint(np.linspace(0, len(indices) - 1, count)).astype(int))
    return tuple(int(indices[place]) for place in places)
