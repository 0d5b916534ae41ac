"""A run in small on a real Slurm: order, places, requeueing, failing, cancelling."""

import functools
import os
import signal
import time
from pathlib import Path

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.executors.slurm import SlurmOptions, job_states, live_jobs, submit
from nnunetv2_mscs.pipeline.executors.slurm.queue import cancel_jobs, read_jobs
from nnunetv2_mscs.pipeline.leftovers import processes_of
from nnunetv2_mscs.pipeline.state.records import State, read_record
from nnunetv2_mscs.pipeline.state.run_folder import RunFolder
from nnunetv2_mscs.pipeline.state.standing import DONE, standings
from tests.slurm.fake_stages import STEPS, fake_stages

PROJECT = Path(__file__).resolve().parents[2]
OPTIONS = SlurmOptions(time="10", cpus=1, memory_gb=1)


class FakeRun:
    """A run of `fake_stages` in a folder of its own."""

    def __init__(self, folder: Path, steps: int):
        self.folder = RunFolder(folder / "Dataset001_Fake" / "mscs_run")
        self.files = folder
        self.build = functools.partial(fake_stages, folder, steps)

    def submit(self, options: SlurmOptions = OPTIONS) -> None:
        left = [name for name, one in standings(self.folder, self.build()).items() if one.what != DONE]
        submit(self.folder, self.build, left, options, environment={"FAKE": "yes"}, device="cuda")

    def job_of(self, stage: str) -> str:
        return next(one.job for one in read_jobs(self.folder) if stage in one.stages)

    def wait(self, seconds: float = 90) -> None:
        end = time.monotonic() + seconds
        while live_jobs(self.folder):
            assert time.monotonic() < end, job_states(self.folder)
            time.sleep(0.2)

    def wait_for_steps(self, fold: int, steps: int) -> None:
        end = time.monotonic() + 30
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
    assert [one.stages for one in read_jobs(run.folder)] == [
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
    jobs = {one.job for one in read_jobs(run.folder)} - {run.job_of("convert")}
    assert set(cancel_jobs(run.folder)) == jobs
    run.wait(20)
    assert not processes_of(run.folder.path)
    states = run.states()
    assert states["convert"] == State.DONE
    assert states["train_fold0"] == State.INTERRUPTED
    assert cancel_jobs(run.folder) == []


def test_slurm_refuses_and_nothing_is_left_in_the_queue(fake_run, slurm):
    run = fake_run(STEPS)
    with pytest.raises(MscsError, match="Invalid partition"):
        run.submit(SlurmOptions(partition="nowhere", cpu_partition="main", cpus=1))
    run.wait(20)
    assert not (run.files / "predict").exists()
