import dataclasses
import io
import os
import re
import threading
import time
from pathlib import Path

import pytest

from nnunetv2_mscs.pipeline import view
from nnunetv2_mscs.pipeline.logs import TrainingProgress
from nnunetv2_mscs.pipeline.remedies import CAUSES
from nnunetv2_mscs.pipeline.state import RunFolder
from nnunetv2_mscs.pipeline.status import RunStatus, StageStatus
from nnunetv2_mscs.pipeline.view import details, duration, live_view, table

PROGRESS = TrainingProgress(1000, 36, pseudo_dice=0.7123, seconds_per_epoch=34.2, epochs_end=time.time() + 3600)
STAGES = (
    StageStatus("convert", "convert", "done", seconds=12),
    StageStatus("fingerprint", "fingerprint", "done", seconds=75),
    *(StageStatus(f"train_{fold}", f"train MSCSTrainer 3d_fullres fold {fold}", "done") for fold in range(3)),
    StageStatus(
        "train_3",
        "train MSCSTrainer 3d_fullres fold 3",
        "running",
        seconds=5000,
        host="gpu-node-017.cluster.example.org",
        gpus="3",
        progress=PROGRESS,
    ),
    StageStatus(
        "train_4",
        "train MSCSTrainer 3d_fullres fold 4",
        "failed",
        error="nnUNetv2_train 1 exited with 1:\n  more",
        last_lines=("$ nnUNetv2_train 1", "CUDA out of memory"),
        remedies=(CAUSES[0],),
        log=Path("/run/logs/train_4.log"),
    ),
    StageStatus("report", "report", "blocked", reason="train MSCSTrainer 3d_fullres fold 4 failed"),
)
STATUS = RunStatus("Dataset001_Stroke", Path("/run"), {}, "local", "running", STAGES, False, time.time() + 7200)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def _screen(written):
    """What a terminal shows after it was written to: lines, with the cursor moved up and the rest cleared."""
    lines = [""]
    for part in re.split(r"(\x1b\[\??\d*[A-Za-z]|\n)", written):
        if match := re.fullmatch(r"\x1b\[(\d+)F", part):
            del lines[len(lines) - int(match[1]) :]
            lines[-1] = ""
        elif part == "\n":
            lines.append("")
        elif not part.startswith("\x1b"):
            lines[-1] += part
    return [line for line in lines if line]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(width):
    lines = table(STATUS, width=width).splitlines()

    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines if line[0] != " " and "trainings" not in line][-8:] == [
        stage.state for stage in STAGES
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_every_figure_is_whole(width):
    """As `mscs status --watch` shows it: all that the widest table has but names, of a machine and of trainings."""
    progress = dataclasses.replace(PROGRESS, epochs_end=time.time() + 300_000, steps=(41, 250), skipped_steps=17)
    counted = StageStatus("predict", "predict test cases", "running", seconds=90_000, counted=(123, 456), attempts=12)
    stages = (*(dataclasses.replace(stage, progress=stage.progress and progress) for stage in STAGES), counted)
    status = dataclasses.replace(STATUS, stages=stages)
    shown = " ".join(table(status, width=width - 1).split())
    widest = table(status, width=1000)
    figures = [word for word in widest.split() if re.search(r"\d", word) and not re.match("Dataset|gpu-|3d_", word)]
    assert len(figures) > 20
    assert [word for word in figures if word not in shown.split()] == []


def test_a_wide_table_tells_all():
    lines = table(STATUS, width=200).splitlines()

    assert "Dataset001_Stroke: running, 5 of 8 stages done, 1 failed, trainings end about" in lines[0]
    row = next(line for line in lines if "fold 3" in line)
    assert re.search(
        r"epoch 37/1000, pseudo Dice 0\.71, 34\.2 s/epoch, ends \d\d:\d\d +1 h 23 min +gpu-node-0.*GPU 3", row
    )
    assert "\x1b" not in table(STATUS, width=200)


def test_a_training_that_began_anew_says_its_start():
    progress = dataclasses.replace(PROGRESS, start=(2, 3))
    running, stood = (
        StageStatus("train_0", "train fold 0", state, progress=progress) for state in ("running", "interrupted")
    )
    lines = table(dataclasses.replace(STATUS, stages=(running, stood)), width=200).splitlines()

    assert "start 2 of 3" in lines[2]
    assert "stopped in epoch 37; start 2 of 3" in lines[3]
    assert "start" not in table(STATUS, width=200)


def test_shortened_names_keep_both_ends():
    row = next(line for line in table(STATUS, width=60).splitlines() if line.startswith("failed"))

    assert "train M" in row
    assert "fold 4" in row


def test_stages_that_need_no_look_share_a_line_where_there_is_no_room():
    lines = table(STATUS, width=120, height=8).splitlines()

    assert len(lines) <= 8
    assert any(re.match(r"done +5 stages +convert to", line) for line in lines)
    assert any(line.startswith("running") for line in lines)
    assert len(table(STATUS, width=120, height=5).splitlines()) <= 5


def test_colours_do_not_change_what_is_said():
    coloured = table(STATUS, width=120, colours=True)

    assert coloured != table(STATUS, width=120)
    assert re.sub(r"\x1b\[\d+m", "", coloured) == table(STATUS, width=120)


def test_details_tell_the_error_its_lines_and_the_remedy():
    text = details(STATUS)

    assert "exited with 1\n  | CUDA out of memory\n" in text
    assert CAUSES[0].remedy in text
    assert "/run/logs/train_4.log" in text
    assert "$ nnUNetv2_train" not in text


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59, "59 s"), (3599, "59 min"), (3600, "1 h 0 min"), (200_000, "2 d 7 h")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def _view(monkeypatch, statuses, stream, **options):
    shown = iter(statuses)
    monkeypatch.setattr(view, "INTERVAL_S", 0.01)
    monkeypatch.setattr(view, "_status", lambda run: next(shown, statuses[-1]))
    stop = threading.Event()
    thread = threading.Thread(target=live_view, args=(RunFolder(Path("/run")), stop, stream), kwargs=options)
    thread.start()
    time.sleep(0.2)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    return stream.getvalue()


def _with_stages(count, state="running"):
    return RunStatus("Dataset001_Stroke", Path("/run"), {}, "local", state, STAGES[:count], False)


def test_the_live_table_stands_in_its_place(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    written = _view(monkeypatch, [None, _with_stages(3), _with_stages(8), _with_stages(4)], Terminal())

    assert _screen(written) == table(_with_stages(4), width=119).splitlines()
    assert written.count("\x1b[?25l") > 3
    assert written.endswith("\x1b[?25h")


def test_the_live_table_ends_with_the_run(monkeypatch):
    monkeypatch.setattr(view, "INTERVAL_S", 0.01)
    monkeypatch.setattr(view, "_status", lambda run: _with_stages(3, "done"))

    shown = Terminal()
    live_view(RunFolder(Path("/run")), threading.Event(), shown, until_end=True)

    assert _screen(shown.getvalue()) == table(_with_stages(3, "done"), width=119).splitlines()


def test_where_nobody_watches_only_changes_are_told(monkeypatch):
    written = _view(monkeypatch, [_with_stages(3), _with_stages(3), _with_stages(4)], io.StringIO())

    assert written.count("Dataset001_Stroke") == 2
    assert "\x1b" not in written


def test_a_real_run_is_shown_from_its_folder(tmp_path):
    stop = threading.Event()
    stop.set()
    stream = io.StringIO()
    live_view(RunFolder(tmp_path / "nothing"), stop, stream)

    assert stream.getvalue() == ""
    assert not os.listdir(tmp_path)
