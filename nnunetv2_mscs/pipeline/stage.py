"""A stage: one step of a run, with all that it depends on, what it makes, and the commands that make it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Here:
    """Where a stage is carried out.

    Args:
        workers: processes that it may start.
        device: cpu, cuda or mps.
        gpus: that one training is spread over.
    """

    workers: int = 1
    device: str = "cpu"
    gpus: int = 1


@dataclass(frozen=True)
class Training:
    """What a training stage trains."""

    trainer: str
    plans: str
    configuration: str
    fold: int
    epochs: int | None
    folder: Path


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Args:
        name: unique, and good as a file name.
        title: for people.
        commands: the words of the commands, in their order, for the place where they are to run.
        parameters: what decides on the result beside the files; JSON-able.
        needs: names of the stages whose outputs it reads.
        reads: of a needed stage, the files and folders that it reads; all that the stage makes, if it is not named.
        sources: files and folders it reads that no stage makes.
        makes: files and folders that are its own; removed before it starts anew.
        outputs: those of them, at the time of asking, that others read: complete and unchanged, or it is run again.
        uses_gpu: whether it is worth a GPU.
        resumes: whether its commands go on where they were interrupted, if nothing else has changed.
        resumes_from: one of its outputs that they need unchanged to go on once they were through.
        replaces: whether its commands replace what they made before by themselves, whole or not at all.
        adopts: whether what others have put into its places is kept, and taken for what it makes.
        training: what it trains, if it does.
        lacks: in words what its outputs lack for this run, though they are what it made; empty if nothing.
        verify: looks at what it made, and raises MscsError if this run cannot go on with that.
    """

    name: str
    title: str
    commands: Callable[[Here], Sequence[Sequence[str]]]
    parameters: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    reads: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    sources: tuple[Path, ...] = ()
    makes: tuple[Path, ...] = ()
    outputs: Callable[[], Sequence[Path]] = field(default=lambda: ())
    uses_gpu: bool = False
    resumes: bool = False
    resumes_from: Path | None = None
    replaces: bool = False
    adopts: bool = False
    training: Training | None = None
    lacks: Callable[[], str] = field(default=lambda: "")
    verify: Callable[[], None] = field(default=lambda: None)
