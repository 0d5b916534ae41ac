"""Which prediction belongs to which reference, and whether the two can be compared."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.labels import HIGHEST
from nnunetv2_mscs.evaluation.naming import Matched, match_names
from nnunetv2_mscs.evaluation.sources import Masks, channel_names, find_images
from nnunetv2_mscs.scans.alignment import align, turned
from nnunetv2_mscs.scans.findings import Findings, ScanError
from nnunetv2_mscs.scans.forms import Placed, settle_forms
from nnunetv2_mscs.scans.grid import Grid, distance_mm
from nnunetv2_mscs.scans.masks import to_labels
from nnunetv2_mscs.scans.reading import Volume, read_volume


@dataclass(frozen=True)
class MaskPair:
    """A prediction and its reference.

    Args:
        name: the case identifier.
        prediction: a mask file.
        reference: a mask file.
        fold: the fold that the case was validated in, if known.
        images: scans by channel name, where found.
    """

    name: str
    prediction: Path
    reference: Path
    fold: int | None = None
    images: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class OpenedPair:
    """Both masks of a case as label maps (Z, Y, X) uint8, on the reference's grid."""

    reference: np.ndarray
    prediction: np.ndarray
    grid: Grid


def pair_up(
    predictions: Masks, references: Masks, findings: Findings, *, partial: bool, images: Path | None
) -> list[MaskPair]:
    """The pairs of equal case identifiers, in their order; a mask without partner becomes a finding.

    Predictions whose names say more than the case, as p1_pred does, are paired by `match_names`, with a warning.

    Args:
        predictions: what is judged.
        references: the truth.
        findings: grows by an error for each prediction or reference without partner.
        partial: a missing partner is only a warning.
        images: the folder with the scans, if there is one.

    Raises:
        MscsError: one is a file and the other a folder.
    """
    report = findings.warning if partial else findings.error
    if predictions.place.is_file() != references.place.is_file():
        raise MscsError(
            f"{predictions.place} and {references.place} are a file and a folder.", "Give two files or two folders."
        )
    channels = channel_names(images, references, predictions)
    if predictions.place.is_file():
        (case, reference), (prediction,) = *references.files.items(), predictions.files.values()
        return [MaskPair(case, prediction, reference, None, find_images(images, case, channels) if images else {})]
    matched = match_names(predictions.files, references.files) if not predictions.partial else Matched()
    if any(matched.affix) and not partial:
        findings.error(_affix_finding(matched, predictions, references), "Rename them as their references.")
        return []
    predictions = _as_cases(predictions, matched, findings)
    for case, names in matched.unclear.items():
        text = f"may belong to each of these predictions: {', '.join(names)}"
        findings.error(text, "Rename the one that does as the reference.", file=references.files[case], case=case)
    missing = f"Put its reference into {references.place}, or take it away. Predictions are named first."
    for case, file in predictions.files.items():
        if case not in references.files:
            report("has no reference", missing, file=file, case=case)
    expected = predictions.expected if predictions.partial else tuple(references.files)
    remedy = (
        "Predict it too, or evaluate those that are there: mscs evaluate PREDICTIONS REFERENCES -o OUT --partial."
        if not partial
        else ""
    )
    for case in expected:
        if case not in predictions.files:
            report("has no prediction", remedy, file=references.files.get(case, ""), case=case)
    return [
        MaskPair(
            case,
            file,
            references.files[case],
            predictions.folds.get(case),
            find_images(images, case, channels) if images else {},
        )
        for case, file in predictions.files.items()
        if case in references.files
    ]


def _as_cases(predictions: Masks, matched: Matched, findings: Findings) -> Masks:
    """The predictions by the names of their references, and a warning that says so."""
    if not matched.cases:
        return predictions
    name, case = next(iter(matched.cases.items()))
    also = f" and {len(matched.cases) - 1} more likewise" if len(matched.cases) > 1 else ""
    text = f"names of predictions and references differ: {name} is paired with {case}{also}"
    findings.warning(text, "Rename the predictions if that is wrong.", file=predictions.place)
    files = {matched.cases.get(name, name): file for name, file in predictions.files.items()}
    return replace(predictions, files=dict(sorted(files.items())))


def _affix_finding(matched: Matched, predictions: Masks, references: Masks) -> str:
    before, behind = matched.affix
    where = " and ".join([*([f"{before} in front"] if before else []), *([f"{behind} at the end"] if behind else [])])
    left = [case for case in references.files if case not in predictions.files]
    return (
        f"the names of all {len(left)} predictions differ from their references' by {where}: {before}{left[0]}{behind} "
        f"has no reference, {left[0]} has no prediction"
    )


def open_pair(pair: MaskPair, findings: Findings) -> OpenedPair | None:
    """Read both masks, and bring the prediction onto its reference's grid by their headers.

    A file that is no mask (then None), and masks on two grids, become errors in the findings.
    """
    reference = open_mask(pair.reference, pair.name, "reference", findings)
    prediction = open_mask(pair.prediction, pair.name, "prediction", findings)
    if reference is None or prediction is None:
        return None
    placed = {"reference": Placed(pair.reference, reference), "prediction": Placed(pair.prediction, prediction)}
    try:
        for path, warning in settle_forms(placed):
            findings.warning(warning, "Look at the masks beside the scan.", file=path, case=pair.name)
    except ScanError as error:
        findings.error(error.finding, error.remedy, file=error.file, case=pair.name)
        return OpenedPair(reference.array[0], prediction.array[0], reference.grid)
    array = prediction.array
    try:
        array, _ = align(
            array, prediction.grid, reference.grid, what="the prediction", reference_name="its reference", is_mask=True
        )
    except ScanError:
        findings.error(
            f"does not lie on its reference's grid: {_difference(prediction.grid, reference.grid)}",
            "Predict on the scan that was outlined, or resample the mask (nearest neighbour) onto the reference.",
            file=pair.prediction,
            case=pair.name,
        )
    return OpenedPair(reference.array[0], array[0], reference.grid)


def open_mask(path: Path, case: str, role: str, findings: Findings) -> Volume | None:
    """Read the labels of a mask, (1, Z, Y, X); a file that is no mask becomes an error in the findings (then None).

    Findings name the case and the role, such as "prediction".
    """
    try:
        volume = read_volume(path, content="mask")
        if len(volume.array) > 1:
            raise ScanError(
                f"has {len(volume.array)} channels (probabilities of each class?), not one volume of labels",
                "Save the labels: the class that is most probable.",
                path,
            )
        volume.array = to_labels(volume.array, most=HIGHEST)
    except ScanError as error:
        findings.error(f"the {role} {error.finding}".replace(" mask ", " "), error.remedy, file=path, case=case)
        return None
    return volume


def _difference(prediction: Grid, reference: Grid) -> str:
    """What keeps a prediction off a grid, once its axes run as those of the grid."""
    grid = turned(prediction, reference)
    if grid.size != reference.size:
        sizes = ("x".join(map(str, one.size)) for one in (grid, reference))
        return "{} voxels, reference {}".format(*sizes)
    if not np.allclose(grid.spacing, reference.spacing, rtol=0.01):
        spacings = ("x".join(f"{s:.4g}" for s in one.spacing) for one in (grid, reference))
        return "voxels of {} mm, reference {} mm".format(*spacings)
    apart = f"voxels up to {distance_mm(reference, grid):.4g} mm apart"
    is_turned = not np.allclose(prediction.direction, reference.direction, atol=1e-3)
    return f"other axes ({apart}, also once turned)" if is_turned else f"other origin ({apart})"
