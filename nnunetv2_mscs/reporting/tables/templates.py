"""Table templates: where they lie, and what one says. docs/tables.md explains how to write one."""

import os
from collections.abc import Sequence
from configparser import ConfigParser, MissingSectionHeaderError, ParsingError
from configparser import Error as NotAnIniFile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from nnunetv2_mscs.errors import MscsError

ENDING = ".ini"
VARIABLE = "MSCS_TEMPLATES"
OF_THE_WORKING_DIRECTORY = Path("results_templates/tables")
TABLE, COLUMNS = "table", "columns"
ROWS, CAPTION, NOTE = "rows", "caption", "note"
MODELS, SIZES = "models", "sizes"
REMEDY = "docs/tables.md shows how a template is written."


@dataclass(frozen=True)
class Template:
    """A file that describes a table; nothing of it is read yet.

    Args:
        name: the file's, without its ending.
        file: where it lies.
    """

    name: str
    file: Path


@dataclass(frozen=True)
class Expression:
    """Text with Jinja2 expressions, and the line of the file where it begins."""

    text: str
    line: int


@dataclass(frozen=True)
class Layout:
    """What a template says.

    Args:
        rows: what a row is: a model and label ("models"), or a size of lesions of them ("sizes").
        caption: above the table.
        note: below it.
        columns: title and cell of each.
    """

    rows: str
    caption: Expression
    note: Expression
    columns: tuple[tuple[Expression, Expression], ...]


def find_templates(folders: Sequence[Path] = ()) -> dict[str, Template]:
    """All templates by name, sorted. Of two of one name the first found counts.

    Args:
        folders: looked into first, in their order; then the folder that $MSCS_TEMPLATES names,
            ./results_templates/tables, and the templates of this package.

    Raises:
        MscsError: a folder that was named is not there.
    """
    named = [*folders, *([Path(os.environ[VARIABLE])] if os.environ.get(VARIABLE) else [])]
    for folder in named:
        if not folder.is_dir():
            raise MscsError(f"{folder} is no folder of templates.", f"Check its name, also in ${VARIABLE}.")
    packaged = Path(str(resources.files("nnunetv2_mscs.results_templates") / "tables"))
    found: dict[str, Template] = {}
    for folder in (*named, OF_THE_WORKING_DIRECTORY, packaged):
        for file in sorted(folder.glob(f"[!.]*{ENDING}")):
            found.setdefault(file.stem, Template(file.stem, file))
    return dict(sorted(found.items()))


def read_layout(template: Template) -> Layout:
    """Read a template.

    Raises:
        MscsError: it cannot be read or says something else than a template does.
    """
    try:
        text = template.file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MscsError(f"{template.file} cannot be read ({error}).", "Save it as UTF-8 text.") from error
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
        raise broken(template, *_finding(error)) from error
    lines = text.splitlines()
    _check(template, parser, lines)
    table = parser[TABLE]
    return Layout(
        rows=table[ROWS],
        caption=Expression(table.get(CAPTION, ""), _line(lines, CAPTION)),
        note=Expression(table.get(NOTE, ""), _line(lines, NOTE)),
        columns=tuple(
            (Expression(title, _line(lines, title)), Expression(cell, _line(lines, title)))
            for title, cell in parser[COLUMNS].items()
        ),
    )


def broken(template: Template, line: int | None, reason: str) -> MscsError:
    """The error of a template that cannot be used."""
    place = f"{template.file}, line {line}" if line else str(template.file)
    return MscsError(f"{place}: {reason}", REMEDY)


def _check(template: Template, parser: ConfigParser, lines: Sequence[str]) -> None:
    _refuse_others(template, [f"[{name}]" for name in parser.sections()], (f"[{TABLE}]", f"[{COLUMNS}]"), lines)
    for section in (TABLE, COLUMNS):
        if not parser.has_section(section) or not parser[section]:
            raise broken(template, None, f"there is nothing under [{section}].")
    _refuse_others(template, list(parser[TABLE]), (ROWS, CAPTION, NOTE), lines)
    if parser[TABLE].get(ROWS) not in (MODELS, SIZES):
        raise broken(template, _line(lines, ROWS), f"it does not say `{ROWS} = {MODELS}` or `{ROWS} = {SIZES}`.")


def _refuse_others(template: Template, words: Sequence[str], known: Sequence[str], lines: Sequence[str]) -> None:
    for word in words:
        if word not in known:
            raise broken(template, _line(lines, word), f"{word} is not known, but {', '.join(known)}.")


def _finding(error: NotAnIniFile) -> tuple[int | None, str]:
    if isinstance(error, MissingSectionHeaderError):
        return error.lineno, f"[{TABLE}] must come first."
    if isinstance(error, ParsingError):
        return error.errors[0][0], "this is no `title = cell`."
    twice = getattr(error, "option", None) or f"[{getattr(error, 'section', '')}]"
    return getattr(error, "lineno", None), f"{twice!r} is there twice."


def _line(lines: Sequence[str], key: str) -> int:
    """The line, from 1, where `key = ...` or the section `key` stands; 1 if it does not."""
    return next((number for number, line in enumerate(lines, 1) if line.split("=")[0].strip() == key), 1)
