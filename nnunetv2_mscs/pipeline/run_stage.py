"""Carry out one stage, on whatever machine: nothing if it is done, the rest if it was interrupted, else all of it."""

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.commands import as_typed
from nnunetv2_mscs.pipeline.signatures import content_signatures, missing
from nnunetv2_mscs.pipeline.stage import ADOPTED, REPLACED, Here, Stage
from nnunetv2_mscs.pipeline.standing import DONE, RESUMES, inputs_of, own_places, standing
from nnunetv2_mscs.pipeline.state import Record, RunFolder, State, read_record, write_record
from nnunetv2_mscs.workplace.leftovers import end_leftovers
from nnunetv2_mscs.workplace.running import run_command
from nnunetv2_mscs.workplace.whole_files import DISK_FULL


def run_stage(
    run: RunFolder,
    stage: Stage,
    here: Here,
    *,
    environment: Mapping[str, str],
    job: str = "",
    on_begin: Callable[[], None] = lambda: None,
    on_line: Callable[[str], None] = lambda line: None,
    stopped: Callable[[], bool] = lambda: False,
    may_replace: bool = True,
) -> Record:
    """Bring a stage to its end, and keep in its record how that went.

    Args:
        run: the run's folder; the commands run in it.
        stage: whose needs are all done.
        here: where it is carried out.
        environment: variables for its commands, nnU-Net's folders among them.
        job: the cluster's id of this process's job, if there is one.
        on_begin: called unless the stage is done already.
        on_line: takes every line that the commands print.
        stopped: asked twice a second whether to give up.
        may_replace: whether what the stage has made before may be removed.

    Raises:
        MscsError: a command fails, or does not make what it should; the record says so, too. Or something would have to
            be removed that must not be; then nothing was touched.
        Interrupted: `stopped` returned True.
    """
    now, former = standing(run, stage), read_record(run, stage.name)
    if now.what == DONE and former is not None:
        return former
    if now.removes and not may_replace:
        finding = f"{stage.title} has to be done again: {now.reason}. Nothing of it was touched."
        raise MscsError(finding, "Agree: --yes.")
    end_leftovers(run.mark(stage.name))
    again = former if former is not None and now.what == RESUMES else None
    continues = again is not None and not again.to_clear
    to_remove = () if stage.former == REPLACED or (continues and stage.training) else own_places(run, stage)
    gpus = environment.get("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES"))
    attempt = _Attempt(run, stage, _first_record(run, stage, again, to_clear=bool(to_remove), job=job, gpus=gpus))
    with attempt.ends_recorded():
        on_begin()
        attempt.clear(to_remove, keep_log=continues)
        attempt.run_commands(here, environment, on_line, stopped)
        attempt.check_outputs()
    return attempt.record


def _first_record(run: RunFolder, stage: Stage, again: Record | None, **values: Any) -> Record:
    """The record of a new attempt; `again` is that of an earlier attempt with the same inputs and parameters."""
    return Record(
        stage.name,
        State.RUNNING,
        json.loads(json.dumps(dict(stage.parameters))),
        inputs_of(run, stage),
        began=time.time(),
        seconds=_seconds_before(run, again) if again else 0.0,
        attempts=again.attempts + 1 if again else 1,
        host=socket.gethostname(),
        pid=os.getpid(),
        **values,
    )


def _seconds_before(run: RunFolder, record: Record) -> float:
    """What earlier attempts took; one that was killed counts until it last printed something."""
    log = run.log(record.stage)
    if record.state != State.RUNNING or not log.is_file():
        return record.seconds
    return record.seconds + max(log.stat().st_mtime - record.began, 0.0)


class _Attempt:
    """One attempt at a stage; its record on disk says how far it is."""

    def __init__(self, run: RunFolder, stage: Stage, record: Record):
        self.run, self.stage, self.record = run, stage, record
        self.log = run.log(stage.name)
        write_record(run, record)

    @contextmanager
    def ends_recorded(self) -> Iterator[None]:
        """Record how the block ends."""
        try:
            yield
        except MscsError as error:
            self._end(State.FAILED, str(error))
            raise
        except BrokenPipeError:  # raised by whoever follows the run, not by the stage
            self._end(State.INTERRUPTED)
            raise
        except OSError as error:
            failure = MscsError(f"{self.stage.title}: {error}.", DISK_FULL)
            with suppress(MscsError):
                self._end(State.FAILED, str(failure))
            raise failure from error
        except BaseException:
            self._end(State.INTERRUPTED)
            raise
        self._end(State.DONE)

    def _end(self, state: State, error: str = "") -> None:
        now = time.time()
        seconds = self.record.seconds + now - self.record.began
        self.record = replace(self.record, state=state, ended=now, seconds=seconds, error=error)
        write_record(self.run, self.record)

    def clear(self, places: tuple[Path, ...], *, keep_log: bool) -> None:
        """Remove what the stage made before.

        The record says so until it is done: a run that is killed meanwhile must not continue from the rest of it.
        """
        for place in places:
            remove(place)
        if not keep_log:
            self.log.unlink(missing_ok=True)
        adopted = [str(place) for place in self.stage.makes if place.exists()] if self.stage.former == ADOPTED else []
        if self.record.to_clear or adopted:
            self.record = replace(self.record, to_clear=False, adopted=adopted)
            write_record(self.run, self.record)

    def run_commands(
        self, here: Here, environment: Mapping[str, str], on_line: Callable[[str], None], stopped: Callable[[], bool]
    ) -> None:
        for words in self.stage.commands(here):
            run_command(
                words,
                typed=as_typed(words),
                folder=self.run.path,
                log=self.log,
                state=self.run.path,
                environment={**environment, **self.run.mark(self.stage.name)},
                on_line=on_line,
                stopped=stopped,
            )

    def check_outputs(self) -> None:
        """Sign what the commands made. Raises MscsError if it is not all there, or is not what this run needs."""
        stage, remedy = self.stage, f"All it printed is in {self.log}."
        if lacking := missing(stage.outputs):
            raise MscsError(f"{stage.title} succeeded, but did not make {lacking[0]}.", remedy)
        self.record = replace(self.record, outputs=content_signatures(stage.outputs))
        if stage.training and (lacks := stage.training.lacks()):
            raise MscsError(f"{stage.title} succeeded, but there is {lacks}.", remedy)
        stage.verify()


def remove(place: Path) -> None:
    """Remove a file, a link or a whole folder, if it is there."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
