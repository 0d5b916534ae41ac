"""The benchmark of the report runs as its help says, on few and small cases."""

import json
import re

import pytest

from tests.benchmarks.programs import run


@pytest.mark.slow
def test_table_and_json_agree(tmp_path):
    words = ["--cases", "4", "--phantoms", "2", "--size", "64", "64", "8", "--rounds", "1", "-o", "out/figures.json"]
    result = run("report.py", *words, "--keep", "page.html", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "out/figures.json").read_text())
    assert figures["sheets"] == figures["cases"] == 4
    assert figures["megabytes"] == pytest.approx((tmp_path / "page.html").stat().st_size / 1e6)
    for name, seconds in figures["seconds"].items():
        assert re.search(rf"\| {name} +\| +{seconds:.1f} s \|", result.stdout)
