"""The content of a report, ready to be drawn: the template adds only the layout."""

from dataclasses import dataclass, field
from typing import Literal

from nnunetv2_mscs.evaluation.catalogue import METRICS, Better
from nnunetv2_mscs.evaluation.results import CaseMetrics
from nnunetv2_mscs.evaluation.wording import number

Severity = Literal["error", "warning", "note"]
CARDS = 10


@dataclass(frozen=True)
class Notice:
    """A warning: the finding, the remedy, the cases concerned, and the model and label if it is about one of each."""

    severity: Severity
    finding: str
    remedy: str = ""
    cases: tuple[str, ...] = ()
    model: str = ""
    label: str = ""


@dataclass(frozen=True)
class KeyFigure:
    """One of the few numbers at the top, such as ("Dice", "0.812", "95 % interval 0.78 to 0.84, 50 cases")."""

    title: str
    value: str
    detail: str


@dataclass(frozen=True)
class Subject:
    """Facts in words under one heading, such as ("Data set", ("50 cases ...",)); `of` names the models."""

    title: str
    sentences: tuple[str, ...]
    of: str = ""


@dataclass(frozen=True)
class PageTable:
    """Printed numbers.

    Args:
        caption: what the table shows, and of what.
        header: one title per column; the first column names the rows.
        rows: as many cells each.
        note: how to read it.
        folded: closed at first, to be opened by the reader.
        groups: titles over several columns with their widths, such as ("All cases", 4); none if empty.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    folded: bool = False
    groups: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Plot:
    """A drawing.

    Args:
        title: its heading.
        caption: how to read it.
        alt: what it shows, for those who cannot see it.
        image: a data URI.
        wide: takes the page's full width.
    """

    title: str
    caption: str
    alt: str
    image: str
    wide: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page with sentences, tables and plots, in this order; empty parts are not drawn."""

    key: str
    title: str
    sentences: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    subjects: tuple[Subject, ...] = ()
    tables: tuple[PageTable, ...] = ()
    plots: tuple[Plot, ...] = ()


@dataclass(frozen=True)
class CaseRow:
    """A case and label of one model, as a row of the table of cases.

    Args:
        model: whose prediction it is.
        measured: its row of cases.csv.
        thumbnail: a small picture as a data URI; empty without one.
        sheet: the case's sheet as a data URI; empty without one.
        page: the address of the case's own page, relative to the report; empty without one.
    """

    model: str
    measured: CaseMetrics
    thumbnail: str = ""
    sheet: str = ""
    page: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Model, case and label."""
        return self.model, self.measured["case"], self.measured["label"]

    @property
    def state(self) -> str:
        """Which of the masks hold something: the value of the page's filter."""
        return {
            (False, False): "both",
            (True, False): "false alarm",
            (False, True): "missed",
            (True, True): "neither",
        }[self.measured["reference_empty"], self.measured["prediction_empty"]]

    @property
    def badness(self) -> tuple[float, float, str]:
        """Sorts the worst first: by Dice, then by the volume in error, then by name."""
        return self.measured["dice"], -abs(self.measured["volume_difference_ml"]), self.measured["case"]


@dataclass(frozen=True)
class ReportContent:
    """The whole content of a report.

    Args:
        title: of the page.
        summary: a sentence or two about the page.
        models: names, the baseline first.
        notices: the warnings, worst first.
        key_figures: of each model.
        before: sections above the cases.
        rows: every case and label of each model, models in their order, within a model the worst first.
        after: sections below the cases.
        methods: paragraphs to paste into a paper.
        made: when, by which version, by which command: pairs of a term and its words.
    """

    title: str
    summary: tuple[str, ...]
    models: tuple[str, ...]
    notices: tuple[Notice, ...] = ()
    key_figures: dict[str, tuple[KeyFigure, ...]] = field(default_factory=dict)
    before: tuple[Section, ...] = ()
    rows: tuple[CaseRow, ...] = ()
    after: tuple[Section, ...] = ()
    methods: tuple[str, ...] = ()
    made: tuple[tuple[str, str], ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.measured["label_name"] for row in self.rows))

    @property
    def folds(self) -> tuple[int, ...]:
        return tuple(sorted({row.measured["fold"] for row in self.rows} - {None}))

    @property
    def worst_rows(self) -> tuple[CaseRow, ...]:
        """The first model's worst rows, which are shown as cards."""
        return tuple(row for row in self.rows[:CARDS] if row.model == self.models[0])

    @property
    def examples(self) -> tuple[tuple[str, int], ...]:
        """Median, best and worst case by Dice of the first model and label, for the top of the page.

        Titles and places in `rows`; cases without a lesion count only if no case has one. A case is shown once.
        """
        places = [
            place
            for place, row in enumerate(self.rows)
            if (row.model, row.measured["label_name"]) == (self.models[0], self.labels[0])
        ]
        if lesions := [place for place in places if not self.rows[place].measured["reference_empty"]]:
            places = lesions
        if not places:
            return ()
        titles = {places[(len(places) - 1) // 2]: "Median", places[-1]: "Best", places[0]: "Worst"}
        return tuple((title, place) for place, title in sorted(titles.items(), reverse=True))


def shown(value: float | None, column: str) -> str:
    """A value of a metric with its decimals; whole counts have none."""
    whole = METRICS[column].kind == "count" and value is not None and float(value).is_integer()
    return number(value, 0 if whole else METRICS[column].decimals)


def why_undefined(row: CaseMetrics) -> str:
    """The reason that a distance of a case has no value."""
    if row["reference_empty"] and not row["prediction_empty"]:
        return "not defined: the reference is empty, the prediction is not"
    if row["prediction_empty"] and not row["reference_empty"]:
        return "not defined: the prediction is empty, the reference is not"
    return "not defined"


def first_direction(better: Better) -> Literal["ascending", "descending"]:
    """The way a column is sorted first: the worst on top; without a better or worse, the largest."""
    return "ascending" if better == "higher" else "descending"
