"""Carry out one stage, on whatever machine: nothing if it is done, the rest of it if it was interrupted, else all."""

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.commands import as_typed
from nnunetv2_mscs.pipeline.signatures import content_signatures, missing
from nnunetv2_mscs.pipeline.stage import Here, Stage
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
        run: the run's folder; the commands are run in it.
        stage: whose needs are all done.
        here: where it is carried out.
        environment: variables for its commands, nnU-Net's folders among them.
        job: the cluster's name for what this process does, if any.
        on_begin: called unless the stage is done already.
        on_line: is given every line that the commands print.
        stopped: whether to give up; asked twice a second.
        may_replace: whether what it has made before may go.

    Raises:
        MscsError: a command fails, or has not made what it should. The record tells it, too. Or something would have to
            go that must not; then nothing was touched.
        Interrupted: `stopped` said so.
    """
    now = standing(run, stage)
    former = read_record(run, stage.name)
    if now.what == DONE and former is not None:
        return former
    if now.removes and not may_replace:
        raise MscsError(
            f"{stage.title} has to be done again: {now.reason}. Nothing of it was touched.", "Agree: --yes."
        )
    mark = run.mark(stage.name)
    end_leftovers(mark)
    again = former if former is not None and now.what == RESUMES else None
    goes_on = again is not None and not again.to_clear
    # What has to go is kept in mind until it is gone: a run killed meanwhile must not go on from the rest of it.
    going = () if stage.replaces or (goes_on and stage.resumes) else own_places(run, stage)
    record = Record(
        stage.name,
        State.RUNNING,
        json.loads(json.dumps(dict(stage.parameters))),
        inputs_of(run, stage),
        to_clear=bool(going),
        began=time.time(),
        seconds=again.seconds if again else 0.0,
        attempts=again.attempts + 1 if again else 1,
        host=socket.gethostname(),
        pid=os.getpid(),
        job=job,
        gpus=environment.get("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES")),
    )
    write_record(run, record)
    log = run.log(stage.name)
    try:
        on_begin()
        for place in going:
            remove(place)
        if stage.adopts:
            record = replace(record, adopted=[str(place) for place in stage.makes if place.exists()])
        if not goes_on:
            log.unlink(missing_ok=True)
        if record.to_clear or record.adopted:
            record = replace(record, to_clear=False)
            write_record(run, record)
        for words in stage.commands(here):
            run_command(
                words,
                typed=as_typed(words),
                folder=run.path,
                log=log,
                state=run.path,
                environment={**environment, **mark},
                on_line=on_line,
                stopped=stopped,
            )
        outputs = stage.outputs()
        if lacking := missing(outputs):
            raise MscsError(f"{stage.title} ended well but did not make {lacking[0]}.", f"All it printed is in {log}.")
        record = replace(record, outputs=content_signatures(outputs))
        if lacks := stage.lacks():
            raise MscsError(f"{stage.title} ended well, but there is {lacks}.", f"All it printed is in {log}.")
        stage.verify()
    except MscsError as error:
        write_record(run, _ended(record, State.FAILED, str(error)))
        raise
    except BrokenPipeError:  # of who follows the run, not of the stage
        write_record(run, _ended(record, State.INTERRUPTED))
        raise
    except OSError as error:
        failure = MscsError(f"{stage.title}: {error}.", DISK_FULL)
        with suppress(MscsError):
            write_record(run, _ended(record, State.FAILED, str(failure)))
        raise failure from error
    except BaseException:
        write_record(run, _ended(record, State.INTERRUPTED))
        raise
    done = _ended(record, State.DONE)
    write_record(run, done)
    return done


def _ended(record: Record, state: State, error: str = "") -> Record:
    now = time.time()
    return replace(record, state=state, ended=now, seconds=record.seconds + now - record.began, error=error)


def remove(place: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
