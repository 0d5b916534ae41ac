"""The benchmarks of the metrics run as their help says, and what the documentation quotes is what they print."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.programs import run

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_table_and_json_agree_and_cases_are_as_asked_for(tmp_path):
    result = run("evaluation.py", "--grids", "112x112x73", "--rounds", "1", "-o", "out/figures.json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "out/figures.json").read_text())
    rows = [line for line in result.stdout.splitlines() if line.startswith("| 112x112x73 ")]
    for row, figure in zip(rows, report["cases"], strict=True):
        assert f" {1000 * figure['seconds']['all']['median']:.1f} " in row
        assert 0.3 < figure["dice"] < 0.95
    assert max(figure["volume_ml"] for figure in report["cases"]) > 100
    assert max(max(figure["pieces"]) for figure in report["cases"]) >= 30


@pytest.mark.slow
def test_the_whole_command_agrees_with_nnunet(tmp_path):
    result = run(
        *("evaluation.py", "--grids", "112x112x73", "--rounds", "1", "--cases", "8", "-o", "figures.json"), cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    command = json.loads((tmp_path / "figures.json").read_text())["command"]
    assert set(command["seconds"]) == {"mscs evaluate", "nnU-Net"}
    assert max(command["largest_difference"].values()) < 1e-12


def test_wrong_use(tmp_path):
    nothing = run("lesion_rules.py", tmp_path, cwd=tmp_path)
    assert nothing.returncode == 1
    assert "holds no masks" in nothing.stderr


def test_the_documentation_quotes_the_rules_apart(real_folder, tmp_path):
    result = run("lesion_rules.py", real_folder / "masks", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    documented = (PROJECT / "docs/metrics.md").read_text()
    rows = [line for line in result.stdout.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(rows) == 6
    for row in rows:
        assert [cell.strip() for cell in row.split("|")] in [
            [cell.strip() for cell in line.split("|")] for line in documented.splitlines()
        ], row
