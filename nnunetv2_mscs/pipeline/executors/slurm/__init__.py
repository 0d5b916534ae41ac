"""A run on a Slurm cluster: what is left of it as jobs that wait for each other, their states, and their end."""

from nnunetv2_mscs.pipeline.executors.slurm.options import SlurmOptions
from nnunetv2_mscs.pipeline.executors.slurm.queue import SlurmJobState, cancel_jobs, job_states, live_jobs
from nnunetv2_mscs.pipeline.executors.slurm.submitting import check_no_jobs, submit
from nnunetv2_mscs.pipeline.executors.slurm.waiting import wait_for_jobs

__all__ = [
    "SlurmJobState",
    "SlurmOptions",
    "cancel_jobs",
    "check_no_jobs",
    "job_states",
    "live_jobs",
    "submit",
    "wait_for_jobs",
]
