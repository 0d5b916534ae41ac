"""What the page says is what was measured, it needs nothing but itself, and it warns of what a reader must know."""

import dataclasses
import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation import statistics
from nnunetv2_mscs.evaluation.catalogue import METRICS
from nnunetv2_mscs.evaluation.command import EvaluationRequest, write_evaluation_folder
from nnunetv2_mscs.evaluation.results import CASES, SUMMARY, case_table
from nnunetv2_mscs.evaluation.statistics import StatisticsSettings, summarise, with_statistics
from nnunetv2_mscs.evaluation.wording import DASH
from nnunetv2_mscs.evaluation.writing import write_evaluation
from nnunetv2_mscs.reporting.report import making
from nnunetv2_mscs.reporting.report.assembling import BESIDE_PICTURE_MB, ReportRequest, assemble
from nnunetv2_mscs.reporting.report.content import shown
from nnunetv2_mscs.reporting.report.making import make_report
from nnunetv2_mscs.reporting.report.model_facts import subjects_of_data, subjects_of_model
from nnunetv2_mscs.reporting.report.notices import notices_of
from nnunetv2_mscs.reporting.report.page import render
from tests.evaluation.random_evaluation import changed

QUICK = ReportRequest(cases=2)


def content_of(evaluation, request=QUICK):
    """The content of a page of one model, with statistics of the cases that the evaluation now has."""
    fresh = summarise(evaluation, StatisticsSettings(samples=200))
    return assemble([dataclasses.replace(evaluation, statistics=fresh)], None, request)


class Page(HTMLParser):
    """The elements of a page with their attributes, the texts of the table of cases, and the script's data."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.data: dict = {}
        self._inside: list[str] = []
        self.feed(text)
        self.headings = self.rows.pop(0)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag == "table":
            self._inside.append(attributes.get("id") or "other")
        if self._inside[-1:] == ["case-table"]:
            if tag == "tr":
                self.rows.append([])
            elif tag in ("td", "th"):
                self.rows[-1].append("")
        if tag == "script" and attributes.get("type") == "application/json":
            self._inside.append("data")

    def handle_endtag(self, tag):
        if tag == "table" or (tag == "script" and self._inside[-1:] == ["data"]):
            self._inside.pop()

    def handle_data(self, data):
        if self._inside[-1:] == ["case-table"] and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data
        elif self._inside[-1:] == ["data"]:
            self.data = json.loads(data)


@pytest.fixture(scope="module")
def text(report) -> str:
    return report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


def rows_by_case(page: Page) -> dict[str, list[str]]:
    """Printed cells by the case's name, without the flag beside it."""
    return {one["case"]: cells for one, cells in zip(page.data["rows"], page.rows, strict=True)}


def test_it_refers_to_nothing_outside_itself(page, text):
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, name)
    assert not re.search(r"@import|url\((?!data:)", text)
    policy = [a["content"] for tag, a in page.elements if tag == "meta" and a.get("http-equiv")]
    assert policy
    assert "default-src 'none'" in policy[0]


def test_every_case_stands_there_with_every_metric_as_measured(page, evaluation):
    printed = rows_by_case(page)
    titles = [heading.strip() for heading in page.headings]
    assert len(printed) == len(evaluation.cases)
    for row in evaluation.rows():
        for column, metric in METRICS.items():
            assert printed[row["case"]][titles.index(metric.title)].strip() == shown(row[column], column)


def test_the_script_sorts_by_the_measured_values_and_knows_undefined_ones(page, evaluation):
    places = page.data["places"]
    measured = {row["case"]: row for row in evaluation.rows()}
    undefined = 0
    for row in page.data["rows"]:
        for column, place in places.items():
            value = row["values"][place]
            if value is None:
                undefined += 1
                assert math.isnan(measured[row["case"]][column])
            else:
                assert value == pytest.approx(measured[row["case"]][column], rel=1e-6)
    assert undefined == sum(math.isnan(values[column]) for values in measured.values() for column in places) > 0


def test_undefined_values_are_dashes_that_say_why(page, evaluation):
    undefined = evaluation.table[list(METRICS)].isna().sum().sum()
    reasons = [a["title"] for tag, a in page.elements if tag == "td" and a.get("title")]
    assert len(reasons) == undefined
    assert {reason.split(":")[0] for reason in reasons} == {"not defined"}
    assert len(set(reasons)) == 2


def test_the_worst_come_first(page):
    places = page.data["places"]
    keys = [
        (row["values"][places["dice"]], -abs(row["values"][places["volume_difference_ml"]]))
        for row in page.data["rows"]
    ]
    assert keys == sorted(keys)
    cards = [int(str(a["data-open"])) for tag, a in page.elements if tag == "button" and "data-open" in a][3:13]
    assert cards == list(range(10))


def test_names_cannot_become_markup(page, text, evaluation):
    assert {row["case"] for row in page.data["rows"]} == set(evaluation.cases)
    assert "<script>window.hurt" not in text
    with_code = [a for tag, a in page.elements if tag == "script" and not a.get("type")]
    assert len(with_code) == 1


def test_every_picture_says_what_it_shows_or_stands_beside_it(page):
    for tag, attributes in page.elements:
        if tag == "img":
            assert "alt" in attributes
    described = [a["alt"] for tag, a in page.elements if tag == "img" and a["alt"]]
    assert len(described) >= 10 + 4  # cards and plots


def test_key_figures_are_the_means(evaluation):
    content = content_of(evaluation)
    (figures,) = content.key_figures.values()
    values = {figure.title: figure.value for figure in figures}
    dice = evaluation.column("dice", "1")
    assert values["Dice, mean"] == f"{dice.mean():.3f}"
    with_lesion = dice[~evaluation.table["reference_empty"]]
    assert values["Dice, cases with a lesion"] == f"{with_lesion.mean():.3f}"
    distance = evaluation.column("hd95_mm", "1")
    assert values["HD95 (mm), mean"] == f"{np.nanmean(distance):.2f}"
    assert f"undefined in {np.isnan(distance).sum()}" in next(f.detail for f in figures if f.title.startswith("HD95"))


def test_empty_masks_are_told_first_with_their_cases(evaluation):
    notices = notices_of(evaluation, several_models=False)
    table = evaluation.table
    missed, alarm, neither = (
        tuple(table["case"][(table["reference_empty"] == reference) & (table["prediction_empty"] == prediction)])
        for reference, prediction in ((False, True), (True, False), (True, True))
    )
    told = {notice.cases: notice for notice in notices}
    assert told[missed].severity == "error"
    assert "false alarm" in told[alarm].finding
    assert told[neither].severity == "note"
    assert any("undefined in 2 of 14 cases" in notice.finding for notice in notices)


def test_a_fold_that_failed_is_told(evaluation):
    assert not [n for n in notices_of(evaluation, several_models=False) if "Fold" in n.finding]
    failed = changed(evaluation, lambda i, row: {"dice": 0.02} if row["fold"] == 3 else {})
    notices = notices_of(failed, several_models=False)
    assert [n.finding.split(" has")[0] for n in notices if n.finding.startswith("Fold")] == ["Fold 3"]


def test_the_evaluations_own_warnings_are_passed_on(evaluation):
    warned = dataclasses.replace(evaluation, warnings=("Folds without validation predictions: 4.",))
    content = content_of(warned)
    assert any(notice.finding == warned.warnings[0] for notice in content.notices)


def test_pictures_keep_to_their_room_the_worst_first(evaluation):
    everything = content_of(evaluation)
    (worst,) = [place for title, place in everything.examples if title == "Worst"]
    room = (2 * len(everything.rows[worst].sheet) + len(everything.rows[worst].thumbnail)) / 1e6 + 0.001
    bare = content_of(dataclasses.replace(evaluation, files={}))
    room += len(render(bare).encode()) / 1e6 + BESIDE_PICTURE_MB * len(bare.rows)
    content = content_of(evaluation, dataclasses.replace(QUICK, megabytes=room))
    assert len(render(content).encode()) / 1e6 < room
    assert [place for place, row in enumerate(content.rows) if row.sheet] == [worst]
    drawn = {place for place, row in enumerate(everything.rows) if row.sheet}
    assert drawn == {0, 1, *(place for _, place in everything.examples)}
    for report, cases in ((content, 1), (everything, len(drawn))):
        assert any(f"cases, only {cases} ha" in notice.finding for notice in report.notices)


def test_the_top_shows_the_best_the_median_and_the_worst_case(evaluation):
    content = content_of(evaluation)
    dice = {title: content.rows[place].measured["dice"] for title, place in content.examples}
    of_lesions = [row["dice"] for row in evaluation.rows() if not row["reference_empty"]]
    assert list(dice) == ["Best", "Median", "Worst"]
    assert (dice["Best"], dice["Worst"]) == (max(of_lesions), min(of_lesions))
    assert sum(value < dice["Median"] for value in of_lesions) <= len(of_lesions) // 2
    one = content_of(dataclasses.replace(evaluation, table=evaluation.table[:1]))
    assert [title for title, _ in one.examples] == ["Worst"]
    html = render(content)
    order = ['class="key-figures"', 'class="cards strip"', '<details id="warnings">', 'id="cases"']
    assert [html.index(part) for part in order] == sorted(html.index(part) for part in order)


def test_a_single_case_has_no_correlation(evaluation):
    one = content_of(dataclasses.replace(evaluation, table=evaluation.table[:1]))
    figures = {figure.title: figure.value for figure in next(iter(one.key_figures.values()))}
    assert figures["Volumes, Lin's concordance"] == DASH
    assert any(notice.finding.startswith("Only 1 case:") for notice in one.notices)


def test_missing_scans_and_masks_are_told_not_fatal(evaluation, emptied):
    blind = {case: dataclasses.replace(files, images={}) for case, files in evaluation.files.items()}
    content = content_of(dataclasses.replace(evaluation, files=blind))
    assert any("--images" in notice.remedy for notice in content.notices)
    without = content_of(emptied, ReportRequest())
    assert any("could not be read again" in notice.finding for notice in without.notices)
    assert Page(render(without)).data["rows"]


def test_lacks_of_one_kind_are_one_warning_whatever_the_names_of_the_cases(evaluation):
    """A case may be named by a word of the warning."""
    renamed = dict(zip(evaluation.cases, ("ima", "case"), strict=False))
    files = {name: dataclasses.replace(evaluation.files[case], images={}) for case, name in renamed.items()}
    two = dataclasses.replace(evaluation, table=evaluation.table[:2], files=files)
    content = content_of(changed(two, lambda i, row: {"case": renamed[row["case"]]}))
    (told,) = [notice for notice in content.notices if set(notice.cases) == {"ima", "case"}]
    assert told.finding == "The scan is not shown: no image of the case was found."


def test_masks_that_changed_get_no_picture_and_a_warning(evaluation):
    worst = min(evaluation.rows(), key=lambda row: row["dice"] or 1)["case"]
    other = next(case for case in evaluation.cases if case != worst)
    files = {**evaluation.files}
    files[worst] = dataclasses.replace(files[worst], prediction=files[other].prediction)
    content = content_of(dataclasses.replace(evaluation, files=files), dataclasses.replace(QUICK, cases=14))
    (told,) = [notice for notice in content.notices if "changed since they were evaluated" in notice.finding]
    assert told.cases == (worst,)
    assert [row.measured["case"] for row in content.rows if not row.sheet] == [worst]


def test_the_folds_are_named(evaluation):
    some = evaluation.table[evaluation.table["fold"].isin([0, 2, 3])]
    content = content_of(dataclasses.replace(evaluation, table=some))
    assert content.summary[0].startswith("Cross-validation, folds 0, 2, 3, of")


def test_a_checkpoint_without_weights_is_survived(tmp_path):
    import torch

    configuration = {"architecture": {"network_class_name": "a.Net"}}
    model = tmp_path / "A__B__2d"
    (model / "fold_0").mkdir(parents=True)
    (model / "plans.json").write_text(json.dumps({"configurations": {"2d": configuration}}))
    for weights in (None, {}, {"w": 3}):
        torch.save({"network_weights": weights}, model / "fold_0" / "checkpoint_final.pth")
        assert any("Net." in sentence for subject in subjects_of_model(model) for sentence in subject.sentences)


def with_labels(evaluation, labels):
    """The evaluation with each row once per label."""
    rows = [row | {"label": label, "label_name": name} for row in evaluation.rows() for label, name in labels.items()]
    return dataclasses.replace(evaluation, labels=labels, table=case_table(rows))


def test_a_warning_about_a_label_leads_to_its_row(evaluation):
    several = with_labels(evaluation, {"1": "core", "2": "penumbra"})
    told = [notice for notice in notices_of(several, several_models=False) if notice.cases]
    assert {notice.label for notice in told} == {"core", "penumbra"}
    assert all(notice.finding.startswith(notice.label) for notice in told)


def test_several_labels_and_a_single_case_find_their_place(evaluation):
    two = dataclasses.replace(evaluation, table=evaluation.table[:2])
    several = with_labels(changed(two, lambda i, row: {"fold": None}), {"1": "core", "1+2": "penumbra"})
    content = content_of(several)
    captions = [table.caption for section in content.before for table in section.tables]
    assert captions[:3] == [f"Main metrics, {name}" for name in ("core", "penumbra", "mean of the labels")]
    assert len(Page(render(content)).data["rows"]) == 4
    alone = dataclasses.replace(evaluation, table=evaluation.table[:1])
    page = Page(render(content_of(alone)))
    assert len(page.data["rows"]) == 1
    assert "nan" not in "".join(page.rows[0]).lower()


def test_two_models_are_compared_in_sentences(report_of_two):
    text = report_of_two.read_text(encoding="utf-8")
    assert re.search(r"<li>Dice: nnUNetTrainer is lower \(worse\) than MSCSTrainer by 0\.\d+", text)
    assert len(Page(text).data["rows"]) == 28


def test_the_plan_is_told_in_words(tmp_path, evaluation):
    model = tmp_path / "MSCSTrainer__MSCSPlans__3d_fullres"
    (model / "fold_0").mkdir(parents=True)
    dataset = {"channel_names": {"0": "ADC", "1": "DWI"}, "labels": {"background": 0, "lesion": 1}, "numTraining": 250}
    configuration = {
        "patch_size": [16, 160, 128],
        "spacing": [6.0, 1.2, 1.2],
        "batch_size": 2,
        "normalization_schemes": ["ZScoreNormalization", "ZScoreNormalization"],
        "architecture": {"network_class_name": "a.b.MSCSNet", "arch_kwargs": {"strides": [1, 2, 2, 2]}},
    }
    plans = {
        "dataset_name": "Dataset501_Stroke",
        "plans_name": "MSCSPlans",
        "original_median_shape_after_transp": [20, 192, 168],
        "original_median_spacing_after_transp": [6.0, 1.2, 1.25],
        "configurations": {"3d_base": configuration, "3d_fullres": {"inherits_from": "3d_base", "batch_size": 8}},
    }
    (model / "dataset.json").write_text(json.dumps(dataset))
    (model / "plans.json").write_text(json.dumps(plans))
    data = " ".join(sentence for subject in subjects_of_data(evaluation, model) for sentence in subject.sentences)
    assert "Dataset501_Stroke: 250 training cases with channels ADC and DWI, labelled lesion." in data
    assert "168 × 192 × 20 voxels of 1.25 × 1.2 × 6 mm" in data  # noqa: RUF001
    words = " ".join(sentence for subject in subjects_of_model(model) for sentence in subject.sentences)
    assert "patches of 128 × 160 × 16 voxels at 1.2 × 1.2 × 6 mm, 8 in a batch" in words  # noqa: RUF001
    assert "MSCSNet, 4 resolutions" in words


@pytest.fixture
def evaluation_folder(evaluation, tmp_path) -> Path:
    folder = tmp_path / "evaluation"
    folder.mkdir()
    write_evaluation(folder, with_statistics(evaluation, StatisticsSettings(samples=150, seed=7)))
    return folder


def test_written_statistics_are_read_not_computed_again(evaluations, tmp_path, monkeypatch):
    """Of models with the settings of the first, and the comparison of a folder that holds one."""
    settings = StatisticsSettings(samples=120, seed=3)
    places = [tmp_path / one.model for one in evaluations]
    for one, place in zip(evaluations, places, strict=True):
        place.mkdir()
        write_evaluation(place, with_statistics(dataclasses.replace(one, files={}), settings))
    write_evaluation_folder(tmp_path / "both", EvaluationRequest(models=tuple(places)), settings, overwrite=False)
    expected = make_report(tmp_path / "apart.html", ReportRequest(models=tuple(places), names=("a", "b")))

    def refused(*arguments, **options):
        raise AssertionError("computed again")

    monkeypatch.setattr(making, "compare", refused)
    monkeypatch.setattr(statistics, "summarise", refused)
    written = make_report(tmp_path / "both.html", ReportRequest(models=(tmp_path / "both",), names=("a", "b")))
    assert (written.models, written.cases) == (expected.models, expected.cases) == ("a and b", 14)
    texts = [(tmp_path / f"{name}.html").read_text() for name in ("apart", "both")]
    apart, both = (re.sub(r'<dl class="made">.*?</dl>', "", text, flags=re.DOTALL) for text in texts)
    assert both == apart
    assert "120 bootstrap samples, seed 3" in (tmp_path / "both.html").read_text()


def test_the_command_reports_an_evaluation_with_its_own_settings(evaluation_folder, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert main(["report", str(evaluation_folder), "-o", str(out), "--cases", "1", "--title", "A <b>title</b>"]) == 0
    assert f"written: {out}" in capsys.readouterr().out
    text = out.read_text(encoding="utf-8")
    assert "150 bootstrap samples, seed 7" in text
    assert "A &lt;b&gt;title&lt;/b&gt;" in text
    assert main(["report", str(evaluation_folder), "-o", str(out), "--cases", "1"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main(["report", str(evaluation_folder), "-o", str(out), "--cases", "1", "--overwrite"]) == 0


def test_a_model_folder_is_evaluated_and_what_it_lacks_is_told(evaluation, tmp_path, capsys):
    model, references = tmp_path / "MSCSTrainer__MSCSPlans__2d", tmp_path / "references"
    references.mkdir()
    for fold, case in enumerate(evaluation.cases[1:3]):
        files = evaluation.files[case]
        (model / f"fold_{fold}" / "validation").mkdir(parents=True)
        shutil.copy(files.prediction, model / f"fold_{fold}" / "validation" / f"{case}.nii.gz")
        shutil.copy(files.reference, references / f"{case}.nii.gz")
        shutil.copy(files.images["DWI"], references / f"{case}_dwi.nii.gz")
    (model / "plans.json").write_text(json.dumps({"dataset_name": "Dataset501_Stroke", "plans_name": "MSCSPlans"}))
    (model / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "infarct": 1}}))
    images = tmp_path / "images"
    images.mkdir()
    for image in references.glob("*_dwi*"):
        image.rename(images / image.name)
    arguments = {"start": {"number": 3, "steps_without_foreground": 0, "initial_lr": 0.0009}}
    torch.save({"network_weights": {}, "init_args": arguments}, model / "fold_1" / "checkpoint_final.pth")
    out = tmp_path / "report.html"
    words = ["report", str(model), "-o", str(out), "--references", str(references), "--images", str(images)]
    assert main([*words, "--names", "ours", "-np", "1"]) == 0
    said = capsys.readouterr()
    assert "2 cases of ours, 2 with a sheet" in said.out
    assert "Folds without validation predictions" in said.err
    text = out.read_text(encoding="utf-8")
    assert "labelled infarct" in text
    assert "No training curves of ours" in text
    assert "ours: the training of fold 1 needed 3 starts." in text
    assert "the training of fold 0" not in text
    assert "--images" not in re.sub(r"<dt>Command.*", "", text)


def test_wrong_use_and_wrong_places_leave_everything_as_it_was(evaluation_folder, tmp_path, capsys):
    mine = tmp_path / "mine.html"
    mine.write_text("my own page")
    for words, said in (
        ([str(tmp_path / "nothing"), "-o", str(tmp_path / "r.html")], "nothing"),
        ([str(evaluation_folder), "-o", str(tmp_path / "r.pdf")], ".html"),
        ([str(evaluation_folder), "-o", str(tmp_path / "no" / "r.html")], "does not exist"),
        ([str(evaluation_folder), "-o", str(mine), "--overwrite"], "not a report"),
    ):
        assert main(["report", *words]) == 1
        assert said in capsys.readouterr().err
    half = (evaluation_folder / CASES).read_text(encoding="utf-8").splitlines()[:8]
    (evaluation_folder / CASES).write_text("\n".join(half), encoding="utf-8")
    assert main(["report", str(evaluation_folder), "-o", str(tmp_path / "r.html")]) == 1
    assert "7 rows instead of 14" in capsys.readouterr().err
    with pytest.raises(SystemExit) as wrong_use:
        main(["report", str(evaluation_folder), "-o", str(tmp_path / "r.html"), "--cases", "0"])
    assert wrong_use.value.code == 2
    assert mine.read_text() == "my own page"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evaluation", "mine.html"]
    assert (evaluation_folder / SUMMARY).is_file()


def test_models_of_different_cases_are_refused(evaluations, tmp_path):
    places = []
    for one in evaluations:
        places.append(tmp_path / one.model)
        places[-1].mkdir()
        write_evaluation(places[-1], dataclasses.replace(one, table=one.table[len(places) - 1 :]))
    with pytest.raises(MscsError, match="not in"):
        make_report(tmp_path / "r.html", dataclasses.replace(QUICK, models=tuple(places)))
    assert not (tmp_path / "r.html").exists()
