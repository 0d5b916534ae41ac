"""From label maps and lesion masks to a model folder that nnU-Net predicts with, shortened to seconds."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.programs import run
from tests.phantom.heads.small_sources import write_head, write_masks


def program(name: str, *words: str, cwd: Path) -> None:
    result = run(name, *words, cwd=cwd)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_volumes_training_choice_and_scores(tmp_path):
    for name, write in (("heads", write_head), ("masks", write_masks)):
        (tmp_path / name).mkdir()
        write(tmp_path / name)
    sources = ("--heads", "heads", "--lesion-masks", "masks")
    short = ("--planned-cases", "2", "--volumes", "3", "--validation", "2", "--steps", "3", "--batch-size", "2")
    program("synthetic_training.py", "work", *sources, *short, cwd=tmp_path)
    model = tmp_path / "work" / "model"
    facts = json.loads((model / "synthetic_training.json").read_text())
    assert (facts["steps"], facts["volumes"], facts["seed"]) == (3, 3, 0)
    plans = json.loads((model / "plans.json").read_text())
    assert plans["configurations"]["2d"]["normalization_schemes"] == ["ADCNormalization", "DWINormalization"]
    assert plans["configurations"]["2d"]["architecture"]["network_class_name"] == "nnunetv2_mscs.network.MSCSNet"
    assert str(tmp_path) not in (model / "dataset.json").read_text()
    assert "step 3 loss" in (tmp_path / "work" / "training.log").read_text()

    program("synthetic_training.py", "work", *sources, *short[:-4], "--steps", "4", *short[-2:], cwd=tmp_path)
    assert "from step 3 of 4" in (tmp_path / "work" / "training.log").read_text()

    program("synthetic_data.py", "scans", *sources, "--cases", "1", "--seed", "2", "--lesion-free", "0", cwd=tmp_path)
    program("choose_threshold.py", str(model), "scans", cwd=tmp_path)
    chosen = json.loads((model / "synthetic_training.json").read_text())
    assert 0.2 <= chosen["threshold"] <= 0.7
    program("score_real.py", str(model), "--data", "scans", "-o", "scores.json", cwd=tmp_path)
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["settings"]["threshold"] == chosen["threshold"]
    shipped = tmp_path / "shipped"
    program("ship_weights.py", str(model), "--to", str(shipped), cwd=tmp_path)
    size, half = ((one / "fold_all/checkpoint_final.pth").stat().st_size for one in (model, shipped))
    assert half < 0.52 * size
    program("score_real.py", str(shipped), "--data", "scans", "-o", "shipped.json", cwd=tmp_path)
    of_shipped = json.loads((tmp_path / "shipped.json").read_text())
    assert of_shipped["settings"]["threshold"] == chosen["threshold"]
    assert of_shipped["mean"]["dice"] == pytest.approx(scores["mean"]["dice"], abs=0.02)
    assert scores["mean"]["dice"] == scores["cases"]["synthetic_0000002"]["dice"]
