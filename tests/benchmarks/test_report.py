"""The benchmark of the report runs as its help says, on few and small cases."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_table_and_json_agree(tmp_path):
    words = ["--cases", "4", "--phantoms", "2", "--size", "64", "64", "8", "--rounds", "1", "-o", "out/figures.json"]
    command = [sys.executable, str(PROJECT / "benchmarks/report.py"), *words, "--keep", "page.html"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "out/figures.json").read_text())
    assert figures["sheets"] == figures["cases"] == 4
    assert figures["megabytes"] == pytest.approx((tmp_path / "page.html").stat().st_size / 1e6)
    for name, seconds in figures["seconds"].items():
        assert re.search(rf"\| {name} +\| +{seconds:.1f} s \|", result.stdout)
