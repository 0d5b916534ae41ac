"""The benchmark of prediction runs as its help says, and its steps add up."""

import json

import pytest

from tests.benchmarks.programs import run


@pytest.mark.slow
def test_table_and_json_agree_and_steps_add_up(tmp_path):
    commands = ["mscs predict", "nnUNetv2_predict, U-Net"]
    words = ("--grids", "64x64x12", "--studies", "1", "--threads", "1", "--commands", *commands, "-o", "figures.json")
    result = run("predict.py", *words, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert [row["command"] for row in rows] == commands
    ours = rows[0]
    steps = ("start", "read", "preprocess", "network", "resample", "measure", "write")
    assert ours["whole"] == pytest.approx(sum(ours[step] for step in steps))
    assert "| mscs predict, 1 x 64x64x12, 1 thread(s), warm " in result.stdout
    assert f" {ours['whole']:.1f} " in result.stdout
