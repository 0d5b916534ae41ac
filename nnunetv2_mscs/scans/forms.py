"""Settle by all files of a case which form is right where a NIfTI header's qform and sform contradict each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.scans.alignment import turned
from nnunetv2_mscs.scans.findings import ScanError
from nnunetv2_mscs.scans.grid import Grid, distance_mm
from nnunetv2_mscs.scans.orientation import WORTH_TELLING_VOXELS
from nnunetv2_mscs.scans.reading import Volume

# Forms that lie this close do not change what is left or right, up or down.
CLOSE_VOXELS = 1.0
MAKE_ALIKE = "Find out which form is right, make the other equal to it, or export the file again."


@dataclass(frozen=True)
class Placed:
    """A volume of a case, with its file."""

    path: Path
    volume: Volume


def settle_forms(placed: Mapping[str, Placed], *, reference: str | None = None) -> list[tuple[Path, str]]:
    """Put the volumes of a case on the forms that bring them together.

    Where only one choice of forms does so, it is taken. Volumes that no choice brings together with the reference have
    no say, unless their own forms lie far apart.

    Args:
        placed: the volumes by their names in messages; the `grid` of those with contradicting forms is set.
        reference: the name of the one that gives the grid; the first with a geometry if it is not named or has none.

    Returns:
        Files, and what to warn of in each.

    Raises:
        ScanError: no choice brings a file with contradicting forms together with the others, or several do.
    """
    volumes = {name: one.volume for name, one in placed.items() if one.volume.has_geometry}
    torn = [name for name, volume in volumes.items() if volume.forms]
    if not torn:
        return []
    anchor = reference if reference in volumes else next(iter(volumes))
    assert anchor is not None
    found = {
        form: {name: _matching(volume, grid) for name, volume in volumes.items() if name != anchor}
        for form, grid in _candidates(volumes[anchor])
    }
    others = [
        name
        for name, volume in volumes.items()
        if name != anchor and (_is_torn_apart(volume) or any(matches[name] for matches in found.values()))
    ]
    solutions = [form for form, matches in found.items() if all(matches[name] for name in others)]
    together = _and([anchor, *others])
    if not solutions:
        raise _contradiction(
            placed[anchor if volumes[anchor].forms else torn[0]], f"no choice of one brings {together} together"
        )
    settled = {anchor: solutions, **{name: list(found[solutions[0]][name]) for name in others}}
    for name, forms in settled.items():
        if len(forms) > 1 and _is_torn_apart(volumes[name]):
            reason = f"either brings {together} together" if others else "nothing says which is right"
            raise _contradiction(placed[name], reason)
    warnings = []
    for name in torn:
        form = settled[name][0] if name in settled else volumes[name].forms[0][0]
        volumes[name].grid = dict(volumes[name].forms)[form]
        apart = _apart_mm(volumes[name])
        if apart > WORTH_TELLING_VOXELS * min(volumes[name].grid.spacing):
            why = f", which brings {together} together" if others and len(solutions) == 1 else ""
            finding = f"the header's qform and sform differ by up to {apart:.3g} mm; the {form} was used{why}"
            warnings.append((placed[name].path, finding))
    return list(dict.fromkeys(warnings))


def _candidates(volume: Volume) -> tuple[tuple[str, Grid], ...]:
    return volume.forms or (("", volume.grid),)


def _matching(volume: Volume, grid: Grid) -> tuple[str, ...]:
    """The forms of a volume that lie on a grid, whatever the order and direction of its axes, the nearest first."""
    apart = {form: distance_mm(grid, turned(one, grid)) for form, one in _candidates(volume)}
    return tuple(form for form in sorted(apart, key=apart.__getitem__) if apart[form] <= grid.tolerance_mm)


def _is_torn_apart(volume: Volume) -> bool:
    return bool(volume.forms) and _apart_mm(volume) > CLOSE_VOXELS * min(volume.grid.spacing)


def _apart_mm(volume: Volume) -> float:
    (_, first), (_, second) = volume.forms
    return distance_mm(first, second)


def _contradiction(one: Placed, reason: str) -> ScanError:
    forms = ", ".join(f"{form}: axes {grid.axes}" for form, grid in one.volume.forms)
    apart = f"by up to {_apart_mm(one.volume):.3g} mm ({forms})"
    return ScanError(f"its qform and sform contradict each other {apart}, and {reason}", MAKE_ALIKE, one.path)


def _and(names: list[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]
