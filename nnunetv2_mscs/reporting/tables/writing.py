"""A filled table as Markdown, LaTeX and CSV."""

import re
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import pandas as pd

from nnunetv2_mscs.evaluation.wording import DASH, MINUS
from nnunetv2_mscs.reporting.tables.cells import Cell
from nnunetv2_mscs.reporting.tables.filling import FilledTable
from nnunetv2_mscs.workplace.whole_files import write_whole

OF_MARKDOWN = re.compile(r"([\\`*_<>|~&]|\](?=\())")
OF_LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    '"': "''",
    "±": r"$\pm$",
    DASH: "--",
    "†": r"$^{\dagger}$",
    "*": "$^{*}$",
    "<": "$<$",
    ">": "$>$",
    MINUS: "$-$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "κ": r"$\kappa$",
    "Δ": r"$\Delta$",
    "\N{GREEK SMALL LETTER RHO}": r"$\rho$",
    "²": "$^2$",
    "³": "$^3$",
}
LINE_BREAK = r" \\ "


def write_table(table: FilledTable, folder: Path) -> list[Path]:
    """Write NAME.md, NAME.tex and NAME.csv.

    Raises:
        MscsError: a file cannot be written.
    """
    files = []
    for ending, written in ((".md", as_markdown), (".tex", as_latex), (".csv", as_csv)):
        files.append(folder / f"{table.name}{ending}")
        write_whole(files[-1], written(table))
    return files


def as_markdown(table: FilledTable) -> str:
    """A table in the Markdown of GitHub and pandoc, the caption above it, the notes below."""
    titles, *rows = _texts(table, lambda text: markdown_escaped(text).replace("\n", "<br>"), "**{}**")
    widths = [max(3, *(len(row[i]) for row in (titles, *rows))) for i in range(len(titles))]
    numeric = _numeric(table)

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = [f"{'-' * (width - 1)}:" if right else "-" * width for width, right in zip(widths, numeric, strict=True)]
    caption, notes = markdown_escaped(table.caption), markdown_escaped("\n".join(table.notes))
    parts = (caption, "\n".join([line(titles), line(rule), *(line(row) for row in rows)]), notes)
    return "\n\n".join(part for part in parts if part) + "\n"


def as_latex(table: FilledTable) -> str:
    """A table with booktabs, narrowed to the line's width where it is wider."""
    titles, *rows = (" & ".join(row) for row in _texts(table, _latex_cell, r"\textbf{{{}}}"))
    template = resources.files("nnunetv2_mscs.results_templates") / "tables" / "table.tex"
    return template.read_text(encoding="utf-8") % {
        "caption": latex_escaped(table.caption),
        "label": re.sub(r"[^A-Za-z0-9-]+", "-", table.name),
        "alignment": "".join("r" if right else "l" for right in _numeric(table)),
        "titles": titles,
        "rows": " \\\\\n    ".join(rows),
        "notes": latex_escaped(" ".join(table.notes)),
    }


def as_csv(table: FilledTable) -> str:
    """Titles and cells as printed, with the minus sign that programs read; no caption, no notes."""
    titles, *rows = _texts(table, lambda text: text.replace(MINUS, "-").replace("\n", " "), "{}")
    return str(pd.DataFrame(rows, columns=titles).to_csv(index=False, lineterminator="\n"))


def markdown_escaped(text: str) -> str:
    """Text that Markdown shows as it is, in a cell of a table too."""
    return OF_MARKDOWN.sub(r"\\\1", text)


def latex_escaped(text: str) -> str:
    """Text that LaTeX shows as it is."""
    return "".join(OF_LATEX.get(character, character) for character in text)


def _latex_cell(text: str) -> str:
    # A bracket that begins a line would be an argument of the command before it.
    lines = [f"{{}}{line}" if line.startswith("[") else line for line in latex_escaped(text).splitlines()]
    return rf"\makecell[tr]{{{LINE_BREAK.join(lines)}}}" if len(lines) > 1 else "".join(lines)


def _texts(table: FilledTable, escaped: Callable[[str], str], best: str) -> list[list[str]]:
    """The titles and then the rows, escaped."""

    def shown(cell: Cell) -> str:
        return best.format(escaped(cell.text)) if cell.best else escaped(cell.text)

    return [[escaped(title) for title in table.titles], *([shown(cell) for cell in row] for row in table.rows)]


def _numeric(table: FilledTable) -> list[bool]:
    return [any(row[i].value is not None for row in table.rows) for i in range(len(table.titles))]
