"""Table templates: where they lie, and how one is read. docs/tables.md explains how to write one."""

import os
from collections.abc import Sequence
from configparser import ConfigParser, MissingSectionHeaderError, ParsingError
from configparser import Error as NotAnIniFile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from nnunetv2_mscs.errors import MscsError

ENDING = ".ini"
VARIABLE = "MSCS_TEMPLATES"
OF_THE_WORKING_DIRECTORY = Path("results_templates/tables")
TABLE, COLUMNS = "table", "columns"
ROWS, CAPTION, NOTE = "rows", "caption", "note"
ROW_PER_MODEL, ROW_PER_SIZE = "models", "sizes"


class Expression(NamedTuple):
    """Text with Jinja2 expressions, and the line of the file where it begins."""

    text: str
    line: int


@dataclass(frozen=True)
class TableTemplate:
    """The content of a template.

    Args:
        rows: "models" for one row per model and label, "sizes" for one row per size of lesions of each.
        caption: above the table.
        note: below it.
        columns: title and cell of each.
    """

    rows: str
    caption: Expression
    note: Expression
    columns: tuple[tuple[Expression, Expression], ...]


def find_templates(folders: Sequence[Path] = ()) -> dict[str, Path]:
    """The files of all templates by name, sorted. The first of two templates of one name counts.

    Args:
        folders: searched first, in their order; then the folder that $MSCS_TEMPLATES names,
            ./results_templates/tables, and the templates of this package.

    Raises:
        MscsError: a named folder does not exist.
    """
    named = [*folders, *([Path(os.environ[VARIABLE])] if os.environ.get(VARIABLE) else [])]
    for folder in named:
        if not folder.is_dir():
            raise MscsError(f"{folder} is not a folder of templates.", f"Check its name, also in ${VARIABLE}.")
    packaged = Path(str(resources.files("nnunetv2_mscs.results_templates") / "tables"))
    places = (*named, OF_THE_WORKING_DIRECTORY, packaged)
    files = [file for folder in reversed(places) for file in folder.glob(f"[!.]*{ENDING}")]
    return dict(sorted({file.stem: file for file in files}.items()))


def read_template(file: Path) -> TableTemplate:
    """Read a template.

    Raises:
        MscsError: it cannot be read, or breaks a rule of templates.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MscsError(f"{file} cannot be read ({error}).", "Save it as UTF-8 text.") from error
    parser = ConfigParser(
        delimiters=("=",),
        comment_prefixes=("#",),
        interpolation=None,
        empty_lines_in_values=False,
        default_section="",  # so that no section is special
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text)
    except NotAnIniFile as error:
        raise broken(file, *_reason(error)) from error
    # The line, from 1, of each `key = ...` and [section].
    lines = {line.split("=")[0].strip(): number for number, line in reversed(list(enumerate(text.splitlines(), 1)))}
    _check(file, parser, lines)
    table = parser[TABLE]
    return TableTemplate(
        rows=table[ROWS],
        caption=Expression(table.get(CAPTION, ""), lines.get(CAPTION, 1)),
        note=Expression(table.get(NOTE, ""), lines.get(NOTE, 1)),
        columns=tuple(
            (Expression(title, lines.get(title, 1)), Expression(cell, lines.get(title, 1)))
            for title, cell in parser[COLUMNS].items()
        ),
    )


def broken(file: Path, line: int | None, reason: str) -> MscsError:
    """The error of a template that cannot be used."""
    place = f"{file}, line {line}" if line else str(file)
    return MscsError(f"{place}: {reason}", "docs/tables.md shows how a template is written.")


def _check(file: Path, parser: ConfigParser, lines: dict[str, int]) -> None:
    sections = [f"[{name}]" for name in parser.sections()]
    options = list(parser[TABLE]) if TABLE in parser else []
    for words, known in ((sections, (f"[{TABLE}]", f"[{COLUMNS}]")), (options, (ROWS, CAPTION, NOTE))):
        for word in words:
            if word not in known:
                raise broken(file, lines.get(word, 1), f"{word} is not known, but {', '.join(known)}.")
    for section in (TABLE, COLUMNS):
        if section not in parser or not parser[section]:
            raise broken(file, None, f"there is nothing under [{section}].")
    if parser[TABLE].get(ROWS) not in (ROW_PER_MODEL, ROW_PER_SIZE):
        either = f"`{ROWS} = {ROW_PER_MODEL}` or `{ROWS} = {ROW_PER_SIZE}`"
        raise broken(file, lines.get(ROWS, 1), f"it does not say {either}.")


def _reason(error: NotAnIniFile) -> tuple[int | None, str]:
    """The line of an error of syntax, and what is wrong there."""
    if isinstance(error, MissingSectionHeaderError):
        return error.lineno, f"[{TABLE}] must come first."
    if isinstance(error, ParsingError):
        return error.errors[0][0], "this is not `title = cell`."
    twice = getattr(error, "option", None) or f"[{getattr(error, 'section', '')}]"
    return getattr(error, "lineno", None), f"{twice!r} is there twice."
