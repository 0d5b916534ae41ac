"""What is known of a submission without a Slurm, as on a machine that sees only the folder."""

import json
import time

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.cancel import cancel
from nnunetv2_mscs.pipeline.liveness import look_around
from nnunetv2_mscs.pipeline.slurm import check_no_jobs
from nnunetv2_mscs.pipeline.slurm_queue import SlurmJob, job_states, read_submission, write_jobs
from nnunetv2_mscs.pipeline.state import JOBS, Record, RunFolder, State, write_record

SUBMITTED = [SlurmJob("12", ("convert", "plan"), "mscs-a-1"), SlurmJob("13_0", ("train",), "mscs-b-1")]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Whose jobs were submitted to a cluster that is out of reach."""
    monkeypatch.setenv("PATH", str(tmp_path))
    run = RunFolder(tmp_path / "Dataset001_Fake" / "mscs_run")
    run.path.mkdir(parents=True)
    write_jobs(run, SUBMITTED)
    return run


def record(run: RunFolder, stage: str, state: State, job: str, *, hours_later: float = 0.0) -> None:
    write_record(run, Record(stage, state, {}, {}, ended=time.time() + 3600 * hours_later, job=job))


def test_slurm_is_not_asked_about_jobs_that_have_done_their_stages(run):
    for stage, job in (("convert", "12"), ("plan", "12"), ("train", "13_0")):
        record(run, stage, State.DONE, job, hours_later=-1)
    assert {(state.job, state.state) for state in job_states(run).values()} == {
        ("12", "COMPLETED"),
        ("13_0", "COMPLETED"),
    }
    check_no_jobs(run)
    assert cancel(run) == []
    around = look_around(run)
    assert (around.is_alive, around.unasked) == (False, "")


def test_nor_about_what_was_done_elsewhere_since(run):
    for stage in ("convert", "plan", "train"):
        record(run, stage, State.DONE, "", hours_later=1)
    check_no_jobs(run)


@pytest.mark.parametrize(
    ("state", "job", "hours_later"),
    [
        (State.RUNNING, "13_0", 1),
        (State.FAILED, "13_0", 1),
        (State.DONE, "7_0", -1),  # by an earlier job: this one may have to do it again
    ],
)
def test_but_about_all_others(run, state, job, hours_later):
    for stage in ("convert", "plan"):
        record(run, stage, State.DONE, "12")
    record(run, "train", state, job, hours_later=hours_later)
    with pytest.raises(MscsError, match=r"no squeue.*if the jobs are long gone, remove"):
        job_states(run)
    assert "no squeue" in look_around(run).unasked


def test_jobs_without_an_id_are_not_taken_for_what_a_run_on_one_machine_has_done(run):
    write_jobs(run, [SlurmJob("", ("convert",), "mscs-a-2")])
    record(run, "convert", State.DONE, "", hours_later=-1)
    with pytest.raises(MscsError, match="no squeue"):
        job_states(run)


def test_files_of_before_there_were_names_are_read(run):
    old = [{"job": one.job, "stages": list(one.stages)} for one in SUBMITTED]
    (run.path / JOBS).write_text(json.dumps({"submitted": 1.0, "jobs": old}))
    assert [(one.job, one.stages, one.name) for one in read_submission(run)[0]] == [
        ("12", ("convert", "plan"), ""),
        ("13_0", ("train",), ""),
    ]
