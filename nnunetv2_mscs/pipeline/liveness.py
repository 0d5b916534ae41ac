"""Whether what a record calls running really runs: by locks that are held, living processes, jobs in the queue."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.state import JOBS, Record, RunFolder
from nnunetv2_mscs.workplace.leftovers import LOCK, processes_with
from nnunetv2_mscs.workplace.locks import holder_of, is_held

if TYPE_CHECKING:
    from nnunetv2_mscs.pipeline.slurm_queue import SlurmJobState


@dataclass(frozen=True)
class Surroundings:
    """What is at work for a run, besides what its records say.

    Args:
        holder: how the process that holds the run's folder describes itself; empty if none does.
        jobs: stage -> state of its job in the last submission to Slurm.
        unasked: why Slurm could not be asked; empty if it could, or there was no need.
    """

    holder: str = ""
    jobs: "Mapping[str, SlurmJobState]" = field(default_factory=dict)
    unasked: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether anything of the run may be at work or waits in a queue."""
        return bool(self.holder or self.unasked or any(job.is_live for job in self.jobs.values()))

    def will_begin(self, record: Record) -> bool:
        """Whether what is at work now will still carry out a stage that is not done."""
        job = self.jobs.get(record.stage)
        return job.is_live if job else bool(self.holder) and not self.holds(record)

    def holds(self, record: Record) -> bool:
        """Whether the process that the record names is the one that holds the run's folder."""
        return self.holder.startswith(f"Process {record.pid} on {record.host} ")

    def job_words(self, stage: str) -> str:
        """A stage's job in words; empty without one that waits or runs."""
        job = self.jobs.get(stage)
        if job is None or not job.is_live:
            return ""
        reason = f" ({job.reason})" if job.reason not in ("", "None") else ""
        return f"job {job.job} {job.state.lower()}{reason}"


def look_around(run: RunFolder) -> Surroundings:
    """What is at work for a run now. Call it before reading the records: they show what begins later."""
    lock = run.path / LOCK
    holder = holder_of(lock) if is_held(lock) else ""
    if not (run.path / JOBS).is_file():
        return Surroundings(holder)
    from nnunetv2_mscs.pipeline.slurm_queue import job_states

    try:
        return Surroundings(holder, job_states(run))
    except MscsError as error:
        return Surroundings(holder, unasked=error.finding)


@dataclass(frozen=True)
class Life:
    """Whether a stage that began is still carried out.

    Args:
        lives: None if that cannot be known here.
        words: why, or where to look.
        queued: whether its job is back in the queue.
    """

    lives: bool | None
    words: str = ""
    queued: bool = False


def life_of(run: RunFolder, record: Record, around: Surroundings) -> Life:
    """Whether a stage really runs whose record says so."""
    return _life_of_job(record, around) if record.job else _life_of_process(run, record, around)


def _life_of_job(record: Record, around: Surroundings) -> Life:
    if around.unasked:
        return Life(None, f"job {record.job}: {around.unasked}")
    job = around.jobs.get(record.stage)
    if job is None or job.job != record.job:
        return Life(False, f"job {record.job} is gone")
    if not job.is_live:
        return Life(False, f"job {job.job}: {job.state}")
    if job.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"):
        return Life(False, around.job_words(record.stage), queued=True)
    return Life(True, around.job_words(record.stage))


def _life_of_process(run: RunFolder, record: Record, around: Surroundings) -> Life:
    if around.holds(record):
        return Life(True)
    if record.host != socket.gethostname():
        return Life(None, f"it began on {record.host}: see there")
    if left := processes_with(run.mark(record.stage)):
        return Life(True, f"its mscs run is gone, processes {', '.join(map(str, left))} continue")
    return Life(False, "its process is gone")
