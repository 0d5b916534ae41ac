"""What a user asks of the cluster, as it becomes the parameters of sbatch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from nnunetv2_mscs.errors import MscsError

# Seconds before its time is up that a job is told; Slurm tells up to a minute earlier.
WARNING_S = 120
TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<first>\d+)(?::(?P<second>\d+))?(?::(?P<third>\d+))?")
FLAG = re.compile(r"--?(?P<name>[A-Za-z][\w-]*)(?:[= ](?P<value>.*))?")


@dataclass(frozen=True)
class SlurmOptions:
    """How the jobs of a run ask for their places; what is None is left to the cluster's own defaults.

    Args:
        partition: of the jobs with a GPU, and of the others, unless `cpu_partition` names theirs.
        cpu_partition: of the jobs without a GPU.
        time: a job's limit as Slurm writes it, such as 12:00:00 or 2-00:00:00; a longer training goes on in the next.
        memory_gb: of a job.
        cpus: of a job; also the number of processes that it starts.
        account, qos, constraint: as for sbatch.
        extra: further options of sbatch, such as --reservation=x; they win over all others.
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
        if minutes(self.time) < 1:
            raise MscsError(f"A job's time of {self.time} is no time.", "Such as 12:00:00 for twelve hours.")
        self._extra_parameters()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SlurmOptions":
        """From a YAML file's section. Raises MscsError for a name that is none of the fields."""
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in values if name not in known]:
            raise MscsError(f"There is no Slurm option {unknown[0]}.", f"Known are {', '.join(known)}.")
        fitting: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in values.items()}
        return cls(**fitting)

    def parameters(self, *, name: str, gpus: int, after: tuple[str, ...] = ()) -> dict[str, Any]:
        """As submitit takes them, for a job or array that starts once the jobs `after` have succeeded."""
        asked = {
            "job_name": name,
            "partition": self.partition if gpus else self.cpu_partition or self.partition,
            "time": minutes(self.time),
            "mem": None if self.memory_gb is None else f"{round(self.memory_gb * 1024)}M",
            "cpus_per_task": self.cpus,
            "gpus_per_node": gpus or None,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint if gpus else None,
            "dependency": f"afterok:{':'.join(after)}" if after else None,
            "array_parallelism": self.parallel,
            "setup": list(self.setup) or None,
        }
        # The job's process is the batch script itself, so that only this one is told that the time is up: what it
        # started would die of that signal.
        own = {"signal": f"B:USR2@{WARNING_S}", "requeue": True, "kill-on-invalid-dep": "yes"}
        return {
            **{key: value for key, value in asked.items() if value is not None},
            "ntasks_per_node": 1,
            "stderr_to_stdout": True,
            "use_srun": False,
            "additional_parameters": {**own, **self._extra_parameters()},
        }

    def _extra_parameters(self) -> dict[str, Any]:
        extra: dict[str, Any] = {}
        for text in self.extra:
            if not (match := FLAG.fullmatch(text.strip())):
                raise MscsError(f"{text!r} is no option of sbatch.", "Write it as there: --reservation=x.")
            extra[match["name"]] = True if match["value"] is None else match["value"]
        return extra


def minutes(time: str) -> int:
    """A time as Slurm writes it (minutes[:seconds], hours:minutes:seconds, days-hours[:minutes[:seconds]]), rounded up.

    Raises:
        MscsError: it is written in another way.
    """
    match = TIME.fullmatch(str(time))
    if not match:
        raise MscsError(f"{time!r} is no time as Slurm writes it.", "Such as 12:00:00, or 2-00:00:00 for two days.")
    days = int(match["days"] or 0)
    parts = [int(match[name] or 0) for name in ("first", "second", "third")]
    if match["days"] is None and match["third"] is None:  # minutes, or minutes:seconds
        parts = [0, *parts[:2]]
    hours, of_hour, seconds = parts
    return days * 24 * 60 + hours * 60 + of_hour + (seconds > 0)
