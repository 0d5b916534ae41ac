"""A job's work in this process, without a Slurm: what a warning makes of it, and how far a failed stage reaches."""

import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline import slurm_job as job
from nnunetv2_mscs.pipeline.slurm_job import OutOfTime, StagesJob
from nnunetv2_mscs.pipeline.slurm_options import TimeLimit
from nnunetv2_mscs.pipeline.stage import Stage
from nnunetv2_mscs.pipeline.state import RunFolder, State, read_record
from tests.pipeline.small_stages import by_name, writing_stage

LIMIT = TimeLimit(10, 120)
IN_TIME_S, AT_THE_END_S = 200.0, 450.0
FAILS = "import sys; sys.exit(3)"
# Says that it is at work, and then goes on for longer than any test.
WORKS = "import sys, time; print('at work', flush=True); time.sleep(60)"
# As a training that saves its last checkpoint and validates then.
TRAINS = """
import sys, time
print("begins", flush=True)
time.sleep(1)
open(sys.argv[-3], "w").write("final")
print("at work", flush=True)
time.sleep(60)
"""


class PutBack(BaseException):
    """As submitit ends a process that it has requeued."""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    (tmp_path / "run").mkdir()
    yield RunFolder(tmp_path / "run")
    for number, handler in before.items():
        signal.signal(number, handler)


def begin(run: RunFolder, stages: Mapping[str, Stage], told: str = "", by: signal.Signals = signal.SIGUSR2) -> None:
    """Carry a job out, with submitit's part of it; `told` is the stage that is at work when a signal comes."""
    work = StagesJob(run, lambda: stages, tuple(stages), {}, "cpu", 1, LIMIT)

    def on_warning(*_: object) -> None:
        work.checkpoint()
        raise PutBack

    signal.signal(signal.SIGUSR2, on_warning)
    over = threading.Event()
    if told:
        run.log(told).unlink(missing_ok=True)
        threading.Thread(target=warn, args=(run.log(told), over, by), daemon=True).start()
    try:
        work()
    finally:
        over.set()


def warn(log: Path, over: threading.Event, by: signal.Signals) -> None:
    while not over.wait(0.1):
        if log.exists() and log.read_text().endswith("at work\n"):
            over.wait(0.5)
            os.kill(os.getpid(), by)
            return


def elapsed(monkeypatch, seconds: float) -> None:
    monkeypatch.setattr(job, "seconds_since_start", lambda: seconds)


def state(run: RunFolder, stage: str) -> State:
    record = read_record(run, stage)
    assert record is not None
    return record.state


def test_a_stage_that_cannot_go_on_fails_at_the_end_of_a_jobs_time(run, tmp_path, monkeypatch):
    elapsed(monkeypatch, AT_THE_END_S)
    done = writing_stage(tmp_path, "done")
    begin(run, by_name(done))
    stages = by_name(done, writing_stage(tmp_path, "a", done, code=WORKS))
    with pytest.raises(OutOfTime, match=r"a did not end within a job's time of 10 minutes\. Give more: --slurm time="):
        begin(run, stages, told="a")
    record = read_record(run, "a")
    assert record.state == State.FAILED
    assert "did not end within a job's time of 10 minutes" in record.error


def test_it_is_put_back_when_its_job_is_preempted(run, tmp_path, monkeypatch):
    elapsed(monkeypatch, IN_TIME_S)
    for _ in range(2):
        with pytest.raises(PutBack):
            begin(run, by_name(writing_stage(tmp_path, "a", code=WORKS)), told="a")
        assert state(run, "a") == State.INTERRUPTED


def test_sigterm_of_a_running_job_is_no_matter_of_time(run, tmp_path, monkeypatch):
    elapsed(monkeypatch, AT_THE_END_S)
    monkeypatch.setattr(job, "_is_running", lambda _: True)
    with pytest.raises(PutBack):
        begin(run, by_name(writing_stage(tmp_path, "a", code=WORKS)), told="a", by=signal.SIGTERM)


def test_a_stage_begun_in_the_middle_of_a_job_gets_a_whole_one(run, tmp_path, monkeypatch):
    elapsed(monkeypatch, AT_THE_END_S)
    first = writing_stage(tmp_path, "first")
    stages = by_name(first, writing_stage(tmp_path, "second", first, code=WORKS))
    with pytest.raises(PutBack):
        begin(run, stages, told="second")
    assert (state(run, "first"), state(run, "second")) == (State.DONE, State.INTERRUPTED)
    with pytest.raises(OutOfTime):
        begin(run, stages, told="second")


def test_what_has_failed_does_not_keep_another_stage_going_for_ever(run, tmp_path, monkeypatch):
    elapsed(monkeypatch, AT_THE_END_S)
    stages = by_name(writing_stage(tmp_path, "fails", code=FAILS), writing_stage(tmp_path, "a", code=WORKS))
    with pytest.raises(OutOfTime):
        begin(run, stages, told="a")


def training(tmp_path: Path, code: str) -> dict[str, Stage]:
    """Of which the validation is left once its checkpoint is there."""
    return by_name(writing_stage(tmp_path, "t", code=code, trains=True))


def test_trainings_go_on_as_often_as_needed_but_their_validation_has_one_job(run, tmp_path, monkeypatch):
    elapsed(monkeypatch, AT_THE_END_S)
    for code in (WORKS, WORKS, TRAINS):
        with pytest.raises(PutBack):
            begin(run, training(tmp_path, code), told="t")
        assert state(run, "t") == State.INTERRUPTED
    with pytest.raises(OutOfTime):
        begin(run, training(tmp_path, TRAINS), told="t")
    assert state(run, "t") == State.FAILED


def test_a_training_begun_anew_has_more_than_its_validation_left(run, tmp_path, monkeypatch):
    elapsed(monkeypatch, AT_THE_END_S)
    (tmp_path / "t.txt").write_text("of another")
    with pytest.raises(PutBack):
        begin(run, training(tmp_path, WORKS), told="t")


def test_a_failed_stage_stops_those_after_it_and_no_others_of_its_job(run, tmp_path):
    fails = writing_stage(tmp_path, "fails", code=FAILS)
    after = writing_stage(tmp_path, "after", fails)
    stages = by_name(fails, after, writing_stage(tmp_path, "last", after), writing_stage(tmp_path, "other"))
    with pytest.raises(MscsError, match="exited with 3"):
        begin(run, stages)
    assert (state(run, "fails"), state(run, "other")) == (State.FAILED, State.DONE)
    assert read_record(run, "after") is None
    assert read_record(run, "last") is None


def test_a_process_knows_since_when_its_job_runs():
    assert 0 < job.seconds_since_start() < 24 * 3600
