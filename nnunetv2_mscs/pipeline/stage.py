"""A stage: one step of a run, with what it depends on, what it makes, and the commands that make it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# What becomes of a stage's own files and folders when it starts anew.
REMOVED, REPLACED, ADOPTED = "removed", "replaced", "adopted"


@dataclass(frozen=True)
class Here:
    """Where a stage is carried out.

    Args:
        workers: processes that it may start.
        device: cpu, cuda or mps.
        gpus: number over which one training is spread.
    """

    workers: int = 1
    device: str = "cpu"
    gpus: int = 1


@dataclass(frozen=True)
class Training:
    """What only a training has. Its command continues where it was interrupted, if nothing else has changed.

    Args:
        trainer, plans: names; the configurations of one trainer and plans are one model.
        final_checkpoint: one of the stage's outputs: while it is unchanged, only what follows it is done again.
        lacks: why the outputs are not enough for this run, though they are what the stage made; "" if they are.
    """

    trainer: str
    plans: str
    final_checkpoint: Path
    lacks: Callable[[], str] = lambda: ""


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Args:
        name: unique, and usable as a file name.
        title: for people.
        commands: words of the commands, in their order, for the place where they run.
        parameters: what decides on the result besides the files; JSON-able.
        needs: name of each stage that has to be done before -> the files and folders of it that are read; () for all.
        sources: files and folders that it reads and no stage makes.
        makes: its own files and folders.
        checked: files and folders that later stages read, if not all of `makes`.
        former: what becomes of its own files and folders when it starts anew: REMOVED before; REPLACED by its commands,
            whole or not at all; or ADOPTED: what others have put there is kept, and taken for what it makes.
        uses_gpu: whether it is worth a GPU.
        training: for a training.
        verify: raises MscsError if this run cannot continue with what the stage made.
    """

    name: str
    title: str
    commands: Callable[[Here], Sequence[Sequence[str]]]
    parameters: Mapping[str, Any]
    needs: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    sources: tuple[Path, ...] = ()
    makes: tuple[Path, ...] = ()
    checked: tuple[Path, ...] | None = None
    former: str = REMOVED
    uses_gpu: bool = False
    training: Training | None = None
    verify: Callable[[], None] = lambda: None

    @property
    def outputs(self) -> tuple[Path, ...]:
        """What later stages read; the stage runs again if anything of it is missing or has changed."""
        return self.makes if self.checked is None else self.checked


def all_of(*stages: str) -> dict[str, tuple[Path, ...]]:
    """These stages as `Stage.needs`, when everything that they make is read."""
    return dict.fromkeys(stages, ())
