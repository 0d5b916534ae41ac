"""Submit what is left of a run to Slurm: a job or an array for every group of stages, each after those it needs."""

import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.slurm_groups import JobGroup, job_groups
from nnunetv2_mscs.pipeline.slurm_job import StagesJob
from nnunetv2_mscs.pipeline.slurm_options import SlurmOptions
from nnunetv2_mscs.pipeline.slurm_queue import (
    SlurmJob,
    cancel_jobs,
    live_jobs,
    write_jobs,
)
from nnunetv2_mscs.pipeline.stage import Stage
from nnunetv2_mscs.pipeline.state import SUBMISSION, RunFolder
from nnunetv2_mscs.workplace.leftovers import LOCK
from nnunetv2_mscs.workplace.locks import sole_holder

# How often a job may run out of time: as often as necessary.
MOST_TIMEOUTS = 10_000

# What a dry run shows of a job's request.
SHOWN = ("partition", "time", "cpus_per_task", "mem", "gpus_per_node", "gres", "account", "qos", "constraint")

Plan = list[tuple[JobGroup, list[SlurmJob]]]


def check_slurm() -> None:
    """Raise MscsError unless jobs can be submitted from here."""
    if find_spec("submitit") is None:
        raise MscsError("Slurm jobs need submitit.", "pip install 'nnunetv2-mscs[slurm]'")
    for name in ("sbatch", "srun", "squeue", "scancel", "scontrol"):
        if shutil.which(name) is None:
            raise MscsError(f"There is no {name} on this machine.", "Start the run on the cluster's login node.")


def check_no_jobs(run: RunFolder) -> None:
    """Raise MscsError if jobs of the run wait or run already."""
    if live := live_jobs(run):
        raise MscsError(
            f"Jobs {', '.join(live)} of the run in {run.path} are queued or running already.",
            f"See {run.command('status')}; to start anew, end them first: {run.command('cancel')}",
        )


def submit(
    run: RunFolder,
    build: Callable[[], Mapping[str, Stage]],
    left: Iterable[str],
    options: SlurmOptions,
    *,
    environment: Mapping[str, str],
    device: str,
    gpus_per_fold: int = 1,
    may_replace: bool = True,
) -> list[SlurmJob]:
    """Submit the stages that are left, and write their jobs down in the run's folder.

    Args:
        run: its folder, on a disk that all nodes share.
        build: makes the stages; called here and again in every job, so that it must be picklable.
        left: names of the stages to carry out.
        options: what to ask of the cluster.
        environment: variables for the stages' commands, nnU-Net's folders among them.
        device: for the stages that are worth a GPU; with cpu none is requested.
        gpus_per_fold: number over which one training is spread.
        may_replace: see `run_stage`.

    Raises:
        MscsError: jobs of this run are in the queue already, or Slurm takes none.
    """
    check_slurm()
    check_no_jobs(run)
    stages = build()
    run.path.mkdir(parents=True, exist_ok=True)
    with sole_holder(run.path / LOCK, run.path.parent):
        check_no_jobs(run)
        plan = _planned(run, job_groups(stages, left))
        # Written down before Slurm knows them: they are found by their names, whatever ends this process.
        _write(run, plan)
        try:
            for position, (group, jobs) in enumerate(plan):
                gpus = _gpus_of(group, device, gpus_per_fold)
                place = device if group.uses_gpu else "cpu"
                work = [
                    StagesJob(
                        run, build, one.stages, dict(environment), place, max(gpus, 1), options.limit, may_replace
                    )
                    for one in jobs
                ]
                before = plan[:position]
                parameters = options.parameters(
                    name=jobs[0].name,
                    gpus=gpus,
                    after=_needed(group, before),
                    behind=_arrays(before)[-1:] if group.is_array and options.parallel else (),
                )
                ids = _submit_array(run, work, parameters)
                plan[position] = (group, [replace(one, job=job) for one, job in zip(jobs, ids, strict=True)])
                _write(run, plan)
        except MscsError:
            # Slurm refused one: only those before it exist.
            _write(run, [(group, jobs) for group, jobs in plan if jobs[0].has_id])
            _cancel_all(run)
            raise
        except BaseException:
            _cancel_all(run)
            raise
        return [one for _, jobs in plan for one in jobs]


def describe(
    stages: Mapping[str, Stage], left: Iterable[str], options: SlurmOptions, *, device: str, gpus_per_fold: int
) -> list[str]:
    """A line for every job that `submit` would submit: its stages, what it waits for, and what it asks of sbatch."""
    lines = []
    groups = job_groups(stages, left)
    for group in groups:
        gpus = _gpus_of(group, device, gpus_per_fold)
        asked = options.parameters(name=group.name, gpus=gpus)
        words = {**asked, **asked["additional_parameters"]}
        shown = {name: words[name] for name in SHOWN if words.get(name) is not None}
        size = f"array of {len(group.stages)}" if group.is_array and len(group.stages) > 1 else "job"
        before = [one.name for one in groups if set(one.stages) & set(group.needs)]
        lines.append(
            f"{size} {group.name}: {', '.join(group.stages)}; "
            + (f"after {', '.join(before)}; " if before else "")
            + " ".join(f"--{name.replace('_', '-')}={value}" for name, value in shown.items())
        )
    return lines


def _gpus_of(group: JobGroup, device: str, gpus_per_fold: int) -> int:
    return 0 if device == "cpu" or not group.uses_gpu else gpus_per_fold if group.is_array else 1


def _cancel_all(run: RunFolder) -> None:
    with suppress(MscsError):  # the first error says more than this one
        cancel_jobs(run)


def _planned(run: RunFolder, groups: Sequence[JobGroup]) -> Plan:
    """The jobs of every group, with names that no jobs had before and no ids yet."""
    tag = secrets.token_hex(4)
    plan = []
    for group in groups:
        name = f"mscs-{run.path.parent.name[:10]}-{group.name}-{tag}"
        parts = [(stage,) for stage in group.stages] if group.is_array else [group.stages]
        tasks = [f"_{task}" for task in range(len(parts))] if len(parts) > 1 else [""]
        plan.append((group, [SlurmJob(task, part, name) for task, part in zip(tasks, parts, strict=True)]))
    return plan


def _write(run: RunFolder, plan: Plan) -> None:
    write_jobs(run, [one for _, jobs in plan for one in jobs])


def _needed(group: JobGroup, before: Plan) -> tuple[str, ...]:
    """Ids of the jobs that a group comes after: the array's if the group needs all of it, else those of some tasks."""
    ids: list[str] = []
    for _, jobs in before:
        needed = [one.job for one in jobs if set(one.stages) & set(group.needs)]
        ids += [_number(needed[0])] if len(needed) == len(jobs) else needed
    return tuple(ids)


def _arrays(before: Plan) -> tuple[str, ...]:
    return tuple(_number(jobs[0].job) for group, jobs in before if group.is_array)


def _number(job: str) -> str:
    return job.split("_")[0]


def _submit_array(run: RunFolder, work: Sequence[StagesJob], parameters: dict[str, Any]) -> list[str]:
    """Submit an array, or one job for one piece of work; returns the ids of the jobs."""
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = SlurmExecutor(run.path / SUBMISSION, max_num_timeout=MOST_TIMEOUTS)
    executor.python = f"exec {executor.python}"
    executor.update_parameters(**parameters)
    try:
        return [job.job_id for job in executor.submit_array(work)]
    except (FailedJobError, FailedSubmissionError) as error:
        said = str(error).strip().splitlines()[-1]
        finding = f"Slurm refused {parameters['job_name']}: {said.rstrip('.')}."
        remedy = "Change the Slurm options; sinfo shows whether the cluster answers, and its partitions."
        raise MscsError(finding, remedy) from error
