"""The bench of trainers runs as its help says, on equal batches, and keeps what it has done."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.programs import run

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "training.py"
SMALL = ("--cases", "6", "--size", "48", "48", "6", "--patch", "32", "32", "--batch-size", "2", "--steps", "40")
NARROW = (
    "narrow=MSCSTrainer:decoder_features_per_stage.0=12,dropout=0.1,trainer.initial_lr=0.005,optimiser.momentum=0.9"
)


def bench(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    return run("training.py", *words, "--processes", "1", "--work", "work", cwd=cwd)


@pytest.mark.slow
def test_table_json_and_curves(tmp_path):
    words = (*SMALL, "--seeds", "3", "--trainers", "nnUNetTrainer", NARROW, "--picture", "curves.png")
    result = bench(*words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "training.json").read_text())
    assert report["setting"]["patch"] == [32, 32]
    assert set(report["variants"]) == {"nnUNetTrainer", "narrow"}
    runs = {figures["variant"]["name"]: figures for figures in report["runs"]}
    assert runs["narrow"]["variant"]["network"] == {"decoder_features_per_stage.0": 12, "dropout": 0.1}
    assert runs["narrow"]["parameters"] != runs["nnUNetTrainer"]["parameters"]
    for name, figures in runs.items():
        assert len(figures["losses"]) == 40
        assert figures["losses"][0] > figures["losses"][-1]
        row = next(line for line in result.stdout.splitlines() if line.startswith(f"| {name} "))
        assert f"{report['variants'][name]['mean_end']:.3f}" in row
    assert (tmp_path / "curves.png").stat().st_size > 5000

    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "work" / "runs").iterdir()}
    again = bench(*words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "work" / "runs").iterdir()} == kept
    assert json.loads((tmp_path / "training.json").read_text())["variants"] == report["variants"]

    unknown = bench(*SMALL, "--trainers", "MSCSTrainner", cwd=tmp_path)
    assert unknown.returncode == 1
    assert "nnU-Net finds no trainer MSCSTrainner" in unknown.stderr


@pytest.mark.parametrize("words", [("--steps", "10"), ("--trainers", "MSCSTrainer:dropout"), ("--epoch-steps", "0")])
def test_wrong_use(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(SCRIPT.parent)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
    with pytest.raises(SystemExit) as refused:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert refused.value.code == 2
    assert not list(tmp_path.iterdir())
