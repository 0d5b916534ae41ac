"""Carry a run out on this machine: what is ready goes to the next free place, a training to a free GPU."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.run_stage import run_stage
from nnunetv2_mscs.pipeline.stage import Here, Stage
from nnunetv2_mscs.pipeline.state import Record, RunFolder
from nnunetv2_mscs.workplace.running import Interrupted

POLL_S = 0.5
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Slot:
    """A place where one stage at a time is carried out.

    Args:
        gpus: ids of the GPUs it may use, as CUDA_VISIBLE_DEVICES takes them; none on a CPU.
        takes_gpu_work: whether trainings and predictions come here.
        takes_cpu_work: whether all the others do.
    """

    gpus: tuple[str, ...] = ()
    takes_gpu_work: bool = True
    takes_cpu_work: bool = True

    @property
    def environment(self) -> dict[str, str]:
        if not self.gpus:
            return {}
        # CUDA counts the fastest GPU first unless told to count as nvidia-smi does, from which the numbers come.
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", VISIBLE_GPUS: ",".join(self.gpus)}

    def takes(self, stage: Stage) -> bool:
        return self.takes_gpu_work if stage.uses_gpu else self.takes_cpu_work


def slots_for(gpus: Sequence[str], gpus_per_fold: int) -> list[Slot]:
    """A place for every `gpus_per_fold` GPUs, and one for what needs none; without GPUs a single place for everything.

    Raises:
        MscsError: there are fewer GPUs than one training is to have.
    """
    if not gpus:
        return [Slot()]
    count = len(gpus) // gpus_per_fold
    if not count:
        raise MscsError(
            f"One training is to have {gpus_per_fold} GPUs, but there are {len(gpus)}.", "Choose fewer --gpus-per-fold."
        )
    groups = [tuple(gpus[i * gpus_per_fold : (i + 1) * gpus_per_fold]) for i in range(count)]
    return [*(Slot(group, takes_cpu_work=False) for group in groups), Slot(takes_gpu_work=False)]


@dataclass
class Outcome:
    """How a run on this machine ended.

    Args:
        failed: stage -> what to tell the user.
        blocked: stages that come after a failed one, and so were not begun.
    """

    failed: dict[str, str] = field(default_factory=dict)
    blocked: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Follower:
    """What is told about the stages as they run."""

    begins: Callable[[Stage, Slot], None] = lambda stage, slot: None
    line: Callable[[Stage, str], None] = lambda stage, line: None
    ends: Callable[[Stage, Record | None], None] = lambda stage, record: None


def run_local(
    run: RunFolder,
    stages: Mapping[str, Stage],
    slots: Sequence[Slot],
    here: Here,
    *,
    environment: Mapping[str, str],
    follower: Follower,
    may_replace: bool = True,
) -> Outcome:
    """Bring all stages to their end. A stage that fails stops those after it, and no others.

    Ctrl-C ends what runs, in an orderly way; the next call goes on from there. See `run_stage` for `may_replace`.
    """
    return _Run(run, stages, list(slots), here, environment, follower, may_replace).carry_out()


class _Run:
    def __init__(
        self,
        run: RunFolder,
        stages: Mapping[str, Stage],
        free: list[Slot],
        here: Here,
        environment: Mapping[str, str],
        follower: Follower,
        may_replace: bool,
    ):
        self.may_replace = may_replace
        self.run, self.stages, self.free, self.here = run, stages, free, here
        self.environment, self.follower = environment, follower
        self.left = list(stages)
        self.done: set[str] = set()
        self.running: dict[Future[Record], tuple[str, Slot]] = {}
        self.outcome = Outcome()
        self.stop = threading.Event()

    def carry_out(self) -> Outcome:
        with ThreadPoolExecutor(max_workers=len(self.free)) as pool:
            try:
                self._start_ready(pool)
                while self.running:
                    ended, _ = wait(self.running, timeout=POLL_S, return_when=FIRST_COMPLETED)
                    for future in ended:
                        self._take_up(future)
                    self._start_ready(pool)
            finally:
                self.stop.set()
        self.outcome.blocked = self.left
        return self.outcome

    def _start_ready(self, pool: ThreadPoolExecutor) -> None:
        for name in list(self.left):
            stage = self.stages[name]
            slot = next((slot for slot in self.free if slot.takes(stage)), None)
            if slot is not None and self.done.issuperset(stage.needs):
                self.left.remove(name)
                self.free.remove(slot)
                self.running[pool.submit(self._work, stage, slot)] = (name, slot)

    def _work(self, stage: Stage, slot: Slot) -> Record:
        return run_stage(
            self.run,
            stage,
            self.here,
            environment={**self.environment, **slot.environment},
            on_begin=lambda: self.follower.begins(stage, slot),
            on_line=lambda line: self.follower.line(stage, line),
            stopped=self.stop.is_set,
            may_replace=self.may_replace,
        )

    def _take_up(self, future: Future[Record]) -> None:
        name, slot = self.running.pop(future)
        self.free.append(slot)
        self.free.sort(key=lambda one: one.gpus)
        record = None
        try:
            record = future.result()
            self.done.add(name)
        except MscsError as error:
            self.outcome.failed[name] = str(error)
        except Interrupted:  # only after self.stop, with which this run ends
            self.left.append(name)
        self.follower.ends(self.stages[name], record)
