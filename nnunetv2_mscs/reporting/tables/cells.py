"""One cell of a table: a template's expression filled, and what the reader must know about its numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import StrictUndefined, TemplateError, TemplateRuntimeError, TemplateSyntaxError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from nnunetv2_mscs.evaluation.wording import DASH
from nnunetv2_mscs.reporting.tables.template import Expression, broken
from nnunetv2_mscs.reporting.tables.values import Group, LeftOut, Mark, Number


@dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        text: as printed, not yet escaped; of several lines where the template breaks the cell.
        value: its first number as printed, by which cells are ranked; None if it shows no number.
        left_out: number of cases that this number leaves out.
        best: it holds the best value of its column.
    """

    text: str
    value: float | None = None
    left_out: int = 0
    best: bool = False


class _UnknownName(StrictUndefined):
    """A name that a template must not use; the error lists the names that exist."""

    @property
    def _undefined_message(self) -> str:
        if isinstance(self._undefined_obj, Group):
            return f"there is no {self._undefined_name!r} here, but {', '.join(self._undefined_obj)}"
        return str(super()._undefined_message)


class Printer:
    """Prints cells of a template's file, and remembers what the reader of the table must know about them.

    Attributes:
        left_out: what the printed numbers leave out, in order.
        marks: whether any cell holds a mark of a difference.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.left_out: dict[LeftOut, None] = {}
        self.marks = False
        self._numbers: list[float] = []
        self._cases_left_out = 0
        self._environment = ImmutableSandboxedEnvironment(undefined=_UnknownName, finalize=self._text)
        self._environment.filters |= {
            "digits": _on_numbers(lambda number, digits: number.like(number, decimals=digits)),
            "signed": _on_numbers(lambda number: number.like(number, signed=True)),
            "percent": _on_numbers(lambda number, digits=1: number.like(100 * number, decimals=digits)),
        }

    def cell(self, expression: Expression, values: Mapping[str, Any]) -> Cell:
        """One cell; a dash if none of its numbers is defined."""
        self._numbers, self._cases_left_out = [], 0
        try:
            text = self._environment.from_string(expression.text).render(values)
        except ZeroDivisionError:
            return Cell(DASH)
        except TemplateSyntaxError as error:
            raise broken(self.file, expression.line + error.lineno - 1, f"{error.message}.") from error
        except Exception as error:
            # Expressions of a user's own may raise anything.
            reason = error.message if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
            raise broken(self.file, expression.line, f"{reason}.") from error
        if self._numbers and all(np.isnan(self._numbers)):
            return Cell(DASH, float("nan"))
        lines = (" ".join(line.split()) for line in text.splitlines())
        printed = "\n".join(line for line in lines if line)
        return Cell(printed, self._numbers[0] if self._numbers else None, self._cases_left_out)

    def _text(self, value: Any) -> Any:
        """A value as printed; numbers are remembered."""
        if isinstance(value, Undefined | str):
            self.marks |= isinstance(value, Mark)
            return value
        if isinstance(value, tuple):
            ends = [self._text(one) for one in value]
            return f"[{DASH}]" if all(end == DASH for end in ends) else f"[{'; '.join(ends)}]"
        if isinstance(value, float):
            return self._number(value if isinstance(value, Number) else Number(value))
        if isinstance(value, int) and not isinstance(value, bool):
            self._numbers.append(value)
            return str(value)
        if isinstance(value, Group):
            raise TemplateRuntimeError(f"this is not a single value; name one of {', '.join(value)}")
        raise TemplateRuntimeError(f"{value!r} is not a value")

    def _number(self, value: Number) -> str:
        self._numbers.append(round(float(value), value.decimals))
        if value.left_out:
            self.left_out[value.left_out] = None
            self._cases_left_out = max(self._cases_left_out, value.left_out.cases)
        return value.text


def _on_numbers(change: Callable[..., Number]) -> Callable[..., Any]:
    """A filter that changes a number, or each number of an interval."""

    def changed(value: Any, *arguments: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(changed(one, *arguments) for one in value)
        return change(value if isinstance(value, Number) else Number(value), *arguments)

    return changed
