"""The sheet and the thumbnail of every case of an evaluation, as bytes small enough for one page of hundreds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.results import CaseFiles, CaseResult, Evaluation
from nnunetv2_mscs.reporting.ignored import ignored_in
from nnunetv2_mscs.reporting.panels import SheetCase
from nnunetv2_mscs.reporting.pictures import small
from nnunetv2_mscs.reporting.sheet import draw_sheet, draw_thumbnail
from nnunetv2_mscs.reporting.sheet_case import metric_facts, read_sheet_case
from nnunetv2_mscs.workplace.parallel import run_parallel

SLICES, PANEL_HEIGHT, QUALITY, THUMBNAIL_HEIGHT = 5, 180, 45, 128
THUMBNAIL_QUALITY = 60
SAME_VOLUME = 1e-4
# What a case lacks: nothing, its scan (not found, or not fit to be shown), or all pictures.
Lack = Literal["", "no scan", "scan refused", "masks changed", "masks unreadable"]


@dataclass(frozen=True)
class CasePictures:
    """The pictures of one case and label.

    Args:
        sheet: the whole sheet; empty if there is none.
        thumbnail: one slice.
        sheet_size: width and height in pixels.
        thumbnail_size: likewise.
        mime: type of both, such as "image/avif".
        lack: what is missing, if anything.
        finding: why it is.
    """

    sheet: bytes = b""
    thumbnail: bytes = b""
    sheet_size: tuple[int, int] = (0, 0)
    thumbnail_size: tuple[int, int] = (0, 0)
    mime: str = ""
    lack: Lack = ""
    finding: str = ""


class MasksChanged(MscsError):
    """Masks that are not those that were evaluated."""


@dataclass(frozen=True)
class _Job:
    """What to draw; `name` is what a crashed worker's message tells."""

    name: str
    files: CaseFiles
    result: CaseResult
    model: str
    ignored: int | None
    name_label: bool


def draw_case_pictures(
    evaluation: Evaluation,
    label: str,
    *,
    processes: int,
    panel_height: int = PANEL_HEIGHT,
    quality: int = QUALITY,
    height: int = THUMBNAIL_HEIGHT,
) -> dict[str, CasePictures]:
    """Draw every case whose files are known; of masks that cannot be read, or have changed, it is told why.

    A case whose scan is missing or lies on another grid is drawn with its masks alone, and says why.

    Args:
        evaluation: of one model.
        label: as in `CaseResult`.
        processes: how many to use.
        panel_height: of a slice on the sheet in pixels; the text stays as it is.
        quality: of the sheets, 1 to 100.
        height: of a thumbnail in pixels.
    """
    ignored, several = ignored_in(evaluation), len(evaluation.labels) > 1
    jobs = [
        _Job(result.case, evaluation.files[result.case], result, evaluation.model, ignored, several)
        for result in evaluation.of_label(label)
        if result.case in evaluation.files
    ]
    work = partial(_draw, panel_height=panel_height, quality=quality, height=height)
    drawn = run_parallel(work, jobs, processes=processes, description="sheets")
    return {job.name: pictures for job, pictures in zip(jobs, drawn, strict=True)}


def _draw(job: _Job, *, panel_height: int, quality: int, height: int) -> CasePictures:
    try:
        case, finding = read_evaluated(job.files, job.result, job.model, ignored=job.ignored, name_label=job.name_label)
    except MscsError as error:
        changed = isinstance(error, MasksChanged)
        return CasePictures(lack="masks changed" if changed else "masks unreadable", finding=error.finding)
    lack: Lack = "" if not finding else "scan refused" if job.files.images else "no scan"
    sheet = draw_sheet(case, slices=SLICES, panel_height=panel_height).image
    thumbnail = draw_thumbnail(case, height=height)
    content, mime = small(sheet, quality=quality)
    return CasePictures(
        content, small(thumbnail, quality=THUMBNAIL_QUALITY)[0], sheet.size, thumbnail.size, mime, lack, finding
    )


def read_evaluated(
    files: CaseFiles,
    result: CaseResult,
    model: str,
    *,
    ignored: int | None = None,
    name_label: bool = False,
    check: bool = False,
) -> tuple[SheetCase, str]:
    """A case of an evaluation, and why its images are missing, if they are.

    Args:
        files: where it lies.
        result: what was measured.
        model: whose prediction it is.
        ignored: as in `read_sheet_case`.
        name_label: name the label in the sheet's header.
        check: as in `read_sheet_case`.

    Raises:
        MasksChanged: the masks are not those that were evaluated.
        MscsError: the masks cannot be read.
    """
    read = partial(
        read_sheet_case,
        f"{result.case}, {model}" + (f", {result.label_name}" if name_label else ""),
        ignored=ignored,
        truth=files.reference,
        prediction=files.prediction,
        values=[int(value) for value in result.label.split("+")],
        label=result.label_name,
        facts=metric_facts(result.values),
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
            # A scan's spacing may differ from the masks' in the last digits, so that these alone can accuse.
            if not _as_measured(case, result):
                _check_unchanged(read({}), result)
            return case, ""
    case = read({})
    _check_unchanged(case, result)
    return replace(case, notes=(*case.notes, finding)), finding


def _as_measured(case: SheetCase, result: CaseResult) -> bool:
    """Whether the masks have the volumes that were measured."""
    masks = (case.truth, case.prediction)
    found = [0.0 if mask is None else int(mask.sum()) * float(np.prod(case.spacing_mm)) / 1000 for mask in masks]
    measured = [result.values[f"volume_{of}_ml"] for of in ("reference", "prediction")]
    return bool(np.allclose(found, measured, rtol=SAME_VOLUME, atol=0))


def _check_unchanged(case: SheetCase, result: CaseResult) -> None:
    if not _as_measured(case, result):
        raise MasksChanged("the masks have changed since they were evaluated", "Evaluate them again.")
