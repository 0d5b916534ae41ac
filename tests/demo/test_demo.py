"""The demo on very few, very small phantoms: every stage by its real command, once, whatever interrupts it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace

import pytest

from nnunetv2_mscs.cli.main import main
from nnunetv2_mscs.demo import run
from nnunetv2_mscs.demo.result import (
    Result,
    Score,
    cases_to_show,
    draw_result,
    read_result,
    result_table,
    summary_lines,
)
from nnunetv2_mscs.demo.run import run_demo
from nnunetv2_mscs.demo.settings import DemoSettings
from nnunetv2_mscs.demo.stages import REPORT_TITLE, demo_stages
from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline import run_stage
from nnunetv2_mscs.pipeline.stage import Here
from nnunetv2_mscs.pipeline.standing import NOT_YET, RESUMES, Standing
from nnunetv2_mscs.pipeline.state import RunFolder, State
from tests.forked_workers import forked_stages

TINY = DemoSettings(
    cases=10,
    unseen_fraction=0.2,
    size=(48, 48, 6),
    spacing_mm=(4.0, 4.0, 12.0),
    trainer="MSCSTrainer_6epochs_2iterations",
)
RUN = """
import sys
from pathlib import Path
from nnunetv2_mscs.demo.run import run_demo
from nnunetv2_mscs.demo.settings import DemoSettings
run_demo(Path(sys.argv[1]), DemoSettings(**eval(sys.argv[2])), say=lambda line: print(line, flush=True))
"""


def start(folder: Path) -> subprocess.Popen:
    """The tiny demo in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder), repr(asdict(TINY))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=folder.parent,
    )


def files(folder: Path) -> set[str]:
    """What a demo leaves that does not depend on time: no logs, no state."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("logs") and "training_log" not in name}


def finished(folder: Path) -> set[str]:
    """The stages that the demo's folder says are through."""
    records = [json.loads(file.read_text()) for file in RunFolder(folder).records.glob("*.json")]
    return {record["stage"] for record in records if record["state"] == State.DONE.value}


def run_up_to_the_training(folder: Path) -> None:
    """Carry out in this process what comes before the training."""

    def say(line: str) -> None:
        if line.startswith("$ nnUNetv2_train "):
            raise KeyboardInterrupt

    with forked_stages(), pytest.raises(KeyboardInterrupt):
        run_demo(folder, TINY, say=say)


def kill_in_training(folder: Path) -> None:
    """Start the demo, and kill it as soon as its training has written a checkpoint."""
    process = start(folder)
    for _ in range(18000):
        if list(folder.glob("nnUNet_results/*/*/fold_0/checkpoint_latest.pth")) or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_killed_in_its_training_it_goes_on_and_comes_to_its_end(tmp_path, monkeypatch, capsys):
    names = [stage.name for stage in demo_stages(tmp_path, TINY)]
    folder = tmp_path / "demo"
    run_up_to_the_training(folder)
    kill_in_training(folder)
    assert finished(folder) == set(names[:5])
    said: list[str] = []
    with forked_stages():
        run_demo(folder, TINY, say=said.append)
    assert [line.split()[1] for line in said if line.startswith("$")] == [
        "mscs",
        "mscs",
        "mscs",
        "mscs",
        "nnUNetv2_plan_and_preprocess",
        "nnUNetv2_train",
        "mscs",
        "mscs",
        "mscs",
    ]
    assert sum("done before" in line for line in said) == 5
    first = next(line for line in said if "first mask" in line)
    assert Path(first.split("see ")[1]).is_file()
    assert finished(folder) == set(names)
    trainings = (folder / "logs/train.log").read_text().split("$ nnUNetv2_train")[1:]
    first_epochs = [int(re.findall(r"Epoch (\d+)", training)[0]) for training in trainings]
    assert first_epochs[0] == 0
    assert first_epochs[1] > 0

    said.clear()
    run_demo(folder, TINY, say=said.append)
    assert sum("done before" in line for line in said) == 9

    result = read_result(folder)
    assert len(result.scores) == 2
    assert result.mean_dice == pytest.approx(fmean(score.dice for score in result.scores))
    assert "unseen case" in result_table(result)
    assert draw_result(folder, result).stat().st_size > 10_000

    monkeypatch.setattr("nnunetv2_mscs.demo.settings.DemoSettings", lambda seed: replace(TINY, seed=seed))
    assert main(["demo", "--out", str(folder), "--device", "cpu"]) == 0
    *_, report, picture, mean, following = capsys.readouterr().out.splitlines()
    assert (report, picture) == (f"report {folder}/report.html", f"picture {folder}/demo.png")
    assert mean == f"mean Dice {result.mean_dice:.2f}"
    assert f"<title>{REPORT_TITLE}" in (folder / "report.html").read_text()
    assert re.fullmatch(r"next: your own scans: \S*mscs run SCANS 501 Stroke --workspace ./stroke --dry-run", following)
    assert main(["show", str(folder), "-o", str(tmp_path / "sheets"), "-np", "1"]) == 0
    assert len(list((tmp_path / "sheets").iterdir())) == 2


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A demo whose phantoms are made; each command makes nothing but its stage's first place."""

    def make(words, folder, **others):
        named = {"phantom": words[words.index("phantom") + 1] if "phantom" in words else "", "predict": "first_mask"}
        made = folder / next((place for command, place in named.items() if command in words), "nowhere")
        made.mkdir()
        (made / "file").write_text("made")

    monkeypatch.setattr(run_stage, "run_command", make)
    monkeypatch.setattr(run, "first_mask_line", lambda folder: "")
    with pytest.raises(MscsError, match="did not make"):
        run_demo(tmp_path, TINY)
    assert finished(tmp_path) == {"first_scan", "first_mask", "phantoms"}
    (tmp_path / "nowhere/file").unlink()
    (tmp_path / "nowhere").rmdir()
    return tmp_path


def test_other_settings_are_refused_and_start_over_if_asked(begun):
    before = files(begun)
    with pytest.raises(MscsError, match="one scan: seed 1000004 instead of 1000003"):
        run_demo(begun, replace(TINY, seed=1))
    assert files(begun) == before
    with pytest.raises(MscsError, match="did not make"):
        run_demo(begun, replace(TINY, seed=1), overwrite=True)
    assert json.loads((begun / "stages/phantoms.json").read_text())["parameters"]["seed"] == 1


def test_starting_over_can_be_interrupted(begun, monkeypatch):
    """Killed while it removes the former demo, it is still a demo's folder, and can be called again."""
    removed = []

    def interrupted(path):
        if removed:
            raise KeyboardInterrupt
        removed.append(path)
        path.unlink()

    with monkeypatch.context() as patch:
        patch.setattr(run, "remove", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_demo(begun, TINY, overwrite=True)
    with pytest.raises(MscsError, match="did not make"):
        run_demo(begun, TINY, overwrite=True)
    assert finished(begun) == {"first_scan", "first_mask", "phantoms"}


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(MscsError, match="not a demo"):
            run_demo(tmp_path, TINY, overwrite=overwrite)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_a_trainer_without_a_length_is_refused(tmp_path):
    with pytest.raises(MscsError, match="MSCSTrainer is no trainer of ours with its length"):
        run_demo(tmp_path, replace(TINY, trainer="MSCSTrainer"))


def test_false_alarms_are_told_and_the_mean_is_the_only_one():
    scores = [Score("a", 0.9, 5, 4), Score("b", 0.7, 2, 2), Score("c", 0.0, 0, 1.25), Score("d", 1.0, 0, 0)]
    without, rule = summary_lines(Result(scores, mean_dice=0.65))
    assert without == "2 of 4 unseen cases without a lesion: false alarm in 1, of at most 1.25 mL"
    assert rule == "In the mean, a false alarm counts as Dice 0, no lesion and none found as 1."


def test_the_bar_of_a_training_begins_where_it_was_interrupted(tmp_path, monkeypatch):
    begun = []

    @contextmanager
    def bar(title, epochs=None, *, begun=0):
        begins.append((title, epochs, begun))
        yield SimpleNamespace(line=None)

    begins: list[tuple] = []
    folder, stages = RunFolder(tmp_path), demo_stages(tmp_path, TINY)
    train = next(stage for stage in stages if stage.training)
    folder.logs.mkdir()
    folder.log("train").write_text("$ nnUNetv2_train 1\nEpoch 0\nEpoch 1\nEpoch 2\n")
    monkeypatch.setattr(run, "command_bar", bar)
    monkeypatch.setattr(run, "run_stage", lambda *words, **others: begun.append(words))
    for what in (RESUMES, NOT_YET):
        monkeypatch.setattr(run, "standing", lambda run, stage, what=what: Standing(stage, what))
        run._run(folder, train, Here(), {}, 6, lambda line: None)
    assert (begins, len(begun)) == ([("train", 6, 2), ("train", 6, 0)], 2)


def test_picture_shows_best_median_worst_and_healthy():
    dice = [0.9, 0.2, 0.7, 1.0, 1.0]
    scores = [Score(f"case_{i}", value, 0 if value == 1 else 5, 1) for i, value in enumerate(dice)]
    assert [(reason, score.case_identifier) for reason, score in cases_to_show(scores)] == [
        ("best", "case_0"),
        ("median", "case_2"),
        ("worst", "case_1"),
        ("no lesion", "case_3"),
    ]
