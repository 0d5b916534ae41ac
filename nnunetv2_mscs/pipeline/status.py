"""Where a run stands: the state of every stage and of the whole."""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.liveness import Surroundings, life_of, look_around
from nnunetv2_mscs.pipeline.logs import TrainingProgress, last_attempt, last_count, last_lines, read_progress
from nnunetv2_mscs.pipeline.remedies import Remedy, remedies_for
from nnunetv2_mscs.pipeline.stage import Stage
from nnunetv2_mscs.pipeline.stages import build_stages
from nnunetv2_mscs.pipeline.standing import REPEATS, Standing, standings
from nnunetv2_mscs.pipeline.state import Record, RunFolder, State, read_record, record_file
from nnunetv2_mscs.pipeline.training_stages import LENGTH, TRAIN_PREFIX

WAITING, BLOCKED, RUNNING, DONE = "waiting", "blocked", "running", "done"
FAILED, INTERRUPTED, STALE, UNKNOWN = "failed", "interrupted", "stale", "unknown"


@dataclass(frozen=True)
class StageStatus:
    """How one stage stands.

    Args:
        name: of the stage.
        title: for people.
        state: WAITING; BLOCKED, as a stage before it failed; RUNNING; DONE; FAILED; INTERRUPTED: the next `mscs run`
            continues it; STALE: the next `mscs run` does it again; UNKNOWN: it runs on a machine that cannot be asked
            from here.
        reason: why.
        seconds: time it took so far, all attempts together.
        began: when the last attempt began, in seconds since 1970.
        attempts: how often it began.
        host: the machine of the last attempt.
        job: the cluster's id of its job.
        gpus: what CUDA_VISIBLE_DEVICES held for it.
        log: what its commands printed; None before they print.
        error: if it failed.
        last_lines: of its log, if it failed.
        remedies: what may help, if it failed.
        progress: of a training.
        counted: how many of how many its last progress bar shows, while it runs.
    """

    name: str
    title: str
    state: str = WAITING
    reason: str = ""
    seconds: float = 0.0
    began: float | None = None
    attempts: int = 0
    host: str = ""
    job: str = ""
    gpus: str | None = None
    log: Path | None = None
    error: str = ""
    last_lines: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    progress: TrainingProgress | None = None
    counted: tuple[int, int] | None = None

    @property
    def is_training(self) -> bool:
        return self.name.startswith(TRAIN_PREFIX)


@dataclass(frozen=True)
class RunStatus:
    """How a run stands.

    Args:
        dataset: its full name.
        run: its folder.
        folders: nnU-Net's, by their variables.
        executor: local or slurm.
        state: RUNNING; WAITING in a queue; DONE; FAILED, with nothing at work; INTERRUPTED, with nothing at work and
            nothing failed; STALE: all done, but part of it is out of date; UNKNOWN.
        stages: in their order.
        files_checked: whether the files that stages made were checked; if not, DONE may be out of date.
        expected_end: of the trainings, in seconds since 1970; None if not known.
        is_latest_end: whether early stopping may end them sooner.
        notes: further remarks.
    """

    dataset: str
    run: Path
    folders: Mapping[str, str]
    executor: str
    state: str
    stages: tuple[StageStatus, ...]
    files_checked: bool
    expected_end: float | None = None
    is_latest_end: bool = False
    notes: tuple[str, ...] = ()

    @property
    def is_alive(self) -> bool:
        return self.state in (RUNNING, WAITING, UNKNOWN)

    def count(self, state: str) -> int:
        return sum(stage.state == state for stage in self.stages)

    def as_json(self) -> dict[str, Any]:
        """All of it; seconds since 1970 for times, null for what is not known."""
        values = dataclasses.asdict(self)
        values["run"] = str(self.run)
        for stage in values["stages"]:
            stage["log"] = str(stage["log"]) if stage["log"] else None
            stage["remedies"] = [{key: one[key] for key in ("finding", "remedy")} for one in stage["remedies"]]
        return values


def run_status(run: RunFolder, *, check_files: bool = True) -> RunStatus:
    """Look how a run stands; this changes and disturbs nothing.

    Args:
        run: its folder.
        check_files: also check whether what is done is up to date, unless something is at work. This reads names, sizes
            and times of all files, and the content of small ones: seconds for thousands of cases.

    Raises:
        MscsError: there is no such run.
    """
    content = run.read()
    around = look_around(run)
    stages, notes = _stages(run)
    check_files = check_files and not around.is_alive and bool(stages)
    stands = standings(run, stages) if check_files else {}
    names = list(stages) or _recorded(run)
    found: dict[str, StageStatus] = {}
    for name in names:
        title = stages[name].title if name in stages else name
        status = _stage_status(run, name, title, around, stands.get(name))
        needs = stages[name].needs if name in stages else ()
        found[name] = _after(status, [found[need] for need in needs if need in found])
    statuses = tuple(found.values())
    end, is_latest = expected_end(statuses, time.time())
    return RunStatus(
        dataset=run.path.parent.name,
        run=run.path,
        folders=content["folders"],
        executor=content.get("execution", {}).get("executor", "local"),
        state=_of_all(statuses, around),
        stages=statuses,
        files_checked=check_files,
        expected_end=end,
        is_latest_end=is_latest,
        notes=(*notes, *((f"Slurm cannot be asked: {around.unasked}",) if around.unasked else ())),
    )


def _stages(run: RunFolder) -> tuple[dict[str, Stage], tuple[str, ...]]:
    """The run's stages; or none and the reason, if its scans are gone."""
    try:
        return build_stages(run.settings(), run.folders()), ()
    except MscsError as error:
        return {}, (f"Only stages that have begun are shown: {error.finding}",)


def _recorded(run: RunFolder) -> list[str]:
    records = [_read(run, file.stem) for file in run.records.glob("*.json")]
    return [record.stage for record in sorted(filter(None, records), key=lambda record: record.began)]


def _read(run: RunFolder, stage: str) -> Record | None:
    """A stage's record without the long list of its files; read again only after a change."""
    try:
        state = record_file(run, stage).stat()
    except OSError:
        return None
    return _read_once(run, stage, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1024)
def _read_once(run: RunFolder, stage: str, changed_ns: int, size: int) -> Record | None:
    record = read_record(run, stage)
    return record and replace(record, outputs={}, inputs={})


def _stage_status(
    run: RunFolder, name: str, title: str, around: Surroundings, standing: Standing | None
) -> StageStatus:
    record = _read(run, name)
    if record is None:
        foreign = standing.reason if standing and standing.what == REPEATS else ""
        return StageStatus(name, title, reason=foreign or around.job_words(name))
    log = run.log(name)
    status = StageStatus(
        name,
        title,
        seconds=record.seconds,
        began=record.began,
        attempts=record.attempts,
        host=record.host,
        job=record.job,
        gpus=record.gpus,
        log=log if log.is_file() else None,
        progress=_progress(name, log),
    )
    if record.state == State.RUNNING:
        return _begun(run, status, record, around)
    if record.state == State.DONE:
        return _done(status, standing)
    if around.will_begin(record):
        before = f"{record.state.value} before"
        return replace(status, state=WAITING, reason=", ".join(filter(None, [before, around.job_words(name)])))
    if record.state == State.INTERRUPTED:
        return replace(status, state=INTERRUPTED)
    return _with_error(replace(status, state=FAILED), record.error)


def _done(status: StageStatus, standing: Standing | None) -> StageStatus:
    """A stage that was done: it still is, is out of date, or may be after what those before it will make."""
    if standing is None or standing.what != REPEATS:
        return replace(status, state=DONE)
    if standing.uncertain:
        return replace(status, state=DONE, reason=f"{standing.reason}: perhaps done again")
    return replace(status, state=STALE, reason=standing.reason)


def _progress(name: str, log: Path) -> TrainingProgress | None:
    if not name.startswith(TRAIN_PREFIX):
        return None
    length = LENGTH.search(name)
    return read_progress(log, epochs=int(length[1]) if length else None)


def _begun(run: RunFolder, status: StageStatus, record: Record, around: Surroundings) -> StageStatus:
    """A stage whose record says that it runs."""
    life = life_of(run, record, around)
    if life.lives:
        seconds = record.seconds + time.time() - record.began
        counted = last_count(status.log) if status.log and not status.is_training else None
        return replace(status, state=RUNNING, reason=life.words, seconds=seconds, counted=counted)
    if life.lives is None:
        return replace(status, state=UNKNOWN, reason=life.words)
    if life.queued or around.will_begin(record):
        return replace(status, state=WAITING, reason=life.words)
    return _with_error(replace(status, state=INTERRUPTED, reason=life.words), life.words)


def _with_error(status: StageStatus, error: str) -> StageStatus:
    """With what its log says about why it ended."""
    printed = last_attempt(status.log) if status.log else ""
    return replace(
        status,
        error=error if status.state == FAILED else "",
        last_lines=last_lines(printed) if status.state == FAILED else (),
        remedies=tuple(remedies_for(printed, error)),
    )


def _after(status: StageStatus, needs: list[StageStatus]) -> StageStatus:
    """A stage that waits is blocked if one that it needs failed."""
    failed = [need for need in needs if need.state in (FAILED, BLOCKED)]
    if status.state != WAITING or not failed:
        return status
    first = failed[0]
    return replace(status, state=BLOCKED, reason=f"{first.title} failed" if first.state == FAILED else first.reason)


def _of_all(stages: tuple[StageStatus, ...], around: Surroundings) -> str:
    states = {stage.state for stage in stages}
    if RUNNING in states or around.holder:
        return RUNNING
    if any(job.is_live for job in around.jobs.values()):
        return WAITING
    for state in (UNKNOWN, FAILED):
        if state in states:
            return state
    if states <= {DONE, STALE} and stages:
        return STALE if STALE in states else DONE
    return UNKNOWN if around.unasked else INTERRUPTED


def expected_end(stages: tuple[StageStatus, ...], now: float) -> tuple[float | None, bool]:
    """When the trainings end, by those that run and by how many run at a time; and whether it may be sooner.

    A training that waits is expected to take as long as the others on average. None if none runs, or if the log of a
    running one does not show yet how long it takes.
    """
    trainings = [stage for stage in stages if stage.is_training]
    running = [stage for stage in trainings if stage.state == RUNNING]
    left = {stage.name: _seconds_left(stage, now) for stage in running}
    if not running or None in left.values():
        return None, False
    seconds = [value or 0.0 for value in left.values()]
    whole = [stage.seconds + (left.get(stage.name) or 0.0) for stage in trainings if stage.state in (RUNNING, DONE)]
    waiting = sum(stage.state in (WAITING, INTERRUPTED) for stage in trainings)
    in_turn = (sum(seconds) + waiting * sum(whole) / len(whole)) / len(running)
    is_latest = any(stage.progress is not None and stage.progress.is_latest_end for stage in running)
    return now + max(*seconds, in_turn), is_latest


def _seconds_left(stage: StageStatus, now: float) -> float | None:
    progress = stage.progress
    if progress is None:
        return None
    if progress.trained:
        return 0.0
    return max(progress.epochs_end - now, 0.0) if progress.epochs_end is not None else None
