"""A table template filled: one row per model, the best value of a column marked, omissions noted below."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nnunetv2_mscs.evaluation.comparison import Comparison
from nnunetv2_mscs.evaluation.results import VALUES, Evaluation, case_table
from nnunetv2_mscs.evaluation.statistics import StatisticsSettings, with_statistics
from nnunetv2_mscs.reporting.tables.cells import Cell, Printer
from nnunetv2_mscs.reporting.tables.notes import about_cases, about_left_out, about_signs
from nnunetv2_mscs.reporting.tables.template import ROW_PER_SIZE, read_template
from nnunetv2_mscs.reporting.tables.values import row_values

HIGHER, LOWER = "↑", "↓"


@dataclass(frozen=True)
class FilledTable:
    """A filled table.

    Args:
        name: of its template.
        caption: in one paragraph.
        titles: of the columns.
        rows: as many cells each as there are titles.
        notes: sentences below the table: the template's own, numbers of cases, what was left out.
    """

    name: str
    caption: str
    titles: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]


def fill_table(file: Path, evaluations: Sequence[Evaluation], comparison: Comparison | None = None) -> FilledTable:
    """Fill a template.

    The evaluations have their statistics; the first is the baseline. Without a comparison there is a single model.

    Raises:
        MscsError: the template is broken; the error names its file and line.
    """
    template = read_template(file)
    printer = Printer(file)
    compared, values = zip(*_rows(template.rows, evaluations, comparison), strict=True)
    rows = [[printer.cell(cell, one) for _, cell in template.columns] for one in values]
    titles = [printer.cell(title, values[0]).text for title, _ in template.columns]
    caption, note = (
        printer.cell(text, values[0]).text.replace("\n", " ") for text in (template.caption, template.note)
    )
    rows = _best_marked(rows, titles, compared)
    filled = [i for i in range(len(titles)) if any(row[i].text for row in rows)]
    notes = (
        note,
        *about_cases(evaluations),
        *about_left_out(printer.left_out, evaluations[0].labels),
        *about_signs(bold=any(cell.best for row in rows for cell in row), marks=printer.marks),
    )
    return FilledTable(
        name=file.stem,
        caption=caption,
        titles=tuple(titles[i] for i in filled),
        rows=tuple(tuple(row[i] for i in filled) for row in rows),
        notes=tuple(one for one in notes if one),
    )


def check_template(file: Path) -> None:
    """Fill a template with two made-up cases, to find its errors before a long evaluation.

    Raises:
        MscsError: it is broken.
    """
    names = {"label": "1", "label_name": "lesion", "fold": None, "reference_empty": False, "prediction_empty": False}
    table = case_table({"case": f"case_{i}", **names, **dict.fromkeys(VALUES, float(i))} for i in (1, 2))
    made_up = Evaluation("model", "", "", {"1": "lesion"}, table)
    fill_table(file, [with_statistics(made_up, StatisticsSettings(samples=10))])


def _rows(
    kind: str, evaluations: Sequence[Evaluation], comparison: Comparison | None
) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    """The values of each row, after the label and size that it shares with the rows it is compared with."""
    for label in evaluations[0].labels:
        models = [row_values(one, label, comparison) for one in evaluations]
        if kind != ROW_PER_SIZE:
            yield from (((label, ""), values) for values in models)
            continue
        for size in models[0]["lesions"]:
            yield from (((label, size), {**values, "size": values["lesions"][size]}) for values in models)


def _best_marked(
    rows: Sequence[Sequence[Cell]], titles: Sequence[str], compared: Sequence[tuple[str, str]]
) -> list[list[Cell]]:
    """The best cells marked in each column whose title ends in an arrow, among rows of one label and size.

    No cell is marked where the models' numbers leave out different numbers of cases: the distances of a model that
    misses lesions altogether are means over its easier cases.
    """
    marked = [list(row) for row in rows]
    for column, title in enumerate(titles):
        if not title.endswith((HIGHER, LOWER)):
            continue
        for key in dict.fromkeys(compared):
            places = [i for i, one in enumerate(compared) if one == key]
            values = [marked[i][column].value for i in places]
            known = [value for value in values if value is not None and not np.isnan(value)]
            if len(set(known)) < 2 or len({marked[i][column].left_out for i in places}) > 1:
                continue
            best = max(known) if title.endswith(HIGHER) else min(known)
            for i, value in zip(places, values, strict=True):
                marked[i][column] = replace(marked[i][column], best=value == best)
    return marked
