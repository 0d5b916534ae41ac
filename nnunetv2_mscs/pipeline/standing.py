"""What is left of a run: which stages are done and up to date, which have to run, why, and what that removes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_mscs.pipeline.signatures import changed, digest, is_unchanged, missing, signature
from nnunetv2_mscs.pipeline.stage import ADOPTED, Stage
from nnunetv2_mscs.pipeline.state import Record, RunFolder, State, read_record

NOT_YET, RESUMES, REPEATS, DONE = "not yet", "resumes", "again", "done"


@dataclass(frozen=True)
class Standing:
    """How one stage stands.

    Args:
        stage: which.
        what: DONE; NOT_YET begun; RESUMES: it continues, or starts over when nothing finished is lost; REPEATS: it is
            done again, for `reason`.
        reason: why a stage that was begun before has to start over, or to continue though it was done.
        removes: files and folders, finished ones or others', that are removed before it begins.
        uncertain: whether it has to run only if a stage before it makes something else than before.
    """

    stage: Stage
    what: str
    reason: str = ""
    removes: tuple[Path, ...] = ()
    uncertain: bool = False


def standings(run: RunFolder, stages: Mapping[str, Stage]) -> dict[str, Standing]:
    """How every stage stands now, with regard to what those before it are going to do."""
    found: dict[str, Standing] = {}
    for name, stage in stages.items():
        own = standing(run, stage)
        upset = [need for need in stage.needs if found[need].what != DONE]
        loses = own.what == DONE or (own.what == RESUMES and stage.training and bool(own_places(run, stage)))
        if loses and upset:
            reason = f"comes after {stages[upset[0]].title}"
            own = Standing(stage, REPEATS, reason, own_places(run, stage), uncertain=True)
        found[name] = own
    return found


def standing(run: RunFolder, stage: Stage) -> Standing:
    """How a stage stands by its own record, files and inputs."""
    record = read_record(run, stage.name)
    existing = own_places(run, stage)
    if record is None:
        if not existing:
            return Standing(stage, NOT_YET)
        return Standing(stage, REPEATS, f"{existing[0]} was not made by this run", existing)
    if reason := _difference(run, stage, record):
        return Standing(stage, REPEATS if existing else NOT_YET, reason, existing)
    if record.state != State.DONE:
        return Standing(stage, RESUMES)
    reason = changed(record.outputs, stage.outputs)
    if not reason and not (stage.training and (reason := stage.training.lacks())):
        return Standing(stage, DONE)
    if stage.training and is_unchanged(stage.training.final_checkpoint, record.outputs):
        return Standing(stage, RESUMES, reason)
    return Standing(stage, REPEATS, reason, existing)


def own_places(run: RunFolder, stage: Stage) -> tuple[Path, ...]:
    """What exists of a stage's own files and folders, except what it adopted: it is removed before a new start."""
    there = tuple(place for place in stage.makes if not missing([place]))
    if stage.former != ADOPTED:
        return there
    record = read_record(run, stage.name)
    if record is None:
        return ()
    return tuple(place for place in there if str(place) not in record.adopted and is_unchanged(place, record.outputs))


def _difference(run: RunFolder, stage: Stage, record: Record) -> str:
    """In words, what was different when the stage began; empty if nothing was."""
    before, now = record.parameters, dict(stage.parameters)
    keys = [key for key in {**before, **now} if (key in before, before.get(key)) != (key in now, now.get(key))]
    if keys:
        return ", ".join(f"{_named(key)} {_shown(now.get(key))} instead of {_shown(before.get(key))}" for key in keys)
    inputs = inputs_of(run, stage)
    other = [name for name in {**record.inputs, **inputs} if record.inputs.get(name) != inputs.get(name)]
    return f"{other[0]} changed" if other else ""


def _named(key: str) -> str:
    return key if key.startswith("-") else key.replace("_", " ")


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)


def inputs_of(run: RunFolder, stage: Stage) -> dict[str, str]:
    """A digest of what the stage reads of each needed stage and each source; what does not exist yet is left out."""
    inputs = {}
    for need, parts in stage.needs.items():
        record = read_record(run, need)
        if record is not None and record.state == State.DONE:
            inputs[need] = digest(record.outputs, parts)
    return inputs | {str(source): digest(signature(source)) for source in stage.sources if source.exists()}
