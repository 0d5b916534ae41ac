"""The record of a stage: whether and where it runs or ran, with what inputs, and what it made."""

import dataclasses
import json
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from nnunetv2_mscs.pipeline.state.run_folder import RunFolder
from nnunetv2_mscs.workplace.whole_files import write_whole


class State(str, Enum):
    """Of a stage, as its record has it; a record that says RUNNING may be of a process that was killed."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Record:
    """One stage's state.

    Args:
        stage: its name.
        state: see `State`.
        parameters: of the stage when it was begun.
        inputs: digest of what each of its needs and sources held when it was begun.
        outputs: signature of every file it made (see `content_signatures`); empty until it has made all of them.
        adopted: files of others among them, which never go.
        to_clear: what lay in its places before is still to be removed.
        began: seconds since the epoch; of the last attempt.
        ended: likewise, None as long as it runs.
        seconds: that all attempts took together.
        attempts: how often it was begun with these inputs and parameters.
        host, pid: of the process that carries it out.
        job: of the cluster, such as Slurm's id.
        gpus: what CUDA_VISIBLE_DEVICES held for it; None if it was not set.
        error: of a failed one, the sentence for the user.
    """

    stage: str
    state: State
    parameters: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, list[Any]] = field(default_factory=dict)
    adopted: list[str] = field(default_factory=list)
    to_clear: bool = False
    began: float = 0.0
    ended: float | None = None
    seconds: float = 0.0
    attempts: int = 1
    host: str = ""
    pid: int = 0
    job: str = ""
    gpus: str | None = None
    error: str = ""


def record_file(run: RunFolder, stage: str) -> Path:
    return run.records / f"{stage}.json"


def read_record(run: RunFolder, stage: str) -> Record | None:
    """The record of a stage; None if there is none, or none that can be read, which counts as never begun."""
    try:
        values = json.loads(record_file(run, stage).read_text())
        return Record(**{**values, "state": State(values["state"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_record(run: RunFolder, record: Record) -> None:
    run.records.mkdir(parents=True, exist_ok=True)
    write_whole(record_file(run, record.stage), json.dumps(dataclasses.asdict(record), indent=1) + "\n")
