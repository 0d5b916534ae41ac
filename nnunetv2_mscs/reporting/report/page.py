"""From content to a page: the template in results_templates/ filled, with styles and script inside."""

import math
from pathlib import Path
from typing import Any

from nnunetv2_mscs.evaluation.catalogue import MAIN_METRICS, METRICS
from nnunetv2_mscs.evaluation.wording import DASH
from nnunetv2_mscs.reporting.report.content import (
    CaseRow,
    ReportContent,
    first_direction,
    shown,
    why_undefined,
)
from nnunetv2_mscs.reporting.templates import fill_template

TEMPLATE = "report.html.j2"
GENERATOR = "nnunetv2-mscs report"
# Columns of the table of cases that are always shown; the others on demand.
ALWAYS_SHOWN = (*MAIN_METRICS, "volume_reference_ml", "volume_prediction_ml", "volume_difference_ml")
# The choices of the filter, and the states of a row that each choice shows.
STATES = {
    "lesion": ("with a lesion", ("both", "missed")),
    "none": ("without a lesion", ("false alarm", "neither")),
    "missed": ("prediction empty, reference not", ("missed",)),
    "false alarm": ("reference empty, prediction not", ("false alarm",)),
    "neither": ("both empty", ("neither",)),
}
STATE_WORDS = {
    "both": "lesion in reference and prediction",
    "missed": "prediction empty",
    "false alarm": "reference empty",
    "neither": "reference and prediction empty",
}
FLAGS = {"missed": "missed", "false alarm": "false alarm", "neither": "both empty"}
SEVERITIES = {"error": "Serious", "warning": "Warning", "note": "Note"}
CASES_LISTED = 12


def render(content: ReportContent) -> str:
    """The page as HTML, which refers to nothing outside itself."""
    return fill_template(
        TEMPLATE,
        content=content,
        generator=GENERATOR,
        columns=_columns(content),
        main=ALWAYS_SHOWN,
        states={state: words for state, (words, _) in STATES.items()},
        flags=FLAGS,
        severities=SEVERITIES,
        pictures=any(row.thumbnail or row.sheet for row in content.rows),
        listed=CASES_LISTED,
        undefined=DASH,
        shown=shown,
        why_undefined=why_undefined,
        alt=alternative_text,
        data=_data(content),
    )


def is_report(file: Path) -> bool:
    """Whether `mscs report` wrote a file."""
    with file.open("rb") as stream:
        return f'content="{GENERATOR}"'.encode() in stream.read(1000)


def alternative_text(row: CaseRow) -> str:
    """A case's sheet in words."""
    values = row.measured
    return (
        f"Slices of {values['case']} with truth and prediction of {row.model}, {values['label_name']}: "
        f"Dice {shown(values['dice'], 'dice')}, reference {values['volume_reference_ml']:.1f} mL, "
        f"prediction {values['volume_prediction_ml']:.1f} mL"
    )


def _columns(content: ReportContent) -> list[Any]:
    """The metrics as columns: the main ones in their order, then all others."""
    return [METRICS[key] for key in dict.fromkeys((*ALWAYS_SHOWN, *METRICS))] if content.rows else []


def _data(content: ReportContent) -> dict[str, Any]:
    """The rows as the page's script needs them; numbers as they sort, not as they are printed."""
    columns = _columns(content)
    return {
        "places": {metric.column: place for place, metric in enumerate(columns)},
        "titles": [metric.title for metric in columns],
        "decimals": [metric.decimals for metric in columns],
        "whole": [metric.kind == "count" for metric in columns],
        "directions": {metric.column: first_direction(metric.better) for metric in columns},
        "states": {state: list(states) for state, (_, states) in STATES.items()},
        "words": STATE_WORDS,
        "rows": [
            {
                "case": row.measured["case"],
                "model": row.model,
                "label": row.measured["label_name"],
                "fold": row.measured["fold"],
                "state": row.state,
                "alt": alternative_text(row),
                "page": row.page,
                "why": why_undefined(row.measured),
                "values": [_number(row.measured[metric.column]) for metric in columns],
            }
            for row in content.rows
        ],
    }


def _number(value: float) -> float | None:
    """Seven digits, which sort as the value does; null where undefined."""
    return None if not math.isfinite(value) else float(f"{value:.7g}")
