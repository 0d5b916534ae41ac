"""The benchmark of networks runs as its help says, and counts what is known."""

import json
from importlib.util import find_spec

import pytest

from tests.benchmarks.programs import run


@pytest.mark.slow
def test_table_and_json_agree_and_the_work_is_the_papers(tmp_path):
    """mscs-net.md gives 54.886 GMAC for the original at 192 x 192 x 16: at a ninth of the plane a ninth of it."""
    result = run(
        *("network.py", "--networks", "MSCSNet original"),
        *("--patch", "16", "64", "64", "--rounds", "1", "-o", "out/figures.json"),
        cwd=tmp_path,
        fresh=True,
    )
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "out/figures.json").read_text())
    original = report["networks"]["MSCSNet original"]
    assert original["parameters"] == 37_057_656
    assert original["gigaflop"] == pytest.approx(2 * 54.886 / 9, rel=1e-3)
    assert report["conditions"]["device"] == "cpu"
    assert report["setting"]["patch"] == [16, 64, 64]
    engines = [name for name in report["networks"] if name.startswith("MSCSNet original, ")]
    assert {"MSCSNet original, torch float32"} <= set(engines)
    assert (find_spec("openvino") is None) == (not any("openvino" in name for name in engines))
    for name, figures in report["networks"].items():
        if "," in name:
            row = next(line for line in result.stdout.splitlines() if line.startswith(f"| {name} "))
            assert f"{figures['forward']['median']:.3f}" in row
            continue
        row = next(line for line in result.stdout.splitlines() if line.startswith(f"| {name} "))
        assert f"{figures['training step']['median']:.3f}" in row
        assert figures["peak_memory_gb"] > 12 * figures["parameters"] / 1e9  # weights, gradients and momentum alone


def test_wrong_use(tmp_path):
    assert run("network.py", "--rounds", "0", cwd=tmp_path).returncode == 2
    refused = run("network.py", "--networks", "MSCSNet original", "--patch", "12", "64", "64", cwd=tmp_path)
    assert refused.returncode == 1
    assert "multiples of [16, 16, 16]" in refused.stderr
    assert not list(tmp_path.iterdir())
