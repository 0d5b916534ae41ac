"""Each case has a page of its own where they are asked for: complete, alone, and linked from the report."""

import dataclasses
import re
from urllib.parse import unquote

import pytest

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.catalogue import METRICS
from nnunetv2_mscs.evaluation.statistics import StatisticsSettings, summarise
from nnunetv2_mscs.evaluation.writing import write_evaluation
from nnunetv2_mscs.reporting.report.assembling import ReportRequest
from nnunetv2_mscs.reporting.report.case_pages import CASE_PAGES, case_pages_beside, page_files
from nnunetv2_mscs.reporting.report.content import shown
from nnunetv2_mscs.reporting.report.making import make_report, write_report
from tests.reporting.conftest import HOSTILE, MISSED

REQUEST = ReportRequest(cases=1, case_pages=True)


@pytest.fixture(scope="module")
def three(evaluation):
    """The model's first three cases, a hostile name and an empty prediction among them."""
    return dataclasses.replace(evaluation, table=evaluation.table[:3])


@pytest.fixture(scope="module")
def report_with_pages(three, tmp_path_factory):
    file = tmp_path_factory.mktemp("pages") / "my report.html"
    assert write_report([three], None, file, REQUEST).case_pages == 3
    return file


def test_every_row_leads_to_the_page_of_its_case(report_with_pages, three):
    text = report_with_pages.read_text(encoding="utf-8")
    links = set(re.findall(r'<a class="own-page" href="([^"]+)"', text))
    pages = [report_with_pages.parent / unquote(link) for link in links]
    assert sorted(pages) == sorted(case_pages_beside(report_with_pages).iterdir())
    assert len(pages) == len(three.cases)


def test_a_page_is_complete_and_needs_nothing_else(report_with_pages, three):
    files = page_files(three.cases)
    for row in three.rows():
        text = (case_pages_beside(report_with_pages) / files[row["case"]]).read_text(encoding="utf-8")
        assert "<script" not in text
        assert re.findall(r'<img src="(data:image/)', text) == ["data:image/"]
        assert not re.search(r'(src|srcset)="(?!data:)', text)
        cells = dict(re.findall(r'<tr><th scope="row">([^<]+)</th><td>([^<]+)</td>', text))
        printed = {title.replace("&#39;", "'"): value for title, value in cells.items()}
        assert printed == {metric.title: shown(row[column], column) for column, metric in METRICS.items()}
        assert 'href="../my%20report.html"' in text
        assert ("an empty prediction" in text) == (row["case"] == MISSED)
    assert "<script>window.hurt" not in (case_pages_beside(report_with_pages) / files[HOSTILE]).read_text()


def test_pages_lead_to_their_neighbours(report_with_pages):
    links = [
        re.findall(r'rel="(prev|next)"', page.read_text(encoding="utf-8"))
        for page in case_pages_beside(report_with_pages).iterdir()
    ]
    assert sorted(links) == [["next"], ["prev"], ["prev", "next"]]


def test_names_of_pages_differ_whatever_the_cases_are_called():
    files = page_files(["a/b", "a b", "A_B", "..", "x" * 300])
    assert len({name.lower() for name in files.values()}) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]*\.html", name) for name in files.values())
    assert max(map(len, files.values())) < 200


def test_the_command_says_what_it_wrote_and_what_is_left_of_a_former_report(three, tmp_path, capsys):
    folder, report = tmp_path / "evaluation", tmp_path / "report.html"
    folder.mkdir()
    one = dataclasses.replace(three, table=three.table[:1])
    statistics = summarise(one, StatisticsSettings(samples=100))
    write_evaluation(folder, dataclasses.replace(one, statistics=statistics))
    words = ["report", str(folder), "-o", str(report), "-np", "1"]
    assert main([*words, "--case-pages"]) == 0
    assert f"written: {tmp_path / 'report_files'}, 1 page of a case" in capsys.readouterr().out
    assert main([*words, "--overwrite"]) == 0
    assert "pages of a former report" in capsys.readouterr().err
    assert "own-page" not in report.read_text(encoding="utf-8").split('id="case-table"')[1].split("</table>")[0]


def test_former_pages_are_replaced_and_files_of_others_are_not(report_with_pages, three, tmp_path):
    report = tmp_path / "report.html"
    folder = case_pages_beside(report)
    write_report([three], None, report, REQUEST)
    with pytest.raises(MscsError, match="not empty"):
        make_report(report.with_name("report.htm"), dataclasses.replace(REQUEST, models=(tmp_path,)))
    one = dataclasses.replace(three, table=three.table[:1])
    write_report([one], None, report, REQUEST, overwrite=True)
    assert len(list(folder.iterdir())) == 1
    (folder / "notes.html").write_text("mine")
    with pytest.raises(MscsError, match=r"notes\.html"):
        CASE_PAGES.check(folder, overwrite=True)
