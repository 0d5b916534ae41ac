"""`mscs run`: see what is there, say what has to be done again, ask for agreement, carry out what is left."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.environment import Folders
from nnunetv2_mscs.pipeline import slurm
from nnunetv2_mscs.pipeline.commands import environment
from nnunetv2_mscs.pipeline.local import Follower, Outcome, Slot, run_local, slots_for
from nnunetv2_mscs.pipeline.settings import RunSettings
from nnunetv2_mscs.pipeline.slurm_options import SlurmOptions
from nnunetv2_mscs.pipeline.stage import Here, Stage
from nnunetv2_mscs.pipeline.stages import build_stages
from nnunetv2_mscs.pipeline.standing import DONE, NOT_YET, Standing, standings
from nnunetv2_mscs.pipeline.state import RunFolder
from nnunetv2_mscs.workplace.leftovers import sole_run
from nnunetv2_mscs.workplace.locks import last_place, sole_holder
from nnunetv2_mscs.workplace.resources import workers_for

LOCAL, SLURM = "local", "slurm"


@dataclass(frozen=True)
class Execution:
    """Where and how a run is carried out; none of it decides on the result.

    Args:
        executor: LOCAL or SLURM.
        device: cpu, cuda or mps.
        gpus: ids of those to use on this machine.
        gpus_per_fold: number of one training's GPUs.
        processes: number of a stage's processes on this machine.
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
        """Variables for the commands on this machine; what runs side by side shares its cores."""
        workers = workers_for(self.processes, self.trainings, self.gpus_per_fold)
        return environment(folders, training_workers=workers, workers=max(self.processes // max(self.trainings, 1), 1))


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

    def begin(self, *, yes: bool) -> tuple[dict[str, Standing], bool]:
        """How the stages stand, and whether there is agreement to all that may be replaced; keeps the settings."""
        stands = self.standings()
        agreed = agree(stands, yes=yes)
        self.folder.write_settings(self.settings, self.folders, asdict(self.execution))
        return stands, agreed


def carry_out(run: Run, *, yes: bool, follower: Follower) -> Outcome:
    """Carry out what is left of a run on this machine.

    Raises:
        MscsError: another run works on the data set, jobs on a cluster do, or there is no agreement to a replacement.
    """
    with _sole_of_data(run), sole_run(run.folder.path, remedy=_remedy(run)):
        stands, agreed = run.begin(yes=yes)
        return run_local(
            run.folder,
            {name: standing.stage for name, standing in stands.items()},
            run.execution.slots(),
            run.execution.here,
            environment=run.execution.environment(run.folders),
            follower=follower,
            may_replace=agreed,
        )


def submit(run: Run, *, yes: bool) -> list[str]:
    """Hand what is left of a run to Slurm; returns one line per job.

    Raises:
        MscsError: as `carry_out`; or Slurm refuses, or jobs of the run are still there.
    """
    options = SlurmOptions.from_json(run.execution.slurm)
    training_workers = workers_for(options.cpus, run.execution.gpus_per_fold)  # nnU-Net starts as many for each GPU
    slurm.check_slurm()
    with _sole_of_data(run):
        with sole_run(run.folder.path, remedy=_remedy(run)):
            stands, agreed = run.begin(yes=yes)
        jobs = slurm.submit(
            run.folder,
            partial(build_stages, run.settings, run.folders),
            _left(stands),
            options,
            environment=environment(run.folders, training_workers=training_workers, workers=options.cpus),
            device=run.execution.device,
            gpus_per_fold=run.execution.gpus_per_fold,
            may_replace=agreed,
        )
    return [f"job {job.job}: {', '.join(job.stages)}" for job in jobs]


def jobs_in_words(run: Run, stands: Mapping[str, Standing]) -> list[str]:
    """The jobs that `submit` would hand to Slurm, one line each; none for another executor."""
    if run.execution.executor != SLURM:
        return []
    return slurm.describe(
        {name: standing.stage for name, standing in stands.items()},
        _left(stands),
        SlurmOptions.from_json(run.execution.slurm),
        device=run.execution.device,
        gpus_per_fold=run.execution.gpus_per_fold,
    )


def _left(stands: Mapping[str, Standing]) -> list[str]:
    return [name for name, standing in stands.items() if standing.what != DONE]


def agree(stands: Mapping[str, Standing], *, yes: bool) -> bool:
    """Ask before finished or foreign files are removed, if there is a terminal; print which and why.

    Returns:
        Whether there is agreement to all of it. If nothing has to be removed for certain, a run without agreement goes
        on as long as nothing is removed.

    Raises:
        MscsError: there is no agreement.
    """
    removing = [standing for standing in stands.values() if standing.removes]
    certain = [standing for standing in removing if not standing.uncertain]
    perhaps = [f"  {standing.stage.title}: {standing.reason}" for standing in removing if standing.uncertain]
    if certain:
        print("To be done again:\n" + "\n".join(map(_replacement, certain)), flush=True)
    if perhaps:
        print("To be done again only if what they read has then changed:\n" + "\n".join(perhaps), flush=True)
    if yes or not certain:
        return yes
    if new := [one.stage.title for one in stands.values() if one.what == NOT_YET and one.stage.training]:
        trainings = f"{len(new)} trainings, from {new[0]} to {new[-1]}" if len(new) > 1 else new[0]
        print(f"To be done for the first time: {trainings}", flush=True)
    if sys.stdin is not None and sys.stdin.isatty():
        print("Go on? [y/N] ", end="", flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return True
        raise MscsError("Nothing was changed.", "")
    raise MscsError("Existing results would be replaced; nothing was changed.", "Agree with --yes.")


def _replacement(standing: Standing) -> str:
    more = f" and {len(standing.removes) - 1} more" if len(standing.removes) > 1 else ""
    return f"  {standing.stage.title}: {standing.reason}; replaces {standing.removes[0]}{more}"


@contextmanager
def _sole_of_data(run: Run) -> Iterator[None]:
    """Hold the preprocessed data, which runs with other results would share; jobs on a cluster count as runs."""
    run.folders.preprocessed.mkdir(parents=True, exist_ok=True)
    lock = run.folders.preprocessed / f".mscs_run_{run.settings.dataset}.lock"
    before = last_place(lock)
    with sole_holder(lock, run.folder.path, remedy=_remedy(run)):
        for place in {run.folder.path, before or run.folder.path}:  # jobs hold no lock: the queue knows them
            slurm.check_no_jobs(RunFolder(place))
        yield


def _remedy(run: Run) -> str:
    return f"See how far it is: {run.folder.command('status')}; or end it: {run.folder.command('cancel')}"
