"""A table template filled: a row a model, the best value of a column found, what was left out said below."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jinja2 import StrictUndefined, TemplateError, TemplateRuntimeError, TemplateSyntaxError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from nnunetv2_mscs.evaluation.catalogue import METRICS, SIZE_COLUMNS
from nnunetv2_mscs.evaluation.comparison import Comparison
from nnunetv2_mscs.evaluation.paired_tests import ALPHA
from nnunetv2_mscs.evaluation.results import CaseResult, Evaluation
from nnunetv2_mscs.evaluation.statistics import summarise
from nnunetv2_mscs.reporting.tables.templates import SIZES, Expression, Layout, Template, broken, read_layout
from nnunetv2_mscs.reporting.tables.values import DASH, MARKS, Group, LeftOut, Mark, Number, row_values

HIGHER, LOWER = "↑", "↓"
EMPTY = {"both_empty": "both", "only_reference_empty": "reference only", "only_prediction_empty": "prediction only"}
EMPTY_RULE = "Both empty: scores 1, distances 0; one empty: scores 0, distances undefined."


@dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        text: as printed, not yet escaped.
        value: its first number as printed, by which cells are ranked; None if it shows no number.
        best: of its column, among the models.
    """

    text: str
    value: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A filled table.

    Args:
        name: of its template.
        caption: in one paragraph.
        titles: of the columns.
        rows: as many cells each as there are titles.
        notes: sentences below the table: what the template says, numbers of cases, what was left out.
    """

    name: str
    caption: str
    titles: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]


def fill_table(
    template: Template,
    evaluations: Sequence[Evaluation],
    statistics: Sequence[Mapping[str, Any]],
    comparison: Comparison | None = None,
) -> Table:
    """Fill a template.

    Args:
        template: one of `find_templates`.
        evaluations: one a model, the baseline first.
        statistics: what `summarise` says about each.
        comparison: of the models; None for a single one.

    Raises:
        MscsError: the template is broken; the error names its file and line.
    """
    layout = read_layout(template)
    printer = _Printer(template)
    compared, values = zip(*_rows(layout, evaluations, statistics, comparison), strict=True)
    rows = [[printer.cell(cell, one) for _, cell in layout.columns] for one in values]
    titles = [printer.cell(title, values[0]).text for title, _ in layout.columns]
    caption, note = (printer.cell(text, values[0]).text for text in (layout.caption, layout.note))
    rows = _best_marked(rows, titles, compared)
    filled = [i for i in range(len(titles)) if any(row[i].text for row in rows)]
    bold = any(cell.best for row in rows for cell in row)
    notes = (note, *_counts(evaluations, statistics), *_left_out(printer.left_out, evaluations), *_signs(printer, bold))
    return Table(
        name=template.name,
        caption=caption,
        titles=tuple(titles[i] for i in filled),
        rows=tuple(tuple(row[i] for i in filled) for row in rows),
        notes=tuple(one for one in notes if one),
    )


def check_template(template: Template) -> None:
    """Fill a template with two made-up cases, to find its errors before a long evaluation.

    Raises:
        MscsError: it is broken.
    """
    cases = (
        CaseResult(f"case_{i}", "1", "lesion", None, False, False, dict.fromkeys((*METRICS, *SIZE_COLUMNS), float(i)))
        for i in (1, 2)
    )
    made_up = Evaluation("model", "", "", {"1": "lesion"}, tuple(cases))
    fill_table(template, [made_up], [summarise(made_up, samples=10)])


def _rows(
    layout: Layout,
    evaluations: Sequence[Evaluation],
    statistics: Sequence[Mapping[str, Any]],
    comparison: Comparison | None,
) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    """What each row knows, after the label and size that it shares with those it is compared with."""
    for label in evaluations[0].labels:
        models = [row_values(one, its, label, comparison) for one, its in zip(evaluations, statistics, strict=True)]
        if layout.rows != SIZES:
            yield from (((label, ""), values) for values in models)
            continue
        for size in models[0]["lesions"]:
            yield from (((label, size), {**values, "size": values["lesions"][size]}) for values in models)


class _Unknown(StrictUndefined):
    """A name that a template must not use; the error says which there are."""

    @property
    def _undefined_message(self) -> str:
        if isinstance(self._undefined_obj, Group):
            return f"there is no {self._undefined_name!r} here, but {', '.join(self._undefined_obj)}"
        return str(super()._undefined_message)


class _Printer:
    """Prints cells, and remembers what the reader of the table must be told about them.

    Args:
        template: whose expressions it prints.
    """

    def __init__(self, template: Template) -> None:
        self.template = template
        self.numbers: list[float] = []
        self.left_out: dict[LeftOut, None] = {}
        self.marks = False
        self.environment = ImmutableSandboxedEnvironment(undefined=_Unknown, finalize=self._text)
        self.environment.filters |= {"digits": _digits, "signed": _signed, "percent": _percent}

    def cell(self, expression: Expression, values: Mapping[str, Any]) -> Cell:
        """One cell; a dash if none of its numbers is defined."""
        self.numbers = []
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
        return Cell(" ".join(text.split()), self.numbers[0] if self.numbers else None)

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


def _best_marked(
    rows: Sequence[Sequence[Cell]], titles: Sequence[str], compared: Sequence[tuple[str, str]]
) -> list[list[Cell]]:
    """The best cells marked in each column whose title ends in an arrow, among rows of one label and size."""
    marked = [list(row) for row in rows]
    for column, title in enumerate(titles):
        if not title.endswith((HIGHER, LOWER)):
            continue
        for key in dict.fromkeys(compared):
            places = [i for i, one in enumerate(compared) if one == key]
            values = [marked[i][column].value for i in places]
            known = [value for value in values if value is not None and not np.isnan(value)]
            if len(set(known)) < 2:
                continue
            best = max(known) if title.endswith(HIGHER) else min(known)
            for i, value in zip(places, values, strict=True):
                marked[i][column] = replace(marked[i][column], best=value == best)
    return marked


def _counts(evaluations: Sequence[Evaluation], statistics: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The number of cases of each label, the empty masks of each model, and what became of them."""
    any_empty = False
    for label, name in evaluations[0].labels.items():
        counts = [one["labels"][label]["cases"] for one in statistics]
        of = f" ({name})" if len(evaluations[0].labels) > 1 else ""
        said = f"n = {counts[0]['n']} cases{of}, {counts[0]['with_lesion']} of them with lesion"
        if not any(one[key] for one in counts for key in EMPTY):
            yield f"{said}; no mask is empty."
            continue
        any_empty = True
        empty = (
            f"{evaluation.model} " + ", ".join(f"{words} {one[key]}" for key, words in EMPTY.items())
            for evaluation, one in zip(evaluations, counts, strict=True)
        )
        yield f"{said}; empty masks: {'; '.join(empty)}."
    if any_empty:
        yield EMPTY_RULE


def _left_out(left_out: Mapping[LeftOut, None], evaluations: Sequence[Evaluation]) -> Iterator[str]:
    by_title: dict[str, list[str]] = {}
    for one in left_out:
        of = f"{one.model}, {one.label_name}" if len(evaluations[0].labels) > 1 else one.model
        by_title.setdefault(one.title, []).append(f"{one.cases} ({of})")
    if by_title:
        said = "; ".join(f"{title}: {', '.join(cases)}" for title, cases in by_title.items())
        yield f"Cases left out because undefined: {said}."


def _signs(printer: _Printer, bold: bool) -> Iterator[str]:
    if bold:
        yield "Bold: best value of the column, which says nothing about chance."
    if printer.marks:
        yield (
            f"{MARKS['better']} better, {MARKS['worse']} worse than the first model (Wilcoxon signed-rank test, "
            f"Holm-corrected p < {ALPHA:g}, and an interval that leaves out 0); without a sign: not distinguishable."
        )
