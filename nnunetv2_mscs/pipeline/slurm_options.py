"""What a user asks of the cluster, as the parameters of sbatch."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from nnunetv2_mscs.errors import MscsError

# Slurm's signal to a job that its time is up in so many seconds.
OWN_SIGNAL = "B:USR2@120"
# Slurm sends it up to a minute earlier.
EARLIER_S = 60
# What a job may need until its process starts, and the process until it trains.
START_S = 120
# From one of a training's checkpoints to the next.
CHECKPOINT_S = 300
TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<first>\d+)(?::(?P<second>\d+))?(?::(?P<third>\d+))?")
SIGNAL = re.compile(r"B:(?:SIG)?USR2(?:@(?P<seconds>\d+))?")
SLURMS_WARNING_S = 60


@dataclass(frozen=True)
class TimeLimit:
    """How long a job may run, and how long before the end Slurm warns it.

    Args:
        minutes: all of it.
        warning_s: seconds from the warning to the end.
    """

    minutes: int
    warning_s: int

    @classmethod
    def of(cls, time: str, signal: str) -> "TimeLimit":
        """From sbatch's options.

        Raises:
            MscsError: they cannot be read, or the signal is not one that a job understands.
        """
        match = SIGNAL.fullmatch(signal)
        if not match:
            raise MscsError(f"Jobs do not understand --signal={signal}.", f"Such as --signal={OWN_SIGNAL}.")
        return cls(minutes(time), int(match["seconds"] or SLURMS_WARNING_S))

    def check(self) -> None:
        """Raise MscsError if a training would get nowhere, as each job would end before the first checkpoint."""
        least = -(-(START_S + CHECKPOINT_S + EARLIER_S + self.warning_s) // 60)
        if self.minutes < least:
            raise MscsError(
                f"A job's time of {self.minutes} minutes ends before a training's first checkpoint.",
                f"Give {least} minutes or more: --slurm time=12:00:00 for twelve hours.",
            )

    def is_up(self, elapsed_s: float) -> bool:
        """Whether a job that was warned after so many seconds was warned because its time is up."""
        return elapsed_s >= self.minutes * 60 - self.warning_s - EARLIER_S - START_S


def minutes(time: str) -> int:
    """A time as Slurm writes it (minutes[:seconds], hours:minutes:seconds, days-hours[:minutes[:seconds]]), rounded up.

    Raises:
        MscsError: it is written in another way.
    """
    match = TIME.fullmatch(str(time))
    if not match:
        raise MscsError(f"{time!r} is not a time as Slurm writes it.", "Such as 12:00:00, or 2-00:00:00 for two days.")
    days = int(match["days"] or 0)
    parts = [int(match[name] or 0) for name in ("first", "second", "third")]
    if match["days"] is None and match["third"] is None:  # minutes, or minutes:seconds
        parts = [0, *parts[:2]]
    hours, of_hour, seconds = parts
    return days * 24 * 60 + hours * 60 + of_hour + (seconds > 0)


FLAG = re.compile(r"--(?P<name>[A-Za-z][\w-]*)(?:[= ](?P<value>.*))?")
# Options that a run sets itself: jobs are found by their names, wait for each other, and know their time limit.
SET_BY_THE_RUN = ("array", "dependency", "job_name", "kill_on_invalid_dep", "time_min")
# Option -> the one of ours that asks for the same in another way; sbatch refuses some of these together.
REPLACED_OPTIONS = {
    **dict.fromkeys(("gpus", "gpus_per_task", "gpus_per_socket"), "gpus_per_node"),
    **dict.fromkeys(("mem_per_cpu", "mem_per_gpu"), "mem"),
    "cpus_per_gpu": "cpus_per_task",
    "no_requeue": "requeue",
}
OF_GPUS = ("gpus", "gpus_per_node", "gpus_per_task", "gpus_per_socket", "mem_per_gpu", "cpus_per_gpu", "gpu_bind")
GPU_RESOURCES = ("gpu", "gres/gpu")


def extra_options(texts: Iterable[str]) -> dict[str, Any]:
    """Options such as --reservation=x, by their names as submitit spells them, with underscores.

    Raises:
        MscsError: one is not a long option of sbatch, or is one that a run sets itself.
    """
    extra: dict[str, Any] = {}
    for text in texts:
        match = FLAG.fullmatch(text.strip())
        if not match:
            raise MscsError(f"{text!r} is not a long option of sbatch.", "Write it with two dashes: --reservation=x.")
        # submitit writes underscores as hyphens, but looks for this option with its hyphen.
        name = match["name"].replace("-", "_") if match["name"] != "open-mode" else match["name"]
        if name in SET_BY_THE_RUN:
            raise MscsError(f"--{match['name']} is for the run itself to set.", "Leave it out of extra.")
        extra[name] = True if match["value"] is None else match["value"]
    return extra


def with_extra(asked: Mapping[str, Any], extra: Mapping[str, Any], *, has_gpu: bool) -> dict[str, Any]:
    """What is asked of sbatch for a job, with the extra options instead of those that they replace.

    A job without a GPU does not get one by them.
    """
    added = {name: value for name, value in extra.items() if has_gpu or name not in OF_GPUS}
    replaced = {REPLACED_OPTIONS.get(name) for name in added}
    resources = str(added.get("gres", "")).split(",")
    others = [one for one in resources if one.split(":")[0] not in GPU_RESOURCES]
    if len(others) < len(resources):
        replaced.add("gpus_per_node")
        if not has_gpu:
            added["gres"] = ",".join(others)
            added = {name: value for name, value in added.items() if value}
    return {**{name: value for name, value in asked.items() if name not in replaced}, **added}


# Options that submitit itself reads before it writes the script.
SUBMITITS_OWN = ("job_name", "time", "array_parallelism", "setup")


@dataclass(frozen=True)
class SlurmOptions:
    """What the jobs of a run ask of the cluster; what is None is left to the cluster's defaults.

    Args:
        partition: of all jobs, or of those with a GPU if `cpu_partition` is given.
        cpu_partition: of the jobs without a GPU.
        time: a job's limit as Slurm writes it, such as 12:00:00 or 2-00:00:00; a longer training continues in the next.
        memory_gb: of a job.
        cpus: of a job; also the number of processes that it starts.
        account, qos, constraint: as for sbatch.
        extra: further options of sbatch, such as --reservation=x; they override all others. Those that ask for GPUs
            apply only to the jobs with a GPU.
        setup: lines of shell before the work, such as `module load cuda`.
        parallel: trainings at a time; all if None.
    """

    partition: str | None = None
    cpu_partition: str | None = None
    time: str = "1-00:00:00"
    memory_gb: float | None = None
    cpus: int = 8
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    extra: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    parallel: int | None = None

    def __post_init__(self) -> None:
        self.limit.check()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SlurmOptions":
        """From a mapping, such as a section of a YAML file. Raises MscsError for a name that is not a field."""
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in values if name not in known]:
            raise MscsError(f"There is no Slurm option {unknown[0]}.", f"Known are {', '.join(known)}.")
        fitting: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in values.items()}
        return cls(**fitting)

    @property
    def limit(self) -> TimeLimit:
        """A job's time limit and warning. Raises MscsError for options that cannot be read."""
        extra = extra_options(self.extra)
        return TimeLimit.of(str(extra.get("time", self.time)), str(extra.get("signal", OWN_SIGNAL)))

    def parameters(
        self, *, name: str, gpus: int, after: tuple[str, ...] = (), behind: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The parameters of submitit for a job or array.

        Args:
            name: of the job.
            gpus: number to ask for.
            after: jobs that have to succeed before it starts.
            behind: jobs that have to end before it starts, in whatever way.
        """
        waits_for = {"afterok": after, "afterany": behind}
        dependencies = [f"{how}:{':'.join(jobs)}" for how, jobs in waits_for.items() if jobs]
        asked = {
            "job_name": name,
            "partition": self.partition if gpus else self.cpu_partition or self.partition,
            "mem": None if self.memory_gb is None else f"{round(self.memory_gb * 1024)}M",
            "cpus_per_task": self.cpus,
            "gpus_per_node": gpus or None,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint if gpus else None,
            "dependency": ",".join(dependencies) or None,
            "array_parallelism": self.parallel,
            "setup": list(self.setup) or None,
            "ntasks_per_node": 1,
            # The job's process is the batch script itself, so that it alone gets the warning; its commands would die of
            # that signal.
            "signal": OWN_SIGNAL,
            "requeue": True,
            "kill_on_invalid_dep": "yes",
        }
        extra = {**extra_options(self.extra), "time": self.limit.minutes}
        all_asked = with_extra(
            {key: value for key, value in asked.items() if value is not None}, extra, has_gpu=bool(gpus)
        )
        return {
            **{key: all_asked.pop(key) for key in SUBMITITS_OWN if key in all_asked},
            "stderr_to_stdout": True,
            "use_srun": False,
            "additional_parameters": all_asked,
        }
