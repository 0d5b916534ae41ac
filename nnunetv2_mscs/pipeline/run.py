"""`mscs run`: look at what is there, say what goes, then carry out what is left."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from nnunetv2_mscs.nnunet_files.environment import Folders
from nnunetv2_mscs.pipeline.agreement import agree
from nnunetv2_mscs.pipeline.commands import environment, workers_for
from nnunetv2_mscs.pipeline.local import Follower, Outcome, Slot, run_local, slots_for
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.slurm import check_no_jobs
from nnunetv2_mscs.pipeline.stage import Here, Stage
from nnunetv2_mscs.pipeline.stages import build_stages
from nnunetv2_mscs.pipeline.standing import DONE, Standing, standings
from nnunetv2_mscs.pipeline.state import RunFolder
from nnunetv2_mscs.workplace.leftovers import sole_run
from nnunetv2_mscs.workplace.locks import last_place, sole_holder

LOCAL, SLURM = "local", "slurm"


@dataclass(frozen=True)
class Execution:
    """Where and how a run is carried out; none of it decides on the result.

    Args:
        executor: LOCAL or SLURM.
        device: cpu, cuda or mps.
        gpus: ids of those to use on this machine.
        gpus_per_fold: of one training.
        processes: of a stage on this machine.
        slurm: options of the cluster.
    """

    executor: str = LOCAL
    device: str = "cpu"
    gpus: tuple[str, ...] = ()
    gpus_per_fold: int = 1
    processes: int = 1
    slurm: Mapping[str, Any] = field(default_factory=dict)

    @property
    def here(self) -> Here:
        return Here(self.processes, self.device, self.gpus_per_fold)

    def slots(self) -> list[Slot]:
        return slots_for(self.gpus, self.gpus_per_fold)

    @property
    def trainings(self) -> int:
        """How many run side by side on this machine."""
        return sum(slot.takes_gpu_work for slot in self.slots())

    def environment(self, folders: Folders) -> dict[str, str]:
        """Of the commands on this machine; what runs side by side shares its cores."""
        workers = workers_for(self.processes, self.trainings, self.gpus_per_fold)
        return environment(folders, training_workers=workers, workers=max(self.processes // max(self.trainings, 1), 1))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Run:
    """A run that was asked for."""

    settings: RunSettings
    folders: Folders
    execution: Execution

    @property
    def folder(self) -> RunFolder:
        return RunFolder.of(self.folders, self.settings.dataset)

    def stages(self) -> dict[str, Stage]:
        return build_stages(self.settings, self.folders)

    def standings(self) -> dict[str, Standing]:
        """How every stage stands.

        Raises:
            MscsError: what is there already is not what this run needs, such as splits without one of its folds.
        """
        found = standings(self.folder, self.stages())
        for one in found.values():
            if one.what == DONE:
                one.stage.verify()
        return found


def carry_out(run: Run, *, yes: bool, follower: Follower) -> Outcome:
    """Carry out what is left of a run on this machine.

    Raises:
        MscsError: another run works on the data set, jobs on a cluster do, or there is no agreement to what has to go.
    """
    with _sole_of_data(run), sole_run(run.folder.path, remedy=_remedy(run)):
        stands = run.standings()
        agreed = agree(stands, yes=yes)
        run.folder.write_settings(run.settings, run.folders, run.execution.as_json())
        execution = run.execution
        return run_local(
            run.folder,
            {name: standing.stage for name, standing in stands.items()},
            execution.slots(),
            execution.here,
            environment=execution.environment(run.folders),
            follower=follower,
            may_replace=agreed,
        )


def jobs_in_words(run: Run, stands: Mapping[str, Standing]) -> list[str]:
    """The jobs that `submit` would hand to Slurm, a line each; none for another executor."""
    if run.execution.executor != SLURM:
        return []
    from nnunetv2_mscs.pipeline import slurm
    from nnunetv2_mscs.pipeline.slurm_options import SlurmOptions

    return slurm.describe(
        {name: standing.stage for name, standing in stands.items()},
        [name for name, standing in stands.items() if standing.what != DONE],
        SlurmOptions.from_json(run.execution.slurm),
        device=run.execution.device,
        gpus_per_fold=run.execution.gpus_per_fold,
    )


def submit(run: Run, *, yes: bool) -> list[str]:
    """Hand what is left of a run to Slurm; returns a line for each job.

    Raises:
        MscsError: as `carry_out`; or Slurm refuses, or jobs of the run are still there.
    """
    from nnunetv2_mscs.pipeline import slurm
    from nnunetv2_mscs.pipeline.slurm_options import SlurmOptions

    options = SlurmOptions.from_json(run.execution.slurm)
    training_workers = workers_for(options.cpus, run.execution.gpus_per_fold)  # nnU-Net starts as many for each GPU
    slurm.check_slurm()
    with _sole_of_data(run):
        with sole_run(run.folder.path, remedy=_remedy(run)):
            stands = run.standings()
            agreed = agree(stands, yes=yes)
            run.folder.write_settings(run.settings, run.folders, run.execution.as_json())
        jobs = slurm.submit(
            run.folder,
            partial(build_stages, run.settings, run.folders),
            [name for name, standing in stands.items() if standing.what != DONE],
            options,
            environment=environment(run.folders, training_workers=training_workers, workers=options.cpus),
            device=run.execution.device,
            gpus_per_fold=run.execution.gpus_per_fold,
            may_replace=agreed,
        )
    return [f"job {job.job}: {', '.join(job.stages)}" for job in jobs]


@contextmanager
def _sole_of_data(run: Run) -> Iterator[None]:
    """Hold the preprocessed data, which runs with other results would share, jobs on a cluster included."""
    run.folders.preprocessed.mkdir(parents=True, exist_ok=True)
    lock = run.folders.preprocessed / f".mscs_run_{run.settings.dataset}.lock"
    before = last_place(lock)
    with sole_holder(lock, run.folder.path, remedy=_remedy(run)):
        # Jobs hold no lock: the queue tells of them.
        for place in {run.folder.path, before or run.folder.path}:
            check_no_jobs(RunFolder(place))
        yield


def _remedy(run: Run) -> str:
    number = run.settings.dataset_id
    return f"See how far it is with mscs status {number}, or end it with mscs cancel {number}."
