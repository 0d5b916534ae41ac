"""Wait for the jobs of a run, and say what becomes of them."""

import time
from collections.abc import Callable

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.executors.slurm.queue import SlurmJobState, job_states
from nnunetv2_mscs.pipeline.state.records import State, read_record
from nnunetv2_mscs.pipeline.state.run_folder import RunFolder

POLL_S = 10.0


def wait_for_jobs(run: RunFolder, say: Callable[[str], None] = print, *, poll_s: float = POLL_S) -> list[str]:
    """Wait until no job of the run waits or runs, telling every change; returns the stages that are not done then.

    A cluster that does not answer for a while is asked again.

    Raises:
        MscsError: it has not answered ten times in a row.
    """
    told: dict[str, str] = {}
    silent = 0
    while True:
        try:
            states = job_states(run)
            silent = 0
        except MscsError:
            silent += 1
            if silent == 10:
                raise
            time.sleep(poll_s)
            continue
        for stage, state in states.items():
            if told.get(stage) != (line := _line(run, stage, state)):
                told[stage] = line
                say(line)
        if not any(state.is_live for state in states.values()):
            return [stage for stage in states if not _is_done(run, stage)]
        time.sleep(poll_s)


def _line(run: RunFolder, stage: str, state: SlurmJobState) -> str:
    """What the stage's own record says, once its job has written one; else what Slurm says of the job."""
    record = read_record(run, stage)
    if record is not None and record.job == state.job:
        if record.state == State.DONE:
            return f"{stage}: done in {record.seconds:.0f} s"
        if record.state == State.FAILED and not state.is_live:
            return f"{stage}: failed: {record.error}"
        if record.state == State.RUNNING and state.state == "RUNNING":
            return f"{stage}: job {state.job} running on {record.host}"
    word = state.state.lower().replace("_", " ")
    if word == "running":
        word = "waiting for its turn"
    where = f" on {state.node}" if state.node else ""
    why = f" ({state.reason})" if state.reason not in ("", "None") else ""
    return f"{stage}: job {state.job} {word}{where}{why}"


def _is_done(run: RunFolder, stage: str) -> bool:
    record = read_record(run, stage)
    return record is not None and record.state == State.DONE
