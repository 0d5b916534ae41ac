"""What a job does: carry out some stages of a run, one after the other, each time that Slurm starts it."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.run_stage import run_stage
from nnunetv2_mscs.pipeline.slurm_options import TimeLimit
from nnunetv2_mscs.pipeline.slurm_queue import ask
from nnunetv2_mscs.pipeline.stage import Here, Stage
from nnunetv2_mscs.pipeline.state import RunFolder


class OutOfTime(MscsError):
    """A stage needs more time than a job has."""


@dataclass
class StagesJob:
    """A job's work, which submitit pickles; what it has done so far is in the stages' records on disk.

    Args:
        run: its folder.
        build: makes the stages.
        names: the stages to carry out, in their order.
        environment: variables for their commands, nnU-Net's folders among them.
        device: cpu, cuda or mps.
        gpus: number over which one training is spread.
        limit: the job's time.
        may_replace: see `run_stage`.
    """

    run: RunFolder
    build: Callable[[], Mapping[str, Stage]]
    names: tuple[str, ...]
    environment: Mapping[str, str]
    device: str
    gpus: int
    limit: TimeLimit
    may_replace: bool = True
    _progress: "_Progress" = field(default_factory=lambda: _Progress(), init=False)

    def __call__(self) -> None:
        """Carry out what is left of the stages; one that fails stops those that need it, and no others.

        Raises:
            MscsError: a stage failed.
        """
        signal.signal(signal.SIGTERM, self._put_back_or_end)
        self._progress = _Progress()
        stages = self.build()
        failures: dict[str, MscsError] = {}
        for name in self.names:
            if failed := next((need for need in stages[name].needs if need in failures), None):
                failures[name] = failures[failed]
                continue
            try:
                self._carry_out(stages[name])
            except OutOfTime:
                raise
            except MscsError as failure:
                failures[name] = failure
        if failures:
            raise next(iter(failures.values()))

    def _carry_out(self, stage: Stage) -> None:
        progress = self._progress
        try:
            run_stage(
                self.run,
                stage,
                Here(workers=workers(), device=self.device, gpus=self.gpus),
                environment=self.environment,
                job=job_id(),
                on_begin=partial(progress.begins, stage),
                on_line=progress.hears,
                may_replace=self.may_replace,
            )
            progress.through = progress.through or progress.at_work is not None
        finally:
            progress.at_work = None

    def checkpoint(self) -> Any:
        """The same work again, for submitit, which then requeues this job and ends this process and its command.

        Slurm's own SIGTERM, which follows, must not disturb that.

        Raises:
            OutOfTime: the job's time is up, and the next job would get no further than this one.
        """
        from submitit.helpers import DelayedSubmission

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stuck = self._progress.stuck
        if stuck and not self._progress.is_put_back and self.limit.is_up(seconds_since_start()):
            raise OutOfTime(
                f"{stuck.title} did not end within a job's time of {self.limit.minutes} minutes.",
                "Give more: --slurm time=...",
            )
        return DelayedSubmission(replace(self))

    def _put_back_or_end(self, *_: object) -> None:
        """On SIGTERM: requeue a job that Slurm preempts; a job that it has ended or requeued itself just ends."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if _is_running(os.environ["SLURM_JOB_ID"]):
            self._progress.is_put_back = True
            os.kill(os.getpid(), signal.SIGUSR2)  # which submitit takes as the warning that time is up
        else:
            raise SystemExit(128 + signal.SIGTERM)


@dataclass
class _Progress:
    """How far a job has come since Slurm started it.

    Args:
        at_work: the stage that it carries out now.
        through: whether it has completed a stage.
        only_rest: whether only the validation of a training was left when the training began.
        is_put_back: whether it has to end for another reason than its time.
    """

    at_work: Stage | None = None
    through: bool = False
    only_rest: bool | None = None
    is_put_back: bool = False

    @property
    def stuck(self) -> Stage | None:
        """The stage at work, if another job would have no more time for it and nothing to continue from."""
        if self.at_work is None or self.through:
            return None
        return self.at_work if self.only_rest or not self.at_work.training else None

    def begins(self, stage: Stage) -> None:
        self.at_work, self.only_rest = stage, None

    def hears(self, _: str) -> None:
        """At a command's first line: what had to be removed of earlier attempts is gone now."""
        if self.only_rest is None and self.at_work is not None:
            training = self.at_work.training
            self.only_rest = training is not None and training.final_checkpoint.exists()


def job_id() -> str:
    """The id of the job that this process is, as Slurm's commands show it: 12, or 12_3 in an array."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]


def workers() -> int:
    """The cores that Slurm gave this job."""
    return int(os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE") or 1)


def seconds_since_start() -> float:
    """Seconds since Slurm started the job's script, whose place this process has taken."""
    after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started_s = int(after_name[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s


def _is_running(job: str) -> bool:
    try:
        return ask("squeue", "--noheader", "--format=%T", f"--jobs={job}").split() == ["RUNNING"]
    except MscsError:
        return False
