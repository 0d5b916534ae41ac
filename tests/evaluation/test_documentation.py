"""docs/metrics.md names every column, with the rule for empty masks that the catalogue has."""

import re
from pathlib import Path

import pytest

from nnunetv2_mscs.evaluation.catalogue import METRICS, SIZES

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs/metrics.md").read_text(encoding="utf-8")
ROWS = {
    column: [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in DOCUMENT.splitlines()
    if line.startswith("| `") and line.count("|") >= 6
    for column in re.findall(r"`(\w+)`", line.split("|")[1])
}


def rule(value: float | None) -> str:
    return "formula" if value is None else "NaN" if value != value else f"{value:g}"


def test_every_metric_is_defined_and_none_other():
    assert set(ROWS) == set(METRICS)


@pytest.mark.parametrize("column", METRICS)
def test_empty_rules_are_those_of_the_catalogue(column):
    metric, (*_, both, one) = METRICS[column], ROWS[column]
    assert one == rule(metric.one_empty)
    assert both.split(": ")[0] in (rule(metric.both_empty), "0" if metric.both_empty is None else None)


def test_every_size_is_explained():
    assert all(f"`{size}`" in DOCUMENT for size in SIZES)
