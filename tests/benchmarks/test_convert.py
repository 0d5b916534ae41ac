"""The benchmark of conversion runs as its help says, on few and small cases."""

import json

import pytest

from tests.benchmarks.programs import run


@pytest.mark.slow
def test_table_and_json_agree(tmp_path):
    small = ["--cases", "3", "--phantoms", "2", "--size", "48", "48", "6", "--spacing", "4", "4", "20"]
    result = run("convert.py", *small, "--processes", "1", "-o", "figures.json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [row["cases"] for row in figures["rows"]] == [3, 3]
    for row in figures["rows"]:
        line = next(line for line in result.stdout.splitlines() if line.startswith(f"| {row['command']} "))
        assert f"{row['seconds']:.2f}" in line
        assert f"{row['times_plain_cpu']:.2f}" in line
    assert figures["images_sha256"] in result.stdout
