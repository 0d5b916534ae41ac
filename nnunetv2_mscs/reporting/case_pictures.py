"""The sheet and the thumbnail of every case of an evaluation, as bytes small enough for one page of hundreds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.results import CaseFiles, CaseResult, Evaluation
from nnunetv2_mscs.reporting.pictures import small
from nnunetv2_mscs.reporting.sheet import SheetCase, draw_sheet, draw_thumbnail
from nnunetv2_mscs.reporting.sheet_case import metric_facts, read_sheet_case
from nnunetv2_mscs.workplace.parallel import run_parallel

SLICES, PANEL_HEIGHT, QUALITY, THUMBNAIL_HEIGHT = 5, 180, 45, 128
THUMBNAIL_QUALITY = 60


@dataclass(frozen=True)
class CasePictures:
    """The pictures of one case and label.

    Args:
        sheet: the whole sheet.
        thumbnail: one slice.
        sheet_size: width and height in pixels.
        thumbnail_size: likewise.
        mime: type of both, such as "image/avif".
        finding: why images are missing, if they are.
    """

    sheet: bytes
    thumbnail: bytes
    sheet_size: tuple[int, int]
    thumbnail_size: tuple[int, int]
    mime: str
    finding: str = ""


@dataclass(frozen=True)
class _Job:
    """What to draw; `name` is what a crashed worker's message tells."""

    name: str
    files: CaseFiles
    result: CaseResult
    model: str


def draw_case_pictures(
    evaluation: Evaluation,
    label: str,
    *,
    processes: int,
    panel_height: int = PANEL_HEIGHT,
    quality: int = QUALITY,
    height: int = THUMBNAIL_HEIGHT,
) -> dict[str, CasePictures]:
    """Draw every case whose files are known and can be read; the others are left out.

    A case whose scan is missing or lies on another grid is drawn with its masks alone, and says why.

    Args:
        evaluation: of one model.
        label: as in `CaseResult`.
        processes: how many to use.
        panel_height: of a slice on the sheet in pixels; the text stays as it is.
        quality: of the sheets, 1 to 100.
        height: of a thumbnail in pixels.
    """
    jobs = [
        _Job(result.case, evaluation.files[result.case], result, evaluation.model)
        for result in evaluation.of_label(label)
        if result.case in evaluation.files
    ]
    work = partial(_draw, panel_height=panel_height, quality=quality, height=height)
    drawn = run_parallel(work, jobs, processes=processes, description="sheets")
    return {job.name: pictures for job, pictures in zip(jobs, drawn, strict=True) if pictures is not None}


def _draw(job: _Job, *, panel_height: int, quality: int, height: int) -> CasePictures | None:
    try:
        case, finding = read_evaluated(job.files, job.result, job.model)
    except MscsError:
        return None
    sheet = draw_sheet(case, slices=SLICES, panel_height=panel_height).image
    thumbnail = draw_thumbnail(case, height=height)
    content, mime = small(sheet, quality=quality)
    return CasePictures(
        content, small(thumbnail, quality=THUMBNAIL_QUALITY)[0], sheet.size, thumbnail.size, mime, finding
    )


def read_evaluated(files: CaseFiles, result: CaseResult, model: str, *, check: bool = False) -> tuple[SheetCase, str]:
    """A case of an evaluation, and why its images are missing, if they are.

    Raises:
        MscsError: the masks cannot be read.
    """
    read = partial(
        read_sheet_case,
        f"{result.case}, {model}",
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
            return read(images), ""
        except MscsError as error:
            finding = f"The images of this case are not shown: {error}"
    return replace(read({}), notes=(finding,)), finding
