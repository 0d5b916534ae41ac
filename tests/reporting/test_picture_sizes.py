"""The more cases a report has, the smaller their sheets, so that all of them fit into the page."""

import dataclasses

import pytest

from nnunetv2_mscs.evaluation.results import case_table
from nnunetv2_mscs.reporting.report import case_pictures
from nnunetv2_mscs.reporting.report.case_pictures import (
    SHEET_SIZES,
    CasePictures,
    draw_pictures,
    picture_jobs,
    size_that_fits,
)

CASES = 40
THUMBNAIL = "t" * 100
# Bytes of a sheet by its size, the largest first.
BYTES = dict(zip(SHEET_SIZES, (1000, 800, 500, 200), strict=True))


@pytest.fixture
def many(evaluation, monkeypatch):
    """An evaluation of some dozen cases, whose sheets have the sizes above."""
    first, *_ = evaluation.rows()
    names = [f"case_{number}" for number in range(CASES)]
    files = dict.fromkeys(names, evaluation.files[first["case"]])
    monkeypatch.setattr(
        case_pictures, "draw_case", lambda job, size: CasePictures(sheet="s" * BYTES[size], thumbnail=THUMBNAIL)
    )
    monkeypatch.setattr(case_pictures, "LARGEST_SHEET_MB", 0.01)
    monkeypatch.setattr(case_pictures, "SMALLEST_SHEET_MB", 1e-6)
    table = case_table([{**first, "case": name} for name in names])
    return dataclasses.replace(evaluation, table=table, files=files)


def megabytes(sheet: int) -> float:
    """Room for all cases with sheets of so many bytes, and some more."""
    return CASES * (sheet + len(THUMBNAIL)) * 1.06 / 1e6


@pytest.mark.parametrize("size", SHEET_SIZES)
def test_the_largest_size_is_taken_at_which_all_fit(many, size):
    room = megabytes(BYTES[size])
    assert size_that_fits(picture_jobs(many, many.cases), room) == size
    pictures, shown = draw_pictures([many], many.cases, twice=(), megabytes=room, processes=1)
    assert shown == CASES
    assert {len(one.sheet) for one in pictures.values()} == {BYTES[size]}


def test_if_the_smallest_do_not_fit_the_first_cases_have_theirs(many):
    room = megabytes(BYTES[SHEET_SIZES[-1]]) / 2
    pictures, shown = draw_pictures([many], many.cases, twice=(), megabytes=room, processes=1)
    assert CASES / 2 - 1 <= shown <= CASES / 2 + 2
    assert [case for _, case, _ in pictures] == list(many.cases[:shown])
    assert sum(len(one.sheet) + len(one.thumbnail) for one in pictures.values()) / 1e6 <= room


def test_without_a_limit_all_are_shown_as_small_as_a_page_to_mail_has_them(many, monkeypatch):
    monkeypatch.setattr(case_pictures, "PAGE_MB", megabytes(BYTES[SHEET_SIZES[-1]]) / 2)
    pictures, shown = draw_pictures([many], many.cases, twice=(), megabytes=float("inf"), processes=1)
    assert shown == CASES == len(pictures)
    assert {len(one.sheet) for one in pictures.values()} == {BYTES[SHEET_SIZES[-1]]}
