"""The benchmark for a GPU, on the CPU and shortened: its parts, its time limits, and what a failure does."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnunetv2_mscs.pipeline.local import slots_for
from nnunetv2_mscs.pipeline.state import RunFolder, read_record
from nnunetv2_mscs.workplace.devices import Gpus
from tests.pipeline.small_stages import by_name, writing_stage

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
        time.sleep(60)

    works = {"wrong": wrong, "broken": broken, "dies": lambda context: os._exit(3), "well": lambda context: iter(rows)}
    parts = [gpu.Part(name, work, 20) for name, work in works.items()]
    parts += [gpu.Part("hangs", hangs, 3), gpu.Part("compiled", hangs, 20, needs_gpu=True)]
    monkeypatch.setattr(gpu, "parts", lambda: parts)
    monkeypatch.setattr(gpu, "planned", lambda *_: {})
    monkeypatch.setattr(gpu, "look_for_gpus", lambda: Gpus((), "none here"))
    assert gpu.main(["--device", "cpu", "--shorten", "-o", str(tmp_path / "gpu.json")]) == 1
    found = {part["part"]: part for part in json.loads((tmp_path / "gpu.json").read_text())["parts"]}
    assert {name: part["state"] for name, part in found.items()} == {
        **dict.fromkeys(("wrong", "broken", "dies", "hangs"), "failed"),
        "well": "done",
        "compiled": "not run",
    }
    assert found["wrong"]["reason"] == "not equal"
    assert [row["what"] for row in found["wrong"]["rows"] + found["well"]["rows"]] == ["a", "a"]
    assert found["compiled"]["reason"] == "needs a GPU: none here"
    assert found["broken"]["reason"] == "ValueError: no such thing"
    assert "ended with 3" in found["dies"]["reason"]
    assert found["hangs"]["reason"] == "not done within 3 s"
    assert "| hangs " in capsys.readouterr().out


@pytest.mark.parametrize("at_once", [True, False])
def test_two_folds_share_one_gpu_and_nothing_beyond_them_is_run(gpu, tmp_path, monkeypatch, at_once):
    data = writing_stage(tmp_path, "preprocess")
    folds = [writing_stage(tmp_path, f"fold_{n}", data, seconds=2.0, trains=True, uses_gpu=True) for n in (0, 1)]
    stages = by_name(data, *folds, writing_stage(tmp_path, "report", *folds))
    monkeypatch.setattr(gpu, "build_stages", lambda settings, folders: stages)
    monkeypatch.setattr(gpu, "write_phantoms", lambda *words, **options: None)
    if not at_once:
        monkeypatch.setattr(gpu, "slots_for", lambda gpus, per_fold: slots_for(gpus[:1], per_fold))
    work = gpu.two_folds(gpu.Context("cuda", "5", gpu.SHORT, tmp_path, {}))
    rows = {row.what: row for row in [next(work) for _ in range(4)]}
    assert list(rows) == ["preprocess", "fold_0", "fold_1", "both folds at once"]
    if at_once:
        assert list(work) == []
        assert 0 < rows["both folds at once"].figures["seconds"] <= rows["fold_0"].figures["seconds"]
    else:
        with pytest.raises(gpu.Failed, match="one after the other"):
            next(work)
    (run,) = tmp_path.glob("workspace/*/*/mscs_run")
    assert [read_record(RunFolder(run), f"fold_{n}").gpus for n in (0, 1)] == ["5", "5"]


def test_all_parts_together_take_less_than_eight_minutes(gpu):
    assert sum(part.limit_s for part in gpu.parts()) <= gpu.WHOLE_S < 480 - gpu.ENDING_S
