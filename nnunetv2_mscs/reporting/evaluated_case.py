"""A case of an evaluation to draw, after a check that its masks are still those that were evaluated."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.results import CaseFiles, CaseMetrics
from nnunetv2_mscs.reporting.panels import SheetCase
from nnunetv2_mscs.reporting.sheet_case import metric_facts, read_sheet_case

SAME_VOLUME = 1e-4


class MasksChanged(MscsError):
    """Masks that differ from the evaluated ones."""


def read_evaluated(
    files: CaseFiles,
    row: CaseMetrics,
    model: str,
    *,
    ignored: int | None = None,
    name_label: bool = False,
    check: bool = False,
) -> tuple[SheetCase, str]:
    """A case of an evaluation, and why its images are missing, if they are.

    `ignored` and `check` are as in `read_sheet_case`; `name_label` names the label in the sheet's header.

    Raises:
        MasksChanged: the masks differ from the evaluated ones.
        MscsError: the masks cannot be read.
    """
    read = partial(
        read_sheet_case,
        f"{row['case']}, {model}" + (f", {row['label_name']}" if name_label else ""),
        ignored=ignored,
        truth=files.reference,
        prediction=files.prediction,
        values=[int(value) for value in row["label"].split("+")],
        facts=metric_facts(row),
        check=check,
    )
    images: Mapping[str, Path] = files.images
    finding = "No image of this case was found."
    if images:
        try:
            case = read(images)
        except MscsError as error:
            finding = f"The images of this case are not shown: {error}"
        else:
            # A scan's spacing may differ from the masks' in the last digits: only the masks alone can prove a change.
            if not _as_measured(case, row):
                _check_unchanged(read({}), row)
            return case, ""
    case = read({})
    _check_unchanged(case, row)
    return replace(case, notes=(*case.notes, finding)), finding


def _as_measured(case: SheetCase, row: CaseMetrics) -> bool:
    """Whether the masks have the volumes that were measured."""
    masks = (case.truth, case.prediction)
    found = [0.0 if mask is None else int(mask.sum()) * float(np.prod(case.spacing_mm)) / 1000 for mask in masks]
    measured = [row[f"volume_{of}_ml"] for of in ("reference", "prediction")]
    return bool(np.allclose(found, measured, rtol=SAME_VOLUME, atol=0))


def _check_unchanged(case: SheetCase, row: CaseMetrics) -> None:
    if not _as_measured(case, row):
        raise MasksChanged("the masks have changed since they were evaluated", "Evaluate them again.")
