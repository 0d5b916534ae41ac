"""One cell of a table: a template's expression filled, and what the reader must be told about its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import StrictUndefined, TemplateError, TemplateRuntimeError, TemplateSyntaxError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from nnunetv2_mscs.reporting.tables.templates import Expression, Template, broken
from nnunetv2_mscs.reporting.tables.values import DASH, Group, LeftOut, Mark, Number


@dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        text: as printed, not yet escaped; of several lines where the template breaks the cell.
        value: its first number as printed, by which cells are ranked; None if it shows no number.
        left_out: cases that this number says nothing about.
        best: of its column, among the models.
    """

    text: str
    value: float | None = None
    left_out: int = 0
    best: bool = False


class _Unknown(StrictUndefined):
    """A name that a template must not use; the error says which there are."""

    @property
    def _undefined_message(self) -> str:
        if isinstance(self._undefined_obj, Group):
            return f"there is no {self._undefined_name!r} here, but {', '.join(self._undefined_obj)}"
        return str(super()._undefined_message)


class Printer:
    """Prints cells, and remembers what the reader of the table must be told about them.

    Args:
        template: whose expressions it prints.
    """

    def __init__(self, template: Template) -> None:
        self.template = template
        self.numbers: list[float] = []
        self.cases_left_out = 0
        self.left_out: dict[LeftOut, None] = {}
        self.marks = False
        self.environment = ImmutableSandboxedEnvironment(undefined=_Unknown, finalize=self._text)
        self.environment.filters |= {"digits": _digits, "signed": _signed, "percent": _percent}

    def cell(self, expression: Expression, values: Mapping[str, Any]) -> Cell:
        """One cell; a dash if none of its numbers is defined."""
        self.numbers = []
        self.cases_left_out = 0
        try:
            text = self.environment.from_string(expression.text).render(values)
        except ZeroDivisionError:
            return Cell(DASH)
        except TemplateSyntaxError as error:
            raise broken(self.template, expression.line + error.lineno - 1, f"{error.message}.") from error
        except Exception as error:
            # Expressions of a user's own may raise anything.
            reason = error.message if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
            raise broken(self.template, expression.line, f"{reason}.") from error
        if self.numbers and all(np.isnan(self.numbers)):
            return Cell(DASH, float("nan"))
        lines = (" ".join(line.split()) for line in text.splitlines())
        printed = "\n".join(line for line in lines if line)
        return Cell(printed, self.numbers[0] if self.numbers else None, self.cases_left_out)

    def _text(self, value: Any) -> Any:
        if isinstance(value, Undefined | str):
            self.marks |= isinstance(value, Mark)
            return value
        if isinstance(value, tuple):
            ends = [self._text(one) for one in value]
            return f"[{DASH}]" if all(end == DASH for end in ends) else f"[{'; '.join(ends)}]"
        if isinstance(value, float):
            return self._number(value if isinstance(value, Number) else Number(value))
        if isinstance(value, int) and not isinstance(value, bool):
            self.numbers.append(value)
            return str(value)
        raise TemplateRuntimeError(
            f"this is no single value; name one of {', '.join(value)}"
            if isinstance(value, Group)
            else f"{value!r} is no value"
        )

    def _number(self, value: Number) -> str:
        self.numbers.append(round(float(value), value.decimals))
        if value.left_out:
            self.left_out[value.left_out] = None
            self.cases_left_out = max(self.cases_left_out, value.left_out.cases)
        return value.text


def _digits(value: Any, digits: int) -> Any:
    return tuple(_digits(one, digits) for one in value) if isinstance(value, tuple) else _as(value, decimals=digits)


def _signed(value: Any) -> Any:
    return tuple(_signed(one) for one in value) if isinstance(value, tuple) else _as(value, signed=True)


def _percent(value: Any, digits: int = 1) -> Any:
    if isinstance(value, tuple):
        return tuple(_percent(one, digits) for one in value)
    return _as(value, times=100, decimals=digits)


def _as(value: Any, *, times: int = 1, **changes: Any) -> Number:
    known = value if isinstance(value, Number) else Number(value)
    return known.like(known * times, **changes)
