"""A run in small on a real Slurm: order, places, requeueing, failing, cancelling."""

import functools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline import slurm as slurm_room
from nnunetv2_mscs.pipeline.cancel import cancel
from nnunetv2_mscs.pipeline.liveness import life_of, look_around
from nnunetv2_mscs.pipeline.slurm import check_no_jobs, submit
from nnunetv2_mscs.pipeline.slurm_options import SlurmOptions, TimeLimit
from nnunetv2_mscs.pipeline.slurm_queue import cancel_jobs, job_states, live_jobs, read_submission, write_jobs
from nnunetv2_mscs.pipeline.stage import Stage
from nnunetv2_mscs.pipeline.standing import DONE, standings
from nnunetv2_mscs.pipeline.state import RunFolder, State, read_record
from nnunetv2_mscs.workplace.leftovers import marked, processes_with
from tests.slurm.fake_stages import STEPS, cascade, fake_stages, long_stages, two_models

PROJECT = Path(__file__).resolve().parents[2]
OPTIONS = SlurmOptions(time="10", cpus=1, memory_gb=1)


class FakeRun:
    """A run of `fake_stages` in a folder of its own."""

    def __init__(self, folder: Path, steps: int, stages: Callable[[Path, int], dict[str, Stage]] = fake_stages):
        self.folder = RunFolder(folder / "Dataset001_Fake" / "mscs_run")
        self.files = folder
        self.build = functools.partial(stages, folder, steps)

    def submit(self, options: SlurmOptions = OPTIONS) -> None:
        left = [name for name, one in standings(self.folder, self.build()).items() if one.what != DONE]
        submit(self.folder, self.build, left, options, environment={"FAKE": "yes"}, device="cuda")

    def job_of(self, stage: str) -> str:
        return next(one.job for one in read_submission(self.folder)[0] if stage in one.stages)

    def wait(self, seconds: float = 900) -> None:
        end = time.monotonic() + seconds
        while live_jobs(self.folder):
            assert time.monotonic() < end, job_states(self.folder)
            time.sleep(0.2)

    def wait_for_steps(self, fold: int, steps: int) -> None:
        end = time.monotonic() + 600
        while self.steps(fold) < steps:
            assert time.monotonic() < end, job_states(self.folder)
            time.sleep(0.05)

    def steps(self, fold: int) -> int:
        file = self.files / f"fold_{fold}" / "steps"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def starts(self, fold: int) -> int:
        return len((self.files / f"fold_{fold}" / "steps.starts").read_text().splitlines())

    def states(self) -> dict[str, State | None]:
        records = {name: read_record(self.folder, name) for name in self.build()}
        return {name: record.state if record else None for name, record in records.items()}

    def is_interrupted(self, stage: str) -> bool:
        """As `mscs status` judges it; Slurm kills a job that was too slow to write so in its record."""
        record = read_record(self.folder, stage)
        if record.state == State.RUNNING:
            return life_of(self.folder, record, look_around(self.folder)).lives is False
        return record.state == State.INTERRUPTED

    def assert_complete(self) -> None:
        assert set(self.states().values()) == {State.DONE}
        for fold in range(3):
            lines = (self.files / f"fold_{fold}" / "steps").read_text().split()
            assert lines == [str(step) for step in range(len(lines))]


@pytest.fixture
def fake_run(slurm, tmp_path, monkeypatch):
    """Begins a run of so many steps a training; the jobs find this module's stages."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    return functools.partial(FakeRun, tmp_path)


def test_a_run_goes_from_end_to_end_with_a_gpu_a_fold(fake_run):
    run = fake_run(STEPS)
    run.submit()
    with pytest.raises(MscsError, match="queued or running already"):
        run.submit()
    run.wait()
    run.assert_complete()
    records = {name: read_record(run.folder, name) for name in run.build()}
    trainings = [records[f"train_fold{fold}"] for fold in range(3)]
    assert {record.gpus for record in trainings} == {"0", "1"}
    first, second, third = sorted(trainings, key=lambda record: record.began)
    assert second.began < first.ended, "two GPUs, two trainings at a time"
    assert first.gpus != second.gpus
    assert third.began >= min(first.ended, second.ended), "no GPU for two"
    assert records["convert"].gpus is None
    assert [records[name].job for name in run.build()] == [run.job_of(name) for name in run.build()]
    assert (run.files / "predict").read_text() == "cuda 1"
    assert (run.files / "evaluate").read_text() == "cpu 1"


def test_a_training_put_back_by_slurm_goes_on_and_the_others_wait_for_it(fake_run, slurm):
    run = fake_run(STEPS)
    run.submit()
    run.wait_for_steps(1, 4)
    slurm.command("scontrol", "requeue", run.job_of("train_fold1"))
    run.wait()
    run.assert_complete()
    assert [run.starts(fold) for fold in range(3)] == [1, 2, 1]


@pytest.mark.parametrize("told_by", ["USR2", "TERM"])
def test_a_job_told_that_it_has_to_go_puts_itself_back(fake_run, slurm, told_by):
    """USR2 as before the end of its time, SIGTERM as before preemption."""
    run = fake_run(STEPS)
    run.submit()
    run.wait_for_steps(0, 4)
    whole = ["--batch"] if told_by == "USR2" else ["--full"]
    slurm.command("scancel", f"--signal={told_by}", *whole, run.job_of("train_fold0"))
    run.wait()
    run.assert_complete()
    assert [run.starts(fold) for fold in range(3)] == [2, 1, 1]


def test_a_killed_job_fails_what_comes_after_it_and_the_next_submission_does_the_rest(fake_run, slurm):
    run = fake_run(STEPS)
    run.submit()
    run.wait_for_steps(2, 4)
    os.kill(read_record(run.folder, "train_fold2").pid, signal.SIGKILL)
    run.wait()
    states = job_states(run.folder)
    assert states["train_fold2"].state == "FAILED"
    assert states["train_fold1"].state == "COMPLETED"
    assert states["predict"].state == "CANCELLED"
    assert run.states()["best_configuration"] is None
    run.submit()
    assert [one.stages for one in read_submission(run.folder)[0]] == [
        ("train_fold2",),
        ("best_configuration",),
        ("predict",),
        ("evaluate",),
    ]
    run.wait()
    run.assert_complete()
    assert [run.starts(fold) for fold in range(3)] == [1, 1, 2]


def test_cancelling_ends_all_of_it(fake_run):
    run = fake_run(1000)
    run.submit()
    run.wait_for_steps(0, 1)
    jobs = {one.job for one in read_submission(run.folder)[0]} - {run.job_of("convert")}
    assert set(cancel_jobs(run.folder)) == jobs
    run.wait()
    assert not processes_with(marked(run.folder.path))
    states = run.states()
    assert states["convert"] == State.DONE
    assert run.is_interrupted("train_fold0")
    assert cancel_jobs(run.folder) == []


def test_slurm_refuses_and_nothing_is_left_in_the_queue(fake_run, slurm):
    run = fake_run(STEPS)
    with pytest.raises(MscsError, match="Invalid partition"):
        run.submit(SlurmOptions(partition="nowhere", cpu_partition="main", cpus=1))
    run.wait()
    assert not (run.files / "predict").exists()


@pytest.mark.parametrize(
    ("killed_after", "known"),
    [(1, ["convert", "preprocess"]), (2, ["convert", "preprocess", "train_fold0", "train_fold1", "train_fold2"])],
)
def test_jobs_of_a_submission_that_was_killed_are_found_and_cancelled(fake_run, killed_after, known):
    """Killed once Slurm has taken so many jobs, before their ids are on disk."""
    run = fake_run(STEPS)
    held = SlurmOptions(time="10", cpus=1, memory_gb=1, extra=("--hold",))
    process = multiprocessing.get_context("fork").Process(target=submit_killed, args=(run, held, killed_after))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    states = job_states(run.folder)
    assert list(states) == known
    assert {state.state for state in states.values()} == {"PENDING"}
    with pytest.raises(MscsError, match=f"Jobs {states['convert'].job}.* queued or running already"):
        check_no_jobs(run.folder)
    with pytest.raises(MscsError, match="queued or running already"):
        run.submit()
    jobs = list(dict.fromkeys(state.job for state in states.values()))
    assert cancel(run.folder) == [f"cancelled Slurm's {'job' if len(jobs) == 1 else 'jobs'} {', '.join(jobs)}"]
    run.wait()
    run.submit()
    run.wait()
    run.assert_complete()


def submit_killed(run: FakeRun, options: SlurmOptions, killed_after: int) -> None:
    writes = 0

    def write_or_die(*arguments) -> None:
        nonlocal writes
        writes += 1
        if writes > killed_after:
            os.kill(os.getpid(), signal.SIGKILL)
        write_jobs(*arguments)

    slurm_room.write_jobs = write_or_die
    run.submit(options)


def test_a_failed_rival_stops_nothing_of_ours(fake_run):
    run = fake_run(STEPS, two_models)
    run.submit()
    run.wait()
    done = {"convert", "train_fold0", "best_configuration", "predict"}
    assert {name for name, state in run.states().items() if state == State.DONE} == done
    assert run.states()["train_fold1"] == State.FAILED
    assert job_states(run.folder)["evaluate"].state == "CANCELLED"


def test_a_failed_training_stops_those_after_it_and_no_others(fake_run):
    run = fake_run(STEPS, cascade)
    run.submit()
    assert run.job_of("train_fold0").endswith("_0"), "one array"
    run.wait()
    assert run.states()["train_fold1"] == State.FAILED
    assert run.states()["train_fold2"] == State.DONE


def test_of_two_models_no_more_are_trained_at_a_time_than_asked(fake_run, slurm):
    run = fake_run(STEPS, two_models)
    run.submit(SlurmOptions(time="10", cpus=1, memory_gb=1, parallel=1, extra=("--hold",)))
    ours, rival = run.job_of("train_fold0"), run.job_of("train_fold1")
    told = slurm.command("squeue", "--noheader", "--format=%E", f"--jobs={rival}")
    assert f"afterany:{ours}" in told
    cancel_jobs(run.folder)


def test_slurms_time_limit_puts_a_training_back_and_fails_what_cannot_go_on(fake_run, monkeypatch):
    """The limit is a minute, the shortest that there is; the warning comes after 10 to 40 seconds of it."""
    monkeypatch.setattr(TimeLimit, "check", lambda self: None)
    run = fake_run(250, long_stages)
    run.submit(SlurmOptions(time="1", cpus=1, memory_gb=1, extra=("--signal=B:USR2@20",)))
    run.wait()
    assert run.states() == {"train_fold0": State.DONE, "predict": State.FAILED}
    assert run.starts(0) > 1
    assert (run.files / "fold_0" / "steps").read_text().split() == [str(step) for step in range(250)]
    record = read_record(run.folder, "predict")
    assert "predict did not end within a job's time of 1 minutes. Give more: --slurm time=" in record.error
    assert record.attempts == 1
    assert job_states(run.folder)["predict"].state == "FAILED"
