"""`mscs report` on masks without references: one HTML file with volumes, warnings, pictures and methods."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.results import is_comparison, is_evaluation
from nnunetv2_mscs.evaluation.sources import find_images, find_predictions, references_of
from nnunetv2_mscs.evaluation.volumes import measure_volumes
from nnunetv2_mscs.models.records import OK, Results
from nnunetv2_mscs.nnunet_files.dataset import DATASET_JSON
from nnunetv2_mscs.nnunet_files.json_files import read_json_if_there
from nnunetv2_mscs.nnunet_files.model_folder import is_model_folder, validated_fold
from nnunetv2_mscs.nnunet_files.trained import model_meant
from nnunetv2_mscs.reporting.pictures import data_uri, png, small
from nnunetv2_mscs.reporting.predictions import COLUMNS, Pictures, predictions_page, worst_first
from nnunetv2_mscs.reporting.report.page import GENERATOR
from nnunetv2_mscs.reporting.sheet import draw_sheet, draw_thumbnail
from nnunetv2_mscs.reporting.sheet_case import read_sheet_case
from nnunetv2_mscs.reporting.viewer import draw_slices
from nnunetv2_mscs.scans.findings import Findings
from nnunetv2_mscs.workplace.parallel import run_parallel
from nnunetv2_mscs.workplace.whole_files import write_whole

TITLE = "Predictions"
THUMBNAIL_HEIGHT, THUMBNAIL_QUALITY, SHEET_QUALITY = 90, 60, 40
NO_SCANS = "The scans are not shown: name their folder with --images."


@dataclass(frozen=True)
class MasksAlone:
    """Masks without references, as `mscs report` shows them.

    Args:
        place: the folder or file of the masks.
        images: the folder of the scans, for masks that `mscs predict` has not made; None if it is not known.
        title: of the page.
        cases: pictures of so many cases at most; None for all.
        megabytes: the largest page; pictures that do not fit are left out.
        processes: how many to use.
    """

    place: Path
    images: Path | None = None
    title: str = ""
    cases: int | None = None
    megabytes: float = math.inf
    processes: int = 1


@dataclass(frozen=True)
class WrittenPage:
    """What the page holds."""

    cases: int
    pictures: int
    megabytes: float


def are_masks_alone(place: Path) -> bool:
    """Whether a place holds masks, and nothing says where references to any of them are.

    Raises:
        MscsError: there are no masks.
    """
    place = model_meant(place)
    if is_evaluation(place) or is_comparison(place) or is_model_folder(place) or validated_fold(place) is not None:
        return False
    if Results(place).records():
        return True
    masks = find_predictions(place, Findings())
    try:
        references = references_of(masks)
    except MscsError:
        return True
    return not find_predictions(references, Findings()).files.keys() & masks.files.keys()


def report_masks_alone(out: Path, masks: MasksAlone) -> WrittenPage:
    """Write the page.

    Raises:
        MscsError: masks or scans cannot be read, or the page cannot be written.
    """
    results = Results(masks.place)
    notes: list[str] = []
    written = list(results.records().values())
    if written:
        records, pictures = written, {str(one["case"]): _pictures_of(results, str(one["case"]), one) for one in written}
        by = str(written[0]["settings"]["model"])
    else:
        records, pictures, notes = _measured(masks)
        by = ""
    ordered = [str(one["case"]) for one in worst_first(records)][: masks.cases]
    shown = _fitting(pictures, ordered, masks.megabytes)
    if left_out := len(ordered) - len(shown):
        notes.append(f"{left_out} cases have no picture, so that the page stays small; --cases all shows all of them.")
    columns = [one for one in COLUMNS if any(record.get(one[0]) is not None for record in records)] or COLUMNS[:1]
    page = predictions_page(
        records, shown, by=by, title=masks.title or TITLE, generator=GENERATOR, notes=notes, columns=columns
    ).encode()
    write_whole(out, page)
    return WrittenPage(len(records), sum(bool(one.sheet) for one in shown.values()), len(page) / 1e6)


def _pictures_of(results: Results, case: str, record: Mapping[str, Any]) -> Pictures:
    """The pictures that `mscs predict` has written, as data URIs."""
    if not (results.sheet(case).is_file() and results.thumbnail(case).is_file()):
        return Pictures()
    slices: Mapping[str, Any] = {}
    if "slices" in record and results.slices(case).is_file() and results.contours(case).is_file():
        images = data_uri(results.slices(case).read_bytes(), "image/webp")
        slices = {
            "images": images,
            "contours": data_uri(results.contours(case).read_bytes(), "image/png"),
            **record["slices"],
        }
    return Pictures(
        data_uri(*small(_opened(results.sheet(case)), quality=SHEET_QUALITY)),
        data_uri(*small(_opened(results.thumbnail(case)), quality=THUMBNAIL_QUALITY)),
        slices,
    )


def _opened(file: Path) -> Image.Image:
    return Image.open(BytesIO(file.read_bytes())).convert("RGB")


@dataclass(frozen=True)
class _Drawn:
    """A mask to draw; a message about a crashed worker names it by `name`."""

    name: str
    mask: Path
    images: Mapping[str, Path]


def _measured(masks: MasksAlone) -> tuple[list[dict[str, Any]], dict[str, Pictures], list[str]]:
    """Records and pictures of masks of which no record says how they were made."""
    found = find_predictions(masks.place, Findings())
    table = measure_volumes(masks.place, processes=masks.processes)
    of_cases = table.groupby("case", sort=False)[["lesion_volume_ml", "lesion_count"]].sum()
    records = [
        {"case": case, "status": OK, "warnings": [], "lesion_volume_ml": float(volume), "lesion_count": int(count)}
        for case, volume, count in of_cases.itertuples()
    ]
    folder, channels = masks.images, found.dataset_json.get("channel_names", {})
    if folder is not None:
        beside = read_json_if_there(folder / DATASET_JSON) or read_json_if_there(folder.parent / DATASET_JSON)
        channels = beside.get("channel_names", channels)
    jobs = [
        _Drawn(case, file, find_images(folder, case, channels) if folder is not None else {})
        for case, file in found.files.items()
    ]
    drawn = run_parallel(_draw, jobs, processes=masks.processes, description="sheets")
    notes = [] if all(job.images for job in jobs) else [NO_SCANS]
    return records, dict(zip(found.files, drawn, strict=True)), notes


def _draw(job: _Drawn) -> Pictures:
    case = read_sheet_case(job.name, job.images, prediction=job.mask)
    slices = draw_slices(case) if job.images else None
    layout: Mapping[str, Any] = {}
    if slices is not None:
        images, contours = data_uri(slices.images, "image/webp"), data_uri(slices.contours, "image/png")
        layout = {"images": images, "contours": contours, **slices.layout}
    return Pictures(
        data_uri(*small(draw_sheet(case).image, quality=SHEET_QUALITY)),
        data_uri(png(draw_thumbnail(case, height=THUMBNAIL_HEIGHT)), "image/png"),
        layout,
    )


def _fitting(pictures: Mapping[str, Pictures], ordered: Sequence[str], megabytes: float) -> dict[str, Pictures]:
    """The pictures that fit into the page: first sheets, then slices, in this order of cases."""
    room, shown = megabytes * 1e6, {}
    for case in ordered:
        one = pictures.get(case, Pictures())
        size = len(one.sheet) + len(one.thumbnail)
        if size > room:
            break
        shown[case], room = Pictures(one.sheet, one.thumbnail), room - size
    for case in shown:
        slices = pictures.get(case, Pictures()).slices
        size = sum(len(slices.get(name, "")) for name in ("images", "contours"))
        if slices and size <= room:
            shown[case], room = Pictures(shown[case].sheet, shown[case].thumbnail, slices), room - size
    return shown
