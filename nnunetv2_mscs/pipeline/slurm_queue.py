"""The jobs of a run: written down at submission, and asked for from any machine that knows the cluster."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.state import JOBS, RunFolder, State, read_record
from nnunetv2_mscs.workplace.whole_files import write_whole

# States after which Slurm does nothing more for a job; GONE is ours, for one that it no longer knows.
GONE = "GONE"
FAILED_STATES = frozenset(
    ("BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT")
)
ENDED = FAILED_STATES | {"COMPLETED", GONE}
SECONDS_TO_ANSWER = 60


@dataclass(frozen=True)
class SlurmJob:
    """A job, or a task of an array.

    Args:
        job: Slurm's id, such as 12 or 12_3; without the number (empty or _3) until Slurm has given it.
        stages: those that it carries out, in their order.
        name: unique, but for the tasks of its array.
    """

    job: str
    stages: tuple[str, ...]
    name: str = ""

    @property
    def has_id(self) -> bool:
        return self.job[:1].isdigit()


@dataclass(frozen=True)
class SlurmJobState:
    """What Slurm says of the job that carries out a stage.

    Args:
        job: Slurm's id.
        state: in Slurm's words, such as PENDING; GONE if it no longer knows the job.
        reason: why it waits or has failed, in Slurm's words; may be empty.
        node: where it runs or ran; may be empty.
    """

    job: str
    state: str
    reason: str = ""
    node: str = ""

    @property
    def is_live(self) -> bool:
        """Whether it waits, runs, or will do so."""
        return self.state not in ENDED


def write_jobs(run: RunFolder, jobs: Sequence[SlurmJob]) -> None:
    """Keep what is or will be submitted, instead of what was kept before."""
    listed = [{"job": one.job, "stages": list(one.stages), "name": one.name} for one in jobs]
    write_whole(run.path / JOBS, json.dumps({"submitted": time.time(), "jobs": listed}, indent=1) + "\n")


def read_submission(run: RunFolder) -> tuple[list[SlurmJob], float]:
    """The jobs of the last submission, none if there was none, and when it was made."""
    file = run.path / JOBS
    try:
        content = json.loads(file.read_text())
        jobs = [SlurmJob(one["job"], tuple(one["stages"]), one.get("name", "")) for one in content["jobs"]]
        return jobs, float(content["submitted"])
    except FileNotFoundError:
        return [], 0.0
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MscsError(f"{file} cannot be read: {error}.", "See with squeue what runs, and remove the file.") from None


def job_states(run: RunFolder) -> dict[str, SlurmJobState]:
    """The state of the job of every stage that was submitted last; asks the queue, then the accounting if there is any.

    Slurm is asked only about jobs with stages that have not been done since. The ids of jobs may be
    missing after an interrupted submission; jobs that Slurm does not know by their names either are left out.

    Raises:
        MscsError: there may be jobs, and Slurm cannot be asked.
    """
    jobs, submitted = read_submission(run)
    known = {one: SlurmJobState(one.job, "COMPLETED") for one in jobs if _is_through(run, one, submitted)}
    if asked := [one for one in jobs if one not in known]:
        if shutil.which("squeue") is None:
            raise MscsError(
                "Jobs of this run were given to a cluster that is out of reach from here: there is no squeue.",
                f"Do this on its login node; if the jobs are long gone, remove {run.path / JOBS}.",
            )
        known |= _by_id([one for one in asked if one.has_id])
        known |= _by_name([one for one in asked if not one.has_id])
    return {stage: known[one] for one in jobs if one in known for stage in one.stages}


def _is_through(run: RunFolder, job: SlurmJob, submitted: float) -> bool:
    """Whether all of a job's stages were completed by the job, or by anybody since it was submitted."""
    records = [read_record(run, stage) for stage in job.stages]
    return all(
        record is not None
        and record.state == State.DONE
        and ((job.has_id and record.job == job.job) or (record.ended or 0.0) > submitted)
        for record in records
    )


def live_jobs(run: RunFolder) -> list[str]:
    """The ids of the jobs that wait or run. Raises MscsError as `job_states`."""
    return list(dict.fromkeys(state.job for state in job_states(run).values() if state.is_live))


def cancel_jobs(run: RunFolder) -> list[str]:
    """Cancel the jobs that wait or run; returns their ids. Raises MscsError if Slurm cannot be asked, or refuses."""
    jobs = live_jobs(run)
    if jobs:
        ask("scancel", *jobs)
    return jobs


def ask(*words: str) -> str:
    """What one of Slurm's commands prints.

    Raises:
        MscsError: it is not there, fails, or does not answer.
    """
    if shutil.which(words[0]) is None:
        raise MscsError(f"There is no {words[0]} on this machine.", "Do this on the cluster's login node.")
    try:
        asked = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS_TO_ANSWER)
    except subprocess.TimeoutExpired:
        raise MscsError(f"{words[0]} has not answered for {SECONDS_TO_ANSWER} s.", "Try again later.") from None
    if asked.returncode != 0:
        raise MscsError(f"{words[0]} failed: {asked.stderr.strip()}.", "Does the cluster answer to sinfo?")
    return asked.stdout


def _by_id(jobs: Sequence[SlurmJob]) -> dict[SlurmJob, SlurmJobState]:
    ids = [one.job for one in jobs]
    known = {state.job: state for _, state in _in_queue(f"--jobs={','.join(ids)}") if state.job in ids} if ids else {}
    if forgotten := [job for job in ids if job not in known]:
        known |= _in_accounting(forgotten)
    return {one: known.get(one.job, SlurmJobState(one.job, GONE)) for one in jobs}


def _by_name(jobs: Sequence[SlurmJob]) -> dict[SlurmJob, SlurmJobState]:
    names = ",".join(dict.fromkeys(one.name for one in jobs))
    listed = _in_queue(f"--name={names}") if names else []
    return {
        one: state
        for one in jobs
        for name, state in listed
        if (name, state.job.lstrip("0123456789")) == (one.name, one.job)
    }


def _in_queue(which: str) -> list[tuple[str, SlurmJobState]]:
    """What the controller knows, by the jobs' names: live jobs, and for some minutes those that have ended."""
    try:
        listed = ask("squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%N|%j", which)
    except MscsError as error:
        if "Invalid job id" in error.finding:
            return []
        raise
    lines = [line.split("|", 4) for line in listed.splitlines() if line.count("|") >= 4]
    return [(name, SlurmJobState(*fields)) for *fields, name in lines]


def _in_accounting(jobs: Sequence[str]) -> dict[str, SlurmJobState]:
    """What the accounting remembers, on clusters that have one."""
    try:
        listed = ask(
            *("sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State,NodeList"),
            f"--jobs={','.join(jobs)}",
        )
    except MscsError:
        return {}
    found = {}
    for line in listed.splitlines():
        job, state, node = line.split("|", 2)
        if job in jobs:
            found[job] = SlurmJobState(job, state.split()[0], node=node)  # such as "CANCELLED by 1000"
    return found


POLL_S = 10.0


def wait_for_jobs(run: RunFolder, say: Callable[[str], None] = print, *, poll_s: float = POLL_S) -> list[str]:
    """Wait until no job of the run waits or runs, and print every change; returns the stages that are not done then.

    A cluster that does not answer is asked again.

    Raises:
        MscsError: it did not answer ten times in a row.
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
