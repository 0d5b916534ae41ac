"""What is left of a run: which stages are done and still true, which have to run, why, and what that removes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2_mscs.pipeline.signatures import changed, digest, is_unchanged, missing, signature
from nnunetv2_mscs.pipeline.stage import Stage
from nnunetv2_mscs.pipeline.state import Record, RunFolder, State, read_record

NOT_YET, RESUMES, AGAIN, DONE = "not yet", "resumes", "again", "done"


@dataclass(frozen=True)
class Standing:
    """How one stage stands.

    Args:
        stage: which.
        what: DONE; NOT_YET begun; RESUMES where it was interrupted, or begins anew without anybody's loss; AGAIN, for
            `reason`.
        reason: why a stage that was begun before has to begin anew, or to go on though it was done.
        removes: files and folders, finished ones or others', that go before it begins.
        uncertain: whether it has to run only if a stage before it makes something else than it did before.
    """

    stage: Stage
    what: str
    reason: str = ""
    removes: tuple[Path, ...] = ()
    uncertain: bool = False


def standings(run: RunFolder, stages: Mapping[str, Stage]) -> dict[str, Standing]:
    """How every stage stands now, taking into account what those before it are going to do."""
    found: dict[str, Standing] = {}
    for name, stage in stages.items():
        own = standing(run, stage)
        upset = [need for need in stage.needs if found[need].what != DONE]
        loses = own.what == DONE or (own.what == RESUMES and stage.resumes and bool(own_places(run, stage)))
        if loses and upset:
            reason = f"comes after {stages[upset[0]].title}"
            own = Standing(stage, AGAIN, reason, own_places(run, stage), uncertain=True)
        found[name] = own
    return found


def standing(run: RunFolder, stage: Stage) -> Standing:
    """How a stage stands by its own record, files and inputs."""
    record = read_record(run, stage.name)
    existing = own_places(run, stage)
    if record is None:
        if not existing:
            return Standing(stage, NOT_YET)
        return Standing(stage, AGAIN, f"{existing[0]} was not made by this run", existing)
    if reason := _other_wish(run, stage, record):
        return Standing(stage, AGAIN if existing else NOT_YET, reason, existing)
    if record.state != State.DONE:
        return Standing(stage, RESUMES)
    reason = changed(record.outputs, stage.outputs())
    if not reason and not (reason := stage.lacks()):
        return Standing(stage, DONE)
    if stage.resumes and stage.resumes_from and is_unchanged(stage.resumes_from, record.outputs):
        return Standing(stage, RESUMES, reason)
    return Standing(stage, AGAIN, reason, existing)


def own_places(run: RunFolder, stage: Stage) -> tuple[Path, ...]:
    """What there is of a stage's files and folders, without what it adopts: those go before it begins anew."""
    there = tuple(place for place in stage.makes if not missing([place]))
    if not stage.adopts:
        return there
    record = read_record(run, stage.name)
    if record is None:
        return ()
    return tuple(place for place in there if str(place) not in record.adopted and is_unchanged(place, record.outputs))


def _other_wish(run: RunFolder, stage: Stage, record: Record) -> str:
    """In words, what was different when the stage was begun; empty if nothing was."""
    other = [key for key in {**record.parameters, **stage.parameters} if not _same(record, stage, key)]
    if other:
        return ", ".join(_difference(key, record.parameters.get(key), stage.parameters.get(key)) for key in other)
    now = inputs_of(run, stage)
    other = [name for name in {**record.inputs, **now} if record.inputs.get(name) != now.get(name)]
    return f"{other[0]} changed" if other else ""


def _difference(key: str, before: Any, now: Any) -> str:
    return f"{key if key.startswith('-') else key.replace('_', ' ')} {_shown(now)} instead of {_shown(before)}"


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)


def _same(record: Record, stage: Stage, key: str) -> bool:
    return key in record.parameters and key in stage.parameters and record.parameters[key] == stage.parameters[key]


def inputs_of(run: RunFolder, stage: Stage) -> dict[str, str]:
    """A digest of what it reads of each needed stage and each source; what is not there yet is left out."""
    inputs = {}
    for need in stage.needs:
        record = read_record(run, need)
        if record is not None and record.state == State.DONE:
            inputs[need] = digest(record.outputs, stage.reads.get(need, ()))
    return inputs | {str(source): digest(signature(source)) for source in stage.sources if source.exists()}
