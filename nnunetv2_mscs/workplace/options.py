"""Options of a command that are described once: as the fields of the dataclass that the code takes."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import Field, field, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

HELP, FLAG, ALSO, ADDED_LATER = "help", "flag", "also", "added_later"
T = TypeVar("T")


class ParserOrGroup(Protocol):
    """A parser, or a group of its options."""

    def add_argument(self, *names: str, **arguments: Any) -> argparse.Action: ...


def option(
    default: Any,
    description: str,
    *,
    flag: str = "",
    also: str = "",
    added_later: bool = False,
    **arguments: Any,
) -> Any:
    """A field that is an option of the command line, too. One whose default is False is a switch.

    Args:
        default: of the field; the parser itself sets nothing where the option is not given.
        description: the help text.
        flag: the option; by default the field's name, as --test-fraction for test_fraction.
        also: another spelling of it.
        added_later: whether older records lack the option, see `recorded`.
        **arguments: for `add_argument` of argparse, such as type, nargs and metavar.
    """
    own = {HELP: description, FLAG: flag, ALSO: also, ADDED_LATER: added_later}
    return field(default=default, metadata=own | arguments)


def options_of(described: type, besides: type | None = None) -> Iterator[Field]:
    """The fields of a dataclass that are options, without those that it has from the class `besides`."""
    others = {one.name for one in fields(besides)} if besides else set()
    return (one for one in fields(described) if HELP in one.metadata and one.name not in others)


def flag_of(option: Field) -> str:
    """The option as it is typed."""
    return option.metadata[FLAG] or f"--{option.name.replace('_', '-')}"


def add_options(parser: ParserOrGroup, described: type, *, besides: type | None = None) -> None:
    """Give a parser all options of a dataclass; what is not given is missing in the namespace."""
    for one in options_of(described, besides):
        arguments = {key: value for key, value in one.metadata.items() if key not in (FLAG, ALSO, ADDED_LATER)}
        if one.default is False:
            arguments["action"] = "store_true"
        spellings = [flag_of(one), *filter(None, [one.metadata[ALSO]])]
        parser.add_argument(*spellings, dest=one.name, default=argparse.SUPPRESS, **arguments)


def switches(described: type) -> set[str]:
    """The options that take no value."""
    return {flag_of(one) for one in options_of(described) if one.default is False}


def from_values(described: type[T], values: Mapping[str, Any]) -> T:
    """An instance of a dataclass from values as argparse or JSON give them: lists for tuples, text for paths."""
    kinds = {one.name: one.metadata.get("type") for one in options_of(described)}

    def typed(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return tuple(value)
        return Path(value) if kinds.get(name) is Path and value is not None else value

    return described(**{name: typed(name, value) for name, value in values.items()})


def from_arguments(described: type[T], args: argparse.Namespace, **others: Any) -> T:
    """An instance of a dataclass from the arguments that have the names of its fields, and from others."""
    given = {one.name: vars(args)[one.name] for one in fields(described) if one.name in args}  # type: ignore[arg-type]
    return from_values(described, {**given, **others})


def recorded(values: Any, described: type) -> dict[str, Any]:
    """Options as a record keeps them: a list of each one's values, True or False for a switch; JSON-able.

    An option that was added later is left out where it has its default, so that older records equal newer ones.
    """
    record: dict[str, Any] = {}
    for one in options_of(described):
        value = getattr(values, one.name)
        if not one.metadata[ADDED_LATER] or value != one.default:
            record[flag_of(one)] = value if isinstance(value, bool) else _items(value)
    return record


def _items(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, tuple) else [str(value) if isinstance(value, Path) else value]


def typed_words(record: Mapping[str, Any]) -> list[Any]:
    """The words of a command line that gives the options in `recorded`."""
    words: list[Any] = []
    for flag, value in record.items():
        if value is True:
            words.append(flag)
        elif value:
            words += [flag, *value]
    return words
