"""What a job carries out: some stages of a run, one after the other, as often as Slurm starts it."""

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.executors.one_stage import run_stage
from nnunetv2_mscs.pipeline.executors.slurm.queue import ask
from nnunetv2_mscs.pipeline.graph.stage import Here, Stage
from nnunetv2_mscs.pipeline.state.run_folder import RunFolder


@dataclass(frozen=True)
class StagesJob:
    """A job's work, which submitit pickles; all that it has done so far is on disk, with the stages.

    Args:
        run: its folder.
        build: makes the stages.
        names: of those to carry out, in their order.
        environment: variables for their commands, nnU-Net's folders among them.
        device: cpu, cuda or mps.
        gpus: that one training is spread over.
    """

    run: RunFolder
    build: Callable[[], Mapping[str, Stage]]
    names: tuple[str, ...]
    environment: Mapping[str, str]
    device: str
    gpus: int

    def __call__(self) -> None:
        """Carry out what is left of the stages. Raises MscsError if one fails."""
        signal.signal(signal.SIGTERM, _put_back_or_end)
        stages = self.build()
        here = Here(workers=workers(), device=self.device, gpus=self.gpus)
        for name in self.names:
            run_stage(self.run, stages[name], here, environment=self.environment, job=job_id())

    def checkpoint(self) -> Any:
        """The same again, for submitit, which is about to requeue this job and to end this process.

        Leaving it ends the command that runs. Slurm's own SIGTERM, which follows, must not disturb that.
        """
        from submitit.helpers import DelayedSubmission

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return DelayedSubmission(self)


def job_id() -> str:
    """Of the job that this process is, as Slurm's commands show it: 12, or 12_3 in an array."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]


def workers() -> int:
    """The cores that Slurm gave this job."""
    return int(os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE") or 1)


def _put_back_or_end(*_: object) -> None:
    """On SIGTERM: requeue a job that Slurm means to preempt; one that it has ended or requeued itself just ends."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if _is_running(os.environ["SLURM_JOB_ID"]):
        os.kill(os.getpid(), signal.SIGUSR2)  # which submitit takes for the warning that time is up
    else:
        raise SystemExit(128 + signal.SIGTERM)


def _is_running(job: str) -> bool:
    try:
        return ask("squeue", "--noheader", "--format=%T", f"--jobs={job}").split() == ["RUNNING"]
    except MscsError:
        return False
