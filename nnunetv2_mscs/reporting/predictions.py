"""The page over all predicted cases: a table that sorts, with the sheet of each case, the worst warnings first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    ("mean_adc", "Mean ADC", 0),
    ("relative_dwi", "Relative DWI", 2),
)


@dataclass(frozen=True)
class Row:
    """A case on the page.

    Args:
        case: its name.
        failed: it could not be predicted.
        numbers: the text and the value that it sorts by, for each of `COLUMNS`.
        said: its warnings, or why it failed.
        sheet: the address of its sheet, relative to the page; empty if there is none.
        thumbnail: of its small picture.
        slices: where its slices lie, for the script of the page; empty if they are not there.
    """

    case: str
    failed: bool
    numbers: tuple[tuple[str, float | None], ...]
    said: tuple[str, ...]
    sheet: str
    thumbnail: str
    slices: Mapping[str, Any]

    @property
    def rank(self) -> tuple[bool, int]:
        """Failed cases first, then those with most warnings."""
        return not self.failed, -len(self.said)


def write_page(file: Path, records: Sequence[Mapping[str, Any]], *, sheets: str, slices: str, model: str) -> None:
    """Write the page.

    Args:
        file: to write.
        records: of the cases, as `mscs predict` writes them.
        sheets: the folder of the sheets beside the page.
        slices: that of the pictures of all slices.
        model: its name.

    Raises:
        MscsError: the file cannot be written.
    """
    rows = sorted((_row(record, file.parent, sheets, slices) for record in records), key=lambda row: row.rank)
    versions: Mapping[str, str] = next((record["versions"] for record in records if "versions" in record), {})
    page = fill_template(
        TEMPLATE,
        rows=rows,
        columns=[title for _, title, _ in COLUMNS],
        model=model,
        generator=GENERATOR,
        versions=", ".join(f"{name} {number}" for name, number in versions.items()),
        failed=sum(row.failed for row in rows),
        warned=sum(bool(row.said) and not row.failed for row in rows),
        empty=sum(record.get("lesion_count") == 0 for record in records),
    )
    write_whole(file, page)


def _row(record: Mapping[str, Any], folder: Path, sheets: str, slices: str) -> Row:
    case, failed = str(record["case"]), record["status"] != "ok"
    there = (folder / sheets / f"{case}.png").is_file()
    images, contours = f"{slices}/{case}.webp", f"{slices}/{case}_mask.png"
    seen = "slices" in record and (folder / images).is_file() and (folder / contours).is_file()
    said = [record["reason"]] if failed else record["warnings"]
    return Row(
        case,
        failed,
        tuple(_number(record.get(key), decimals) for key, _, decimals in COLUMNS),
        tuple(said),
        quote(f"{sheets}/{case}.png") if there else "",
        quote(f"{sheets}/{case}_small.png") if there else "",
        {"images": quote(images), "contours": quote(contours), **record["slices"]} if seen else {},
    )


def _number(value: Any, decimals: int) -> tuple[str, float | None]:
    return (DASH, None) if value is None else (f"{value:.{decimals}f}", float(value))
