"""The rows of the table of cases, with their pictures inside the page's size."""

import base64
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.evaluation.sources import find_images
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON
from nnunetv2_mscs.nnunet_files.json_files import read_json_if_there
from nnunetv2_mscs.reporting.case_pictures import CasePictures, Lack, draw_case_pictures
from nnunetv2_mscs.reporting.report.content import CaseRow, Notice

# Pixels a slice, and quality: of few sheets, and of many.
LARGE, SMALL, FEW_SHEETS = (170, 40), (150, 35), 60
THUMBNAIL_HEIGHT = 104
SMALLEST_SHEET_MB = 0.01
# What each lack of pictures is called in a notice, and its remedy.
LACKS: dict[Lack, tuple[str, str]] = {
    "no scan": (
        "The scan is not shown: no image of the case was found.",
        "Name the folder of the scans with --images.",
    ),
    "scan refused": (
        "The scan is not shown: its images cannot be read, or do not fit the masks.",
        "Name the folder of the scans with --images.",
    ),
    "masks changed": ("No picture: the masks have changed since they were evaluated.", "Evaluate them again."),
    "masks unreadable": (
        "No picture: the masks could not be read again.",
        "Have they been moved since they were evaluated? Evaluate them again where they lie now.",
    ),
}
BASE64 = 4 / 3
Pictures = Mapping[tuple[str, str, str], CasePictures]


def with_images(evaluation: Evaluation, folder: Path) -> Evaluation:
    """The evaluation with its scans looked for in another folder."""
    dataset = read_json_if_there(folder / DATASET_JSON) or read_json_if_there(folder.parent / DATASET_JSON)
    channels = dataset.get("channel_names", {})
    files = {case: replace(one, images=find_images(folder, case, channels)) for case, one in evaluation.files.items()}
    return replace(evaluation, files=files)


def rows_of(evaluations: Sequence[Evaluation]) -> list[CaseRow]:
    """Every case and label of each model, without pictures; within a model the worst first."""
    return [
        row
        for evaluation in evaluations
        for row in sorted((CaseRow(evaluation.model, result) for result in evaluation.results), key=lambda r: r.badness)
    ]


def draw_pictures(
    evaluations: Sequence[Evaluation], *, cases: int | None, megabytes: float, processes: int
) -> tuple[Pictures, int]:
    """The pictures of cases by model, case and label: the worst cases of the first model come first.

    Args:
        evaluations: the models.
        cases: how many cases get pictures at most; None for no limit.
        megabytes: what the pictures may take of the page; further cases get none.
        processes: how many to use.

    Returns:
        The pictures, and how many cases they show.
    """
    worst = list(dict.fromkeys(row.result.case for row in rows_of(evaluations[:1])))
    a_case = sum(len(one.labels) for one in evaluations)
    most = min(
        len(worst), cases if cases is not None else len(worst), _at_most(megabytes / (SMALLEST_SHEET_MB * a_case))
    )
    chosen = set(worst[:most])
    panel_height, quality = LARGE if most * a_case <= FEW_SHEETS else SMALL
    pictures: dict[tuple[str, str, str], CasePictures] = {}
    for evaluation in evaluations:
        part = replace(evaluation, results=tuple(r for r in evaluation.results if r.case in chosen))
        for label in evaluation.labels:
            drawn = draw_case_pictures(
                part, label, processes=processes, panel_height=panel_height, quality=quality, height=THUMBNAIL_HEIGHT
            )
            pictures.update({(evaluation.model, case, label): picture for case, picture in drawn.items()})
    return _fitting(pictures, worst[:most], megabytes)


def _at_most(number: float) -> int:
    return max(int(number), 0) if math.isfinite(number) else sys.maxsize


def _fitting(pictures: Pictures, cases: Sequence[str], megabytes: float) -> tuple[Pictures, int]:
    """Those of the first cases that fit."""
    size = dict.fromkeys(cases, 0.0)
    for (_, case, _), picture in pictures.items():
        size[case] += (len(picture.sheet) + len(picture.thumbnail)) * BASE64 / 1e6
    room, fitting = megabytes, []
    for case in cases:
        room -= size[case]
        if room < 0:
            break
        fitting.append(case)
    kept = set(fitting)
    return {key: picture for key, picture in pictures.items() if key[1] in kept}, len(fitting)


def with_pictures(rows: Sequence[CaseRow], pictures: Pictures) -> tuple[CaseRow, ...]:
    """The rows, those with pictures carrying them."""
    return tuple(_with_picture(row, pictures.get((row.model, row.result.case, row.result.label))) for row in rows)


def _with_picture(row: CaseRow, pictures: CasePictures | None) -> CaseRow:
    if pictures is None or not pictures.sheet:
        return row
    return replace(
        row, thumbnail=data_uri(pictures.thumbnail, pictures.mime), sheet=data_uri(pictures.sheet, pictures.mime)
    )


def notices_of_pictures(evaluations: Sequence[Evaluation], pictures: Pictures, *, cases: int) -> list[Notice]:
    """Which cases have no picture, or none of their scan, and why; `cases` is how many should have one."""
    notices = []
    for lack, (finding, remedy) in LACKS.items():
        without = [(case, drawn.finding) for (_, case, _), drawn in pictures.items() if drawn.lack == lack]
        if without:
            case, why = without[0]
            example = f" Such as {case}: {why}" if lack in ("scan refused", "masks unreadable") else ""
            notices.append(Notice("warning", finding + example, remedy, _once([case for case, _ in without])))
    if cases < len(evaluations[0].cases):
        have = "case has" if cases == 1 else "cases have"
        notices.append(
            Notice(
                "note",
                f"Of {len(evaluations[0].cases)} cases, only the {cases} worst {have} pictures.",
                "For all of them, whatever the size of the page: mscs report --cases all.",
            )
        )
    else:
        keys = [(one.model, r.case, r.label) for one in evaluations for r in one.results]
        missing = _once([case for model, case, label in keys if (model, case, label) not in pictures])
        if missing:
            notices.append(
                Notice(
                    "warning",
                    f"Masks of {len(missing)} case{'s' * (len(missing) > 1)} could not be read again for a picture.",
                    "Have they been moved since they were evaluated? Evaluate them again where they lie now.",
                    missing,
                )
            )
    return notices


def _once(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def data_uri(content: bytes, kind: str) -> str:
    """A picture as an address that holds all of it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
