"""The rows of the table of cases, with their pictures inside the page's size."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nnunetv2_mscs.evaluation.results import Evaluation
from nnunetv2_mscs.evaluation.sources import DATASET_JSON, find_images
from nnunetv2_mscs.reporting.case_pictures import CasePictures, draw_case_pictures
from nnunetv2_mscs.reporting.report.content import CaseRow, Notice
from nnunetv2_mscs.reporting.report.model_facts import read_object

Pictures = Mapping[tuple[str, str, str], CasePictures]


def with_images(evaluation: Evaluation, folder: Path) -> Evaluation:
    """The evaluation with its scans looked for in another folder."""
    dataset = read_object(folder / DATASET_JSON) or read_object(folder.parent / DATASET_JSON)
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


def draw_pictures(evaluations: Sequence[Evaluation], *, cases: int | None, processes: int) -> Pictures:
    """The pictures of the worst cases of the first model, or of all, by model, case and label.

    Args:
        evaluations: the models.
        cases: how many cases get pictures; None for all of them.
        processes: how many to use.
    """
    worst = list(dict.fromkeys(row.result.case for row in rows_of(evaluations[:1])))
    chosen = set(worst if cases is None else worst[:cases])
    pictures = {}
    for evaluation in evaluations:
        part = replace(evaluation, results=tuple(r for r in evaluation.results if r.case in chosen))
        for label in evaluation.labels:
            for case, drawn in draw_case_pictures(part, label, processes=processes).items():
                pictures[evaluation.model, case, label] = drawn
    return pictures


def with_pictures(rows: Sequence[CaseRow], pictures: Pictures) -> tuple[CaseRow, ...]:
    """The rows, those with pictures carrying them."""
    return tuple(_with_picture(row, pictures.get((row.model, row.result.case, row.result.label))) for row in rows)


def _with_picture(row: CaseRow, pictures: CasePictures | None) -> CaseRow:
    if pictures is None:
        return row
    return replace(
        row, thumbnail=data_uri(pictures.thumbnail, "image/webp"), sheet=data_uri(pictures.sheet, "image/webp")
    )


def notices_of_pictures(evaluations: Sequence[Evaluation], pictures: Pictures, *, cases: int | None) -> list[Notice]:
    """Which cases have no picture, or none of their scan, and why."""
    without: dict[str, list[str]] = {}
    for (_, case, _), drawn in pictures.items():
        if drawn.finding:
            without.setdefault(drawn.finding.replace(case, "a case"), []).append(case)
    notices = [
        Notice(
            "warning", f"The scan is not shown: {finding}", "Name the folder of the scans with --images.", _once(named)
        )
        for finding, named in without.items()
    ]
    if cases is None:
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
