"""The benchmark for a GPU, on the CPU and shortened: its parts, its time limits, and what a failure does."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.slow
def test_the_cpu_does_what_it_can_and_the_table_says_what_was_not_run(tmp_path):
    words = ("--device", "cpu", "--shorten", "--patience", "10", "-o", "figures.json")
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), *words]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1400)
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads((tmp_path / "figures.json").read_text())
    parts = {part["part"]: part for part in report["parts"]}
    done = ["step", "memory", "prediction", "two folds"]
    assert [name for name, part in parts.items() if part["state"] == "done"] == done
    not_run = [part for name, part in parts.items() if name not in done]
    assert len(not_run) == 2
    assert all(part["state"] == "not run" and part["reason"].startswith("needs a GPU: ") for part in not_run)
    assert [row["what"] for row in parts["step"]["rows"]] == ["PlainConvUNet", "MSCSNet planned", "MSCSNet original"]
    assert parts["two folds"]["rows"][-1]["figures"]["seconds"] > 0
    lines = result.stdout.splitlines()
    for name, part in parts.items():
        for row in part["rows"]:
            line = next(line for line in lines if line.startswith(f"| {name} ") and f" {row['what']} " in line)
            assert row["result"] in line
        assert any(line.startswith(f"| {name} ") and part["state"] in line for line in lines)


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu

    return gpu


def test_a_part_that_fails_hangs_or_dies_is_recorded_and_the_others_go_on(gpu, tmp_path, monkeypatch, capsys):
    rows = [gpu.Row("a", "1 s")]

    def wrong(context):
        yield from rows
        raise gpu.Failed("not equal")

    def broken(context):
        raise ValueError("no such thing")

    def hangs(context):
        yield from rows
        time.sleep(60)

    works = {"wrong": wrong, "broken": broken, "dies": lambda context: os._exit(3), "well": lambda context: iter(rows)}
    parts = [gpu.Part(name, work, 20) for name, work in works.items()]
    parts += [gpu.Part("hangs", hangs, 3), gpu.Part("compiled", hangs, 20, needs_gpu=True)]
    monkeypatch.setattr(gpu, "parts", lambda: parts)
    monkeypatch.setattr(gpu, "planned", lambda *_: {})
    assert gpu.main(["--device", "cpu", "--shorten", "-o", str(tmp_path / "gpu.json")]) == 1
    found = {part["part"]: part for part in json.loads((tmp_path / "gpu.json").read_text())["parts"]}
    assert {name: part["state"] for name, part in found.items()} == {
        **dict.fromkeys(("wrong", "broken", "dies", "hangs"), "failed"),
        "well": "done",
        "compiled": "not run",
    }
    assert found["wrong"]["reason"] == "not equal"
    assert [name for name, part in found.items() if part["rows"]] == ["wrong", "well", "hangs"]
    assert found["broken"]["reason"] == "ValueError: no such thing"
    assert "ended with 3" in found["dies"]["reason"]
    assert found["hangs"]["reason"] == "not done within 3 s"
    assert "| hangs " in capsys.readouterr().out


def test_all_parts_together_take_less_than_eight_minutes(gpu):
    assert sum(part.limit_s for part in gpu.parts()) <= gpu.WHOLE_S < 480 - gpu.ENDING_S
