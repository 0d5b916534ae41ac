"""What is left of a run: which stages are done and still true, which have to run, why, and what that removes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nnunetv2_mscs.pipeline.graph.stage import Stage
from nnunetv2_mscs.pipeline.state.records import Record, State, read_record
from nnunetv2_mscs.pipeline.state.run_folder import RunFolder
from nnunetv2_mscs.pipeline.state.signatures import changed, digest, missing, signature

NOT_YET, RESUMES, AGAIN, DONE = "not yet", "resumes", "again", "done"


@dataclass(frozen=True)
class Standing:
    """How one stage stands.

    Args:
        stage: which.
        what: DONE; NOT_YET begun; RESUMES where it was interrupted, or begins anew without anybody's loss; AGAIN, for
            `reason`.
        reason: why a stage that was begun before has to begin anew.
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
        if own.what == DONE and upset:
            reason = f"comes after {stages[upset[0]].title}"
            own = Standing(stage, AGAIN, reason, _existing(stage), uncertain=True)
        found[name] = own
    return found


def standing(run: RunFolder, stage: Stage) -> Standing:
    """How a stage stands by its own record, files and inputs."""
    record = read_record(run, stage.name)
    existing = _existing(stage)
    if record is None:
        if not existing:
            return Standing(stage, NOT_YET)
        return Standing(stage, AGAIN, f"{existing[0]} was not made by this run", existing)
    if reason := _other_wish(run, stage, record):
        return Standing(stage, AGAIN if existing else NOT_YET, reason, existing)
    if record.state != State.DONE:
        return Standing(stage, RESUMES)
    if reason := changed(record.outputs, stage.outputs()):
        if stage.resumes and stage.resumes_from and _unchanged(record, stage.resumes_from):
            return Standing(stage, RESUMES)
        return Standing(stage, AGAIN, reason, existing)
    return Standing(stage, DONE)


def _other_wish(run: RunFolder, stage: Stage, record: Record) -> str:
    """In words, what was different when the stage was begun; empty if nothing was."""
    other = [key for key in {**record.parameters, **stage.parameters} if not _same(record, stage, key)]
    if other:
        return "other " + ", ".join(key.replace("_", " ") for key in other)
    now = inputs_of(run, stage)
    other = [name for name in {**record.inputs, **now} if record.inputs.get(name) != now.get(name)]
    return f"{other[0]} changed" if other else ""


def _same(record: Record, stage: Stage, key: str) -> bool:
    return key in record.parameters and key in stage.parameters and record.parameters[key] == stage.parameters[key]


def inputs_of(run: RunFolder, stage: Stage) -> dict[str, str]:
    """A digest of what each needed stage has made and each source holds; those that are not there yet are left out."""
    inputs = {}
    for need in stage.needs:
        record = read_record(run, need)
        if record is not None and record.state == State.DONE:
            inputs[need] = digest(record.outputs)
    return inputs | {str(source): digest(signature(source)) for source in stage.sources if source.exists()}


def _unchanged(record: Record, file: Path) -> bool:
    return {str(file): record.outputs.get(str(file))} == signature(file) if file.is_file() else False


def _existing(stage: Stage) -> tuple[Path, ...]:
    return tuple(place for place in stage.makes if not missing([place]))
