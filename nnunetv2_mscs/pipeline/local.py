"""Carry a run out on this machine: what is ready gets the next free place, a training a free GPU."""

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
        takes_gpu_work: whether trainings and predictions may run here.
        takes_cpu_work: whether all other stages may.
    """

    gpus: tuple[str, ...] = ()
    takes_gpu_work: bool = True
    takes_cpu_work: bool = True

    @property
    def environment(self) -> dict[str, str]:
        if not self.gpus:
            return {}
        # By default CUDA numbers the fastest GPU first; the ids here are in the order of nvidia-smi.
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", VISIBLE_GPUS: ",".join(self.gpus)}

    def takes(self, stage: Stage) -> bool:
        return self.takes_gpu_work if stage.uses_gpu else self.takes_cpu_work


def slots_for(gpus: Sequence[str], gpus_per_fold: int) -> list[Slot]:
    """A place for every `gpus_per_fold` GPUs, and one for stages that need none; without GPUs one place for all stages.

    Raises:
        MscsError: there are fewer GPUs than one training is to have.
    """
    if not gpus:
        return [Slot()]
    if len(gpus) < gpus_per_fold:
        raise MscsError(
            f"One training is to have {gpus_per_fold} GPUs, but there are {len(gpus)}.", "Choose fewer --gpus-per-fold."
        )
    starts = range(0, len(gpus) - gpus_per_fold + 1, gpus_per_fold)
    groups = [Slot(tuple(gpus[start : start + gpus_per_fold]), takes_cpu_work=False) for start in starts]
    return [*groups, Slot(takes_gpu_work=False)]


@dataclass
class Outcome:
    """How a run on this machine ended.

    Args:
        failed: stage -> the message for the user.
        blocked: stages that were not started, as one that they need failed.
    """

    failed: dict[str, str] = field(default_factory=dict)
    blocked: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Follower:
    """What is called as stages run: at the beginning and end of each, and for each line that they print."""

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
    """Bring all stages to their end. A stage that fails stops those that need it, and no others.

    Ctrl-C ends what runs in an orderly way; the next call continues from there. See `run_stage` for `may_replace`.
    """
    left, free, done, outcome = list(stages), list(slots), set[str](), Outcome()
    running: dict[Future[Record], tuple[str, Slot]] = {}
    stop = threading.Event()

    def work(stage: Stage, slot: Slot) -> Record:
        return run_stage(
            run,
            stage,
            here,
            environment={**environment, **slot.environment},
            on_begin=lambda: follower.begins(stage, slot),
            on_line=lambda line: follower.line(stage, line),
            stopped=stop.is_set,
            may_replace=may_replace,
        )

    def start_ready(pool: ThreadPoolExecutor) -> None:
        for name in list(left):
            slot = next((slot for slot in free if slot.takes(stages[name])), None)
            if slot is not None and done.issuperset(stages[name].needs):
                left.remove(name)
                free.remove(slot)
                running[pool.submit(work, stages[name], slot)] = (name, slot)

    def take_up(future: Future[Record]) -> None:
        name, slot = running.pop(future)
        free.append(slot)
        free.sort(key=lambda one: one.gpus)
        record = None
        try:
            record = future.result()
            done.add(name)
        except MscsError as error:
            outcome.failed[name] = str(error)
        except Interrupted:  # only after `stop`, with which this run ends
            left.append(name)
        follower.ends(stages[name], record)

    with ThreadPoolExecutor(max_workers=len(free)) as pool:
        try:
            start_ready(pool)
            while running:
                ended, _ = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
                for future in ended:
                    take_up(future)
                start_ready(pool)
        finally:
            stop.set()
    outcome.blocked = left
    return outcome
