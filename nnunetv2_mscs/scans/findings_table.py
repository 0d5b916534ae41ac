"""Findings as a table that people read and scripts can search."""

import shutil
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from nnunetv2_mscs.scans.findings import SEVERITIES, Finding

HEADER = ("severity", "case", "file", "finding", "what to do")
ROWS_BEFORE_GROUPING = 3
NARROWEST_TEXT = 24
# Where lines are folded: how wide case and file may be, and how finding and remedy share the rest.
WIDEST = {1: 24, 2: 32}
SHARES = {3: 0.6, 4: 0.4}


def findings_table(findings: Sequence[Finding], roots: Sequence[Path], *, wrap: bool) -> str:
    """One table, errors first; the same finding in many cases takes one row, and columns without content are left out.

    Args:
        findings: in any order.
        roots: folders that file names are shown relative to.
        wrap: fold long cells to the terminal's width; otherwise each finding stays on one line.
    """
    rows = _rows(findings, roots)
    kept = [column for column in range(len(HEADER)) if any(row[column] for row in rows)]
    rows = [tuple(row[column] for column in kept) for row in (HEADER, *rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(kept))]
    if wrap:
        widths = [min(width, WIDEST.get(column, width)) for column, width in zip(kept, widths, strict=True)]
        names = sum(width for column, width in zip(kept, widths, strict=True) if column not in SHARES)
        room = shutil.get_terminal_size((120, 24)).columns - names - 2 * (len(kept) - 1)
        texts = max(room, 2 * NARROWEST_TEXT)
        widths = [
            int(texts * SHARES[column]) if column in SHARES else width
            for column, width in zip(kept, widths, strict=True)
        ]
    lines = [line for row in rows for line in _lines(row, widths)]
    rule = "  ".join("-" * width for width in widths)
    header_lines = len(_lines(rows[0], widths))
    return "\n".join([*lines[:header_lines], rule, *lines[header_lines:]])


def _rows(findings: Sequence[Finding], roots: Sequence[Path]) -> list[tuple[str, ...]]:
    groups: dict[tuple[str, str, str], list[Finding]] = defaultdict(list)
    for item in sorted(findings, key=lambda item: SEVERITIES.index(item.severity)):
        groups[item.severity, item.finding, item.remedy].append(item)
    rows: list[tuple[str, ...]] = []
    for (severity, finding, remedy), items in groups.items():
        if len(items) > ROWS_BEFORE_GROUPING:
            names = list(dict.fromkeys(item.case or _short(item.file, roots) for item in items))
            kind = "cases" if items[0].case else "entries"
            who = f"{len(names)} {kind}: {', '.join(names[:3])}" if len(names) > 1 else names[0]
            files = f"{len(items)} files" if len(names) < len(items) else ""
            rows.append((severity, who + ", ..." * (len(names) > 3), files, finding, remedy))
        else:
            rows += [(severity, item.case, _short(item.file, roots), finding, remedy) for item in items]
    return rows


def _short(file: str, roots: Sequence[Path]) -> str:
    for root in roots:
        if file and Path(file).is_relative_to(root):
            return Path(file).relative_to(root).as_posix().removeprefix(".")
    return file


def _lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    cells = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
    height = max(len(cell) for cell in cells)
    padded = [cell + [""] * (height - len(cell)) for cell in cells]
    return [
        "  ".join(cell[i].ljust(width) for cell, width in zip(padded, widths, strict=True)).rstrip()
        for i in range(height)
    ]
