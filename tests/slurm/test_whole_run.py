"""A run begun on one machine, the rest on a real Slurm, one job requeued and one killed: the same comes out."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from nnunetv2_mscs.pipeline.slurm_queue import SlurmJobState, job_states, read_submission, wait_for_jobs
from nnunetv2_mscs.pipeline.state import Record, State, read_record
from tests.pipeline.whole_runs import ALL_STAGES, BEGUN, MODEL, call, differences, mscs, run_folder, run_words

REQUEUED, KILLED = BEGUN, f"train_{MODEL}_fold1"
SLURM = ("--executor", "slurm", "--slurm", "cpus=1", "memory_gb=4", "time=30")


@pytest.mark.slow
def test_a_run_with_a_requeued_and_a_killed_job_equals_a_local_one(slurm, pasted_run, begun_run, tmp_path):
    source, pasted = pasted_run
    workspace = begun_run()
    run = run_folder(workspace)

    succeed(run_words(source, workspace, executor=SLURM), tmp_path)
    disturb_in_first_epoch(
        run,
        {
            REQUEUED: lambda record: slurm.command("scontrol", "requeue", record.job),
            KILLED: lambda record: os.kill(record.pid, signal.SIGKILL),
        },
    )
    second = call(run_words(source, workspace, executor=SLURM), tmp_path)
    assert second.returncode == 1
    assert "queued or running already" in second.stderr
    assert_status_is_told(workspace, tmp_path)
    left = wait_for_jobs(run, poll_s=1)
    assert job_states(run)[KILLED].state == "FAILED"
    assert left == [KILLED, "best_configuration", "evaluate", "report", "predict", "evaluate_test", "report_test"]

    waited = succeed(run_words(source, workspace, "--wait", executor=SLURM), tmp_path).stdout
    assert [stage for job in read_submission(run)[0] for stage in job.stages] == left
    assert all(f"{stage}: done in " in waited for stage in left)
    assert [read_record(run, stage).state for stage in ALL_STAGES] == [State.DONE] * len(ALL_STAGES)
    assert [read_record(run, stage).attempts for stage in (REQUEUED, KILLED)] == [3, 2]

    assert differences(pasted, workspace) == []


def succeed(words, folder) -> subprocess.CompletedProcess:
    done = call(words, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def assert_status_is_told(workspace, folder) -> None:
    """From the login node, while the jobs are at it: each stage as its job and its record have it."""
    run = run_folder(workspace)
    before = job_states(run), {stage: read_record(run, stage) for stage in ALL_STAGES}
    told = json.loads(succeed(mscs("status", "7", "--workspace", workspace, "--json"), folder).stdout)
    after = job_states(run), {stage: read_record(run, stage) for stage in ALL_STAGES}
    states = {stage["name"]: stage["state"] for stage in told["stages"]}
    assert states[REQUEUED] in ("waiting", "running") or after[1][REQUEUED].state == State.DONE
    assert states[KILLED] in ("interrupted", "running")
    for stage in set(ALL_STAGES) - {KILLED}:
        jobs, records = zip(*((jobs.get(stage), records[stage]) for jobs, records in (before, after)), strict=True)
        if jobs[0] != jobs[1] or records[0] != records[1]:
            continue
        job, record = jobs[0], records[0]
        if record is not None and record.state == State.DONE:
            assert states[stage] == "done"
        elif job.state == "PENDING":
            assert states[stage] in ("waiting", "blocked"), stage
        elif job.state == "RUNNING" and record is not None and record.state == State.RUNNING and stage != REQUEUED:
            assert states[stage] == "running", stage


def disturb_in_first_epoch(run, disturbances: dict[str, Callable[[Record], object]], seconds: float = 240) -> None:
    """Do to each of these trainings what is asked for, as soon as it is in its first epoch."""
    left = dict(disturbances)
    former = run.log(BEGUN).read_text()
    end = time.monotonic() + seconds
    while left:
        assert time.monotonic() < end, f"{sorted(left)} did not begin"
        for stage in list(left):
            log, record = run.log(stage), read_record(run, stage)
            begun = record is not None and record.job and log.is_file()
            if begun and re.search(r"Epoch \d", log.read_text().removeprefix(former)):
                left.pop(stage)(record)
            else:
                state = job_states(run).get(stage, SlurmJobState("", "none"))
                assert state.is_live, (stage, state)
        time.sleep(0.2)
