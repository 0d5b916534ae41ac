"""A filled table as Markdown, LaTeX and CSV."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from nnunetv2_mscs.evaluation.wording import MINUS
from nnunetv2_mscs.reporting.tables.cells import Cell
from nnunetv2_mscs.reporting.tables.filling import Table
from nnunetv2_mscs.reporting.tables.values import DASH
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
LATEX_TABLE = r"""%% Needs \usepackage{booktabs, adjustbox, makecell}.
\begin{table}
  \centering
  \caption{%(caption)s}
  \label{tab:%(label)s}
  \smallskip
  \begin{adjustbox}{max width=\linewidth}
  \begin{tabular}{%(alignment)s}
    \toprule
    %(titles)s \\
    \midrule
    %(rows)s \\
    \bottomrule
  \end{tabular}
  \end{adjustbox}
  \par\smallskip
  \parbox{\linewidth}{\footnotesize %(notes)s}
\end{table}
"""


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write NAME.md, NAME.tex and NAME.csv.

    Raises:
        MscsError: a file cannot be written.
    """
    files = []
    for ending, written in ((".md", as_markdown), (".tex", as_latex), (".csv", as_csv)):
        files.append(folder / f"{table.name}{ending}")
        write_whole(files[-1], written(table))
    return files


def as_markdown(table: Table) -> str:
    """A table as GitHub and pandoc read it, the caption above it, the notes below."""
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


def as_latex(table: Table) -> str:
    """A table in the manner of booktabs, narrowed to the line's width where it is wider."""
    titles, *rows = (" & ".join(row) for row in _texts(table, _latex_cell, r"\textbf{{{}}}"))
    return LATEX_TABLE % {
        "caption": latex_escaped(table.caption),
        "label": re.sub(r"[^A-Za-z0-9-]+", "-", table.name),
        "alignment": "".join("r" if right else "l" for right in _numeric(table)),
        "titles": titles,
        "rows": " \\\\\n    ".join(rows),
        "notes": latex_escaped(" ".join(table.notes)),
    }


def as_csv(table: Table) -> str:
    """Titles and cells as printed, with the minus sign that programs read; no caption, no notes."""
    texts = _texts(table, lambda text: text.replace(MINUS, "-").replace("\n", " "), "{}")
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(texts)
    return stream.getvalue()


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


def _texts(table: Table, escaped: Callable[[str], str], best: str) -> list[list[str]]:
    """The titles and then the rows, escaped."""

    def shown(cell: Cell) -> str:
        return best.format(escaped(cell.text)) if cell.best else escaped(cell.text)

    return [[escaped(title) for title in table.titles], *([shown(cell) for cell in row] for row in table.rows)]


def _numeric(table: Table) -> list[bool]:
    return [any(row[i].value is not None for row in table.rows) for i in range(len(table.titles))]
