"""Tables of a paper: what they print are the statistics, the best is bold, and nothing is left out in silence."""

import csv
import io
import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.evaluation.catalogue import METRICS, SIZES
from nnunetv2_mscs.evaluation.comparison import compare
from nnunetv2_mscs.evaluation.results import Evaluation, case_table
from nnunetv2_mscs.evaluation.statistics import StatisticsSettings, with_statistics
from nnunetv2_mscs.evaluation.wording import DASH, MINUS
from nnunetv2_mscs.reporting.tables import check_template, fill_table, find_templates, write_table
from nnunetv2_mscs.reporting.tables.values import row_values
from nnunetv2_mscs.reporting.tables.writing import as_csv, as_latex, as_markdown
from tests.evaluation.random_evaluation import case_row, changed

PACKAGED = ("ablation", "agreement", "lesion_sizes", "models", "original")
DOCUMENTATION = Path(__file__).resolve().parents[2] / "docs/tables.md"
SAMPLES, CASES = 100, 12
AWKWARD = r"a|b_c*d<e&f%g$h#i{j}k~l^m\n`o`[p](q)"
LEFT_OUT = 3


def evaluation(model, seed, *, labels=("1",), shift=0.0):
    """Random values; HD95 undefined in the first cases, as if their prediction were empty."""
    truth, random = np.random.default_rng(99), np.random.default_rng(seed)
    rows = []
    for number in range(CASES):
        for label in labels:
            values = {column: float(random.uniform(0.2, 0.6)) for column in METRICS}
            values["dice"] += shift
            values["volume_reference_ml"] = float(truth.uniform(20, 120))
            values["volume_prediction_ml"] = values["volume_reference_ml"] + float(random.normal(0, 8))
            values["lesion_count_reference"] = float(truth.integers(1, 5))
            for size in SIZES:
                values[f"lesions_{size}"] = float(truth.integers(1, 4))
                values[f"lesions_found_{size}"] = float(random.integers(0, values[f"lesions_{size}"] + 1))
            missed = number < LEFT_OUT and seed == 1
            if missed:
                values["hd95_mm"] = math.nan
            names = {"label": label, "label_name": f"lesion {label}", "prediction_empty": missed}
            rows.append(case_row(f"case_{number}", values, **names))
    return Evaluation(model, "", "", {label: f"lesion {label}" for label in labels}, case_table(rows))


def with_its_statistics(evaluation):
    return with_statistics(evaluation, StatisticsSettings(samples=SAMPLES))


def compared(evaluations):
    comparison = compare(evaluations, samples=SAMPLES) if len(evaluations) > 1 else None
    return [with_its_statistics(one) for one in evaluations], comparison


@pytest.fixture(scope="module")
def one():
    return compared([evaluation("first", 1)])


@pytest.fixture(scope="module")
def two():
    return compared([evaluation("first", 1), evaluation("second", 2, shift=0.3)])


@pytest.fixture(scope="module")
def two_labels():
    return compared([evaluation(m, i, labels=("1", "2")) for i, m in enumerate(("first", "second"), 1)])


@pytest.fixture
def template(tmp_path):
    """A template of columns, or of a whole text, in a folder of its own."""

    def write(*columns, text=None, rows="models", name="mine"):
        file = tmp_path / f"{name}.ini"
        text = text if text is not None else "\n".join([f"[table]\nrows = {rows}", "[columns]", *columns])
        file.write_text(text, encoding="utf-8")
        return file

    return write


def texts(table, title):
    place = table.titles.index(title)
    return [row[place].text for row in table.rows]


def bold(table, title):
    place = table.titles.index(title)
    return [row[place].best for row in table.rows]


@pytest.mark.parametrize("name", PACKAGED)
@pytest.mark.parametrize("models", ["one", "two", "two_labels"])
def test_a_packaged_template_fills_every_cell(name, models, request):
    evaluations, comparison = request.getfixturevalue(models)
    table = fill_table(find_templates()[name], evaluations, comparison)
    labels = len(evaluations[0].labels)
    assert len(table.rows) == len(evaluations) * labels * (len(SIZES) + 1 if name == "lesion_sizes" else 1)
    assert all(cell.text for row in table.rows for cell in row)
    assert ("Label" in table.titles) == (labels > 1)
    assert "Model" in table.titles
    assert not any("nan" in cell.text.lower() or "{" in cell.text for row in table.rows for cell in row)


def test_numbers_are_those_of_the_statistics(two):
    table = fill_table(find_templates()["original"], *two)
    for title, column in {"Accuracy ↑": "accuracy", "Dice ↑": "dice", "AHD (mm) ↓": "ahd_max_mm"}.items():
        means = [one.column(column, "1").mean() for one in two[0]]
        assert texts(table, title) == [f"{mean:.{METRICS[column].decimals}f}" for mean in means]


def test_recall_is_of_the_size_its_row_names(two):
    table = fill_table(find_templates()["lesion_sizes"], *two)
    of = two[0][1].statistics["labels"]["1"]["lesions_by_size"]
    found = {row[0].text: row[table.titles.index("Found")].text for row in table.rows if row[1].text == "second"}
    assert found == {one["title"]: str(one["found"]) for one in of.values()}


@pytest.mark.parametrize("name", PACKAGED)
def test_arrows_of_packaged_templates_point_where_the_metric_is_better(name):
    columns = find_templates()[name].read_text(encoding="utf-8").partition("[columns]")[2].splitlines()
    for title, _, cell in (line.partition("=") for line in columns if "=" in line):
        metrics = [word for word in re.findall(r"\w+", cell) if word in METRICS]
        if metrics and "against_first" not in cell:
            assert title.strip()[-1] == {"higher": "↑", "lower": "↓"}[METRICS[metrics[0]].better]


def test_bold_is_the_best_by_the_arrow(two, template):
    columns = ("Dice ↑ = {{ dice.mean }} ({{ dice.sd }})", "Inverse ↓ = {{ dice.mean }}", "Dice = {{ dice.mean }}")
    table = fill_table(template("Model = {{ model }}", *columns), *two)
    assert bold(table, "Dice ↑") == [False, True]
    assert bold(table, "Inverse ↓") == [True, False]
    assert bold(table, "Dice") == [False, False]
    assert any("Bold" in note for note in table.notes)


def test_a_model_that_misses_lesions_is_not_best_by_its_easier_cases(template):
    models = [evaluation(name, 3, shift=shift) for name, shift in (("a", 0.0), ("b", 0.1))]
    models[0] = changed(models[0], lambda i, row: {"hd95_mm": math.nan} if i == CASES - 1 else {})
    table = fill_table(template("HD95 ↓ = {{ hd95_mm.mean }}"), [with_its_statistics(one) for one in models])
    assert bold(table, "HD95 ↓") == [False, False]


def test_values_printed_alike_are_equally_good(template):
    models = [evaluation(name, 3, shift=shift) for name, shift in (("a", 0.0), ("b", 0.1), ("c", 0.1 + 1e-9))]
    models = [with_its_statistics(one) for one in models]
    table = fill_table(template("Dice ↑ = {{ dice.mean }}"), models)
    assert bold(table, "Dice ↑") == [False, True, True]
    table = fill_table(template("Dice ↑ = {{ dice.mean }}"), models[1:])
    assert bold(table, "Dice ↑") == [False, False]
    assert not any("Bold" in note for note in table.notes)


def test_bold_is_found_for_each_label_and_size(two_labels):
    table = fill_table(find_templates()["lesion_sizes"], *two_labels)
    place = table.titles.index("Recall ↑")
    groups: dict = {}
    for row in table.rows:
        groups.setdefault((row[0].text, row[1].text), []).append(row[place])
    assert len(groups) == 2 * (len(SIZES) + 1)
    for cells in groups.values():
        best = max(cell.value for cell in cells)
        tied = len({cell.value for cell in cells}) == 1
        assert [cell.best for cell in cells] == [cell.value == best and not tied for cell in cells]


def test_ablation_shows_and_marks_differences(one, two):
    alone = fill_table(find_templates()["ablation"], *one)
    assert texts(alone, "Δ Dice") == [DASH]
    assert not any("better" in note for note in alone.notes)
    table = fill_table(find_templates()["ablation"], *two)
    test = two[1].of("second", "1")["dice"]
    assert test.verdict == "better"
    expected = f"+{test.difference:.3f}\n[+{test.ci_low:.3f}; +{test.ci_high:.3f}]*"
    assert texts(table, "Δ Dice") == [DASH, expected]
    turned = fill_table(find_templates()["ablation"], *compared(two[0][::-1]))
    assert texts(turned, "Δ Dice")[1].endswith("]†")
    assert any("† worse" in note for note in turned.notes)


def test_cases_left_out_and_empty_masks_are_told(two, two_labels, template):
    table = fill_table(template("HD95 = {{ hd95_mm.mean }}"), *two)
    assert f"Cases left out because undefined: HD95 (mm): {LEFT_OUT} (first)." in table.notes
    assert any(f"first both 0, reference only 0, prediction only {LEFT_OUT}" in note for note in table.notes)
    table = fill_table(template("HD95 = {{ hd95_mm.median | digits(1) }} {{ hd95_mm.interval }}"), *two_labels)
    assert any(f"HD95 (mm): {LEFT_OUT} (first, lesion 1), {LEFT_OUT} (first, lesion 2)." in one for one in table.notes)
    table = fill_table(template("Δ = {{ against_first.hd95_mm.difference }}"), *two)
    assert f"Cases left out because undefined: difference of HD95 (mm): {LEFT_OUT} (second)." in table.notes
    table = fill_table(template("Dice = {{ dice.mean }}"), *two)
    assert not any("left out" in note for note in table.notes)


@pytest.mark.parametrize(
    ("cell", "printed"), [("{{ dice.mean | percent }}", "{:.1f}"), ("{{ (dice.mean | percent(0)) }} %", "{:.0f} %")]
)
def test_percent(cell, printed, one, template):
    table = fill_table(template(f"Dice = {cell}"), *one)
    assert texts(table, "Dice") == [printed.format(100 * one[0][0].column("dice", "1").mean())]


@pytest.mark.parametrize(
    ("cell", "printed"),
    [
        ("{{ 0.5 | signed }}", "+0.500"),
        ("{{ -0.5 | digits(1) }}", f"{MINUS}0.5"),
        ("{{ -0.0001 }}", "0.000"),
        ("{{ against_first.dice.p_holm }}", DASH),
        ("{{ cases.n / cases.both_empty }}", DASH),
        ("{{ cases.n }} cases", f"{CASES} cases"),
        ("{{ threshold_ml }} mL", "70 mL"),
    ],
)
def test_printed_numbers(cell, printed, one, template):
    assert texts(fill_table(template(f"Cell = {cell}"), *one), "Cell") == [printed]


@pytest.mark.parametrize(("p", "printed"), [(1e-7, "< 0.001"), (0.041, "0.041"), (0.04996, "0.04996")])
def test_p_is_never_zero_and_shows_its_side_of_the_limit(p, printed, two, template):
    evaluations, comparison = two
    tests = tuple(replace(test, p_holm=p) for test in comparison.tests)
    table = fill_table(template("p = {{ against_first.dice.p_holm }}"), evaluations, replace(comparison, tests=tests))
    assert texts(table, "p")[1] == printed


def test_a_named_folder_goes_before_the_variable_the_working_directory_and_the_package(tmp_path, monkeypatch):
    places = {place: tmp_path / place for place in ("named", "variable", "work/results_templates/tables")}
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("MSCS_TEMPLATES", raising=False)
    assert set(find_templates()) == set(PACKAGED)
    for place in places.values():
        place.mkdir(parents=True)
        for name in ("original", place.name):
            (place / f"{name}.ini").touch()
        (place / "notes.txt").touch()
    assert find_templates()["original"].resolve().parent == places["work/results_templates/tables"]
    monkeypatch.setenv("MSCS_TEMPLATES", str(places["variable"]))
    assert find_templates()["original"].parent == places["variable"]
    found = find_templates([places["named"]])
    assert found["original"].parent == places["named"]
    assert set(found) == {*PACKAGED, "named", "variable", "tables"}
    with pytest.raises(MscsError, match="not a folder of templates"):
        find_templates([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("rows = models", 1, r"\[table\] must come first"),
        ("[table]\nrows = models\n[columns]\nModel", 4, "not `title = cell`"),
        ("[table]\nrows = models\n[columns]\nA = 1\nA = 2", 5, "'A' is there twice"),
        ("[table]\nrows = cases\n[columns]\nA = 1", 2, "rows = models"),
        ("[table]\nrows = models\n[colums]\nA = 1", 3, r"\[colums\] is not known"),
        ("[table]\nrows = models\ncaptoin = x\n[columns]\nA = 1", 3, "captoin is not known"),
        ("[table]\nrows = models", None, r"nothing under \[columns\]"),
        ("[table]\nrows = models\n[columns]\nA = 1\nB = {{ dice.mean", 5, "expected"),
        ("[table]\nrows = models\n[columns]\nB = {{ dice.meen }}", 4, "no 'meen' here, but n, undefined, mean, sd"),
        ("[table]\nrows = models\n[columns]\nB = {{ dise.mean }}", 4, "'dise' is undefined"),
        ("[table]\nrows = models\n[columns]\nB = {{ dice }}", 4, "not a single value; name one of n, undefined, mean"),
        ("[table]\nrows = models\n[columns]\nB = {{ labels }}", 4, "is not a value"),
        ("[table]\nrows = models\n[columns]\nB = {{ dice.mean + 'a' }}", 4, "TypeError"),
        ("[table]\nrows = models\ncaption = {{ nothing }}\n[columns]\nB = 1", 3, "'nothing' is undefined"),
        ("[table]\nrows = models\n[columns]\nB = {{ size.title }}", 4, "'size' is undefined"),
        ("[table]\nrows = models\n[columns]\nB = {{ model.__class__.__mro__ }}", 4, "unsafe"),
    ],
)
def test_a_broken_template_is_refused_with_file_line_and_reason(text, line, reason, one, template):
    broken = template(text=text)
    place = f"mine.ini, line {line}: " if line else "mine.ini: "
    for use in (lambda: fill_table(broken, *one), lambda: check_template(broken)):
        with pytest.raises(MscsError, match=reason) as error:
            use()
        assert place in error.value.finding
        assert "docs/tables.md" in error.value.remedy


def test_files_that_are_no_text_are_refused(tmp_path):
    file = tmp_path / "mine.ini"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MscsError, match="UTF-8"):
        check_template(file)


def test_packaged_templates_pass_their_own_check():
    for one in find_templates().values():
        check_template(one)


@pytest.fixture
def awkward(two, template):
    """A table with names, titles, caption and cells of characters that mean something to Markdown and LaTeX."""
    evaluations = [replace(two[0][0], model=AWKWARD), two[0][1]]
    text = (
        "[table]\nrows = models\ncaption = 100 % of {{ baseline }}\n[columns]\nA_1|B = {{ model }}\n"
        "κ & ≤ ↑ = [{{ dice.mean }}] ± 1"
    )
    return fill_table(template(text=text), *compared(evaluations))


def test_markdown_shows_any_name_as_it_is(awkward):
    lines = [line for line in as_markdown(awkward).splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert {len(row) for row in cells} == {2}
    assert re.sub(r"\\(.)", r"\1", cells[2][0]).strip() == AWKWARD
    assert all(f"\\{character}" in cells[2][0] for character in r"|_*<&~\`")
    assert cells[3][1].strip().startswith("**")


def test_latex_escapes_what_means_something_to_it(awkward):
    text = as_latex(awkward)
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert r"a\textbar{}b\_c$^{*}$d$<$e\&f\%g\$h\#i\{j\}k\textasciitilde{}l\textasciicircum{}m\textbackslash{}n" in body
    assert r"100 \% of" in text
    assert [line.count(" & ") for line in body.splitlines() if line.endswith(r" \\")] == [1, 1]
    assert r"\textbf{{}[" in body


def test_a_cell_of_two_lines_stays_one_cell(two, template):
    table = fill_table(template("Dice = {{ dice.mean }}\n  [{{ dice.sd }}]", "Model = {{ model }}"), *two)
    mean, sd = (two[0][0].statistics["labels"]["1"]["all_cases"]["dice"][key] for key in ("mean", "sd"))
    assert f"| {mean:.3f}<br>[{sd:.3f}] |" in as_markdown(table)
    assert rf"\makecell[tr]{{{mean:.3f} \\ {{}}[{sd:.3f}]}} & first" in as_latex(table)
    assert f"{mean:.3f} [{sd:.3f}],first" in as_csv(table).splitlines()


def test_no_row_is_taken_for_an_argument_of_latex(two, template):
    text = as_latex(fill_table(template("Dice = [{{ dice.mean }}]", "Model = {{ model }}"), *two))
    assert text.count("\n    {}[") == 2


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_latex_compiles(awkward, two, tmp_path):
    tables = [awkward, *(fill_table(one, *two) for one in find_templates().values())]
    document = "\n".join(
        [r"\documentclass{article}", r"\usepackage{booktabs, adjustbox, makecell}", r"\begin{document}"]
        + [as_latex(table) for table in tables]
        + [r"\end{document}"]
    )
    (tmp_path / "tables.tex").write_text(document, encoding="utf-8")
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert ended.returncode == 0, ended.stdout[-2000:]


def test_csv_holds_titles_and_cells_that_programs_read(two, template):
    table = fill_table(template("Model = {{ model }}", "Bias = {{ -1.5 }}", 'Two = a, "b"'), *two)
    rows = list(csv.reader(io.StringIO(as_csv(table))))
    assert rows[0] == ["Model", "Bias", "Two"]
    assert [float(row[1]) for row in rows[1:]] == [-1.5, -1.5]
    assert rows[1][2] == 'a, "b"'


def test_three_files_are_written(two, tmp_path):
    files = write_table(fill_table(find_templates()["models"], *two), tmp_path)
    assert [file.name for file in files] == ["models.md", "models.tex", "models.csv"]
    assert set(tmp_path.iterdir()) == set(files)
    assert all("first" in file.read_text(encoding="utf-8") for file in files)


def test_the_documentation_s_template_works(two, template):
    example = re.search(r"```ini\n(.*?)```", DOCUMENTATION.read_text(encoding="utf-8"), re.DOTALL).group(1)
    table = fill_table(template(text=example, name="overview"), *two)
    assert texts(table, "Missed") == [str(LEFT_OUT), "none"]
    assert table.notes[0] == f"HD95 over all {CASES} cases."
    assert bold(table, "Dice (%) ↑") == [False, True]
    assert all(cell.text for row in table.rows for cell in row)


def test_the_documentation_lists_every_name(two):
    told = set(re.findall(r"[a-z]\w*|\d\w+", DOCUMENTATION.read_text(encoding="utf-8").partition("### Names")[2]))
    values = row_values(two[0][1], "1", two[1])

    def names(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield key
                yield from names(inner)

    repeated = {"metric", "cases", "undefined_baseline", "undefined_model", "family"}
    assert set(names(values)) - set(METRICS) - told <= repeated
    assert set(PACKAGED) <= set(re.findall(r"\w+", DOCUMENTATION.read_text(encoding="utf-8")))
