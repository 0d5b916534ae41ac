"""The page over all predicted cases: a table that sorts, with the sheet of each case, the worst warnings first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nnunetv2_mscs.evaluation.wording import DASH
from nnunetv2_mscs.reporting.templates import fill_template
from nnunetv2_mscs.workplace.whole_files import write_whole

TEMPLATE = "predictions.html.j2"
GENERATOR = "nnunetv2-mscs predict"
# Columns of the table: the key in a case's record, the title, and the decimals.
COLUMNS = (
    ("lesion_volume_ml", "Volume (mL)", 2),
    ("lesion_count", "Lesions", 0),
    ("largest_probability", "Largest probability", 2),
    ("mean_adc", "Mean ADC (10⁻⁶ mm²/s)", 0),
    ("relative_dwi", "Relative DWI", 2),
)


@dataclass(frozen=True)
class Pictures:
    """The pictures of a case: addresses relative to the page, or data URIs; empty where there is none.

    Args:
        sheet: the whole sheet.
        thumbnail: its small picture.
        slices: where its slices lie and how, for the script of the page.
    """

    sheet: str = ""
    thumbnail: str = ""
    slices: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A case on the page.

    Args:
        case: its name.
        failed: it could not be predicted.
        numbers: the text and the value that it sorts by, for each column.
        said: its warnings, or why it failed.
        pictures: see there.
    """

    case: str
    failed: bool
    numbers: tuple[tuple[str, float | None], ...]
    said: tuple[str, ...]
    pictures: Pictures


def write_page(file: Path, records: Sequence[Mapping[str, Any]], *, sheets: str, slices: str, model: str) -> None:
    """Write the page of a folder of predictions, which refers to the pictures beside it.

    Args:
        file: to write.
        records: of the cases, as `mscs predict` writes them.
        sheets: the folder of the sheets beside the page.
        slices: that of the pictures of all slices.
        model: its name.

    Raises:
        MscsError: the file cannot be written.
    """
    pictures = {str(one["case"]): _beside(one, file.parent, sheets, slices) for one in records}
    write_whole(file, predictions_page(records, pictures, by=model))


def predictions_page(
    records: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, Pictures],
    *,
    by: str,
    title: str = "Predictions",
    generator: str = GENERATOR,
    notes: Sequence[str] = (),
    columns: Sequence[tuple[str, str, int]] = COLUMNS,
) -> str:
    """The page as HTML.

    Args:
        records: of the cases, as `mscs predict` writes them.
        pictures: by case.
        by: the model; "" if nothing records it.
        title: of the page.
        generator: the command that writes the page.
        notes: sentences above the table.
        columns: of the table, see `COLUMNS`.
    """
    from nnunetv2_mscs.reporting.predictions_methods import methods_of_predictions, volumes_in_words

    rows = [_row(record, pictures.get(str(record["case"]), Pictures()), columns) for record in worst_first(records)]
    versions: Mapping[str, str] = next((record["versions"] for record in records if "versions" in record), {})
    return fill_template(
        TEMPLATE,
        rows=rows,
        columns=[heading for _, heading, _ in columns],
        model=by,
        title=title,
        generator=generator,
        notes=notes,
        methods=methods_of_predictions(records, by),
        volumes=volumes_in_words(records),
        versions=", ".join(f"{name} {number}" for name, number in versions.items()),
        failed=sum(row.failed for row in rows),
        warned=sum(bool(row.said) and not row.failed for row in rows),
        empty=sum(record.get("lesion_count") == 0 for record in records),
    )


def worst_first(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Failed cases first, then those with most warnings."""
    return sorted(records, key=lambda one: (one["status"] == "ok", -len(one.get("warnings", ()))))


def _row(record: Mapping[str, Any], pictures: Pictures, columns: Sequence[tuple[str, str, int]]) -> Row:
    failed = record["status"] != "ok"
    said = [record["reason"]] if failed else record["warnings"]
    numbers = tuple(_number(record.get(key), decimals) for key, _, decimals in columns)
    return Row(str(record["case"]), failed, numbers, tuple(said), pictures)


def _beside(record: Mapping[str, Any], folder: Path, sheets: str, slices: str) -> Pictures:
    """The pictures of a case that lie beside the page."""
    case = str(record["case"])
    there = (folder / sheets / f"{case}.png").is_file()
    images, contours = f"{slices}/{case}.webp", f"{slices}/{case}_mask.png"
    seen = "slices" in record and (folder / images).is_file() and (folder / contours).is_file()
    return Pictures(
        quote(f"{sheets}/{case}.png") if there else "",
        quote(f"{sheets}/{case}_small.png") if there else "",
        {"images": quote(images), "contours": quote(contours), **record["slices"]} if seen else {},
    )


def _number(value: Any, decimals: int) -> tuple[str, float | None]:
    return (DASH, None) if value is None else (f"{value:.{decimals}f}", float(value))
