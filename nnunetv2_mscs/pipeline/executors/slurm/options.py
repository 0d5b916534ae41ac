"""What a user asks of the cluster, as it becomes the parameters of sbatch."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.executors.slurm.extra import extra_options, with_extra
from nnunetv2_mscs.pipeline.executors.slurm.times import OWN_SIGNAL, TimeLimit

# What submitit looks at itself before it writes the script.
SUBMITITS_OWN = ("job_name", "time", "array_parallelism", "setup")


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
        extra: further options of sbatch, such as --reservation=x; they win over all others. Those that ask for GPUs are
            for the jobs with a GPU only.
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
        """From a YAML file's section. Raises MscsError for a name that is none of the fields."""
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in values if name not in known]:
            raise MscsError(f"There is no Slurm option {unknown[0]}.", f"Known are {', '.join(known)}.")
        fitting: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in values.items()}
        return cls(**fitting)

    @property
    def limit(self) -> TimeLimit:
        """A job's time, and when it is told that this ends. Raises MscsError for options that are none."""
        extra = extra_options(self.extra)
        return TimeLimit.of(str(extra.get("time", self.time)), str(extra.get("signal", OWN_SIGNAL)))

    def parameters(
        self, *, name: str, gpus: int, after: tuple[str, ...] = (), behind: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """As submitit takes them, for a job or array.

        Args:
            name: of the job.
            gpus: that it asks for.
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
            # The job's process is the batch script itself, so that only this one is told that the time is up: what it
            # started would die of that signal.
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
