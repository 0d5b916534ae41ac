"""Run a command: show how far it is, keep what it prints, and leave no process behind."""

import os
import re
import select
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.workplace.leftovers import marked

# Seconds that a command has to end by itself after it was asked to.
GRACE_S = 15
# Seconds between two looks whether a command that prints nothing still runs.
POLL_S = 0.5
LAST_LINES = 12


class Interrupted(Exception):
    """A command was ended because its caller asked for it."""


class CommandFailed(MscsError):
    """A command ended with an error; the message holds the last lines that it printed."""


def run_command(
    words: Sequence[str],
    *,
    folder: Path,
    log: Path,
    state: Path,
    typed: str = "",
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda line: None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Run a command in `folder` to its end; its output is appended to `log`, and every line is given to `on_line`.

    The command gets a process group of its own, which is ended with this process: at once after an exception (Ctrl-C
    is one), and by the next run in the folder `state` if this process was killed (see `leftovers`).

    Args:
        words: the program and its arguments.
        folder: the command works in it.
        log: takes a copy of all that it prints.
        state: the folder whose name marks the command's processes.
        typed: the command as a person would type it, for log and messages; by default its words.
        environment: variables beside those of this process.
        on_line: takes each line.
        stopped: asked every POLL_S whether to end the command.

    Raises:
        CommandFailed: the command exits with another code than 0.
        Interrupted: `stopped` returned True.
    """
    typed = typed or shlex.join(words)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as copy:
        copy.write(f"$ {typed}\n".encode())
        copy.flush()
        with subprocess.Popen(
            list(words),
            cwd=folder,
            env={**os.environ, **(environment or {}), **marked(state), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                for line in _lines(process, copy, stopped):
                    on_line(line)
                status = process.wait()
            finally:
                _end_group(process)
    if status != 0:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        last = "\n".join(f"  {line}" for line in lines[-LAST_LINES:])
        reason = f"was killed by signal {-status}" if status < 0 else f"exited with {status}"
        raise CommandFailed(f"{typed} {reason}:\n{last}\n", f"All that it printed is in {log}.")


def _lines(process: subprocess.Popen, copy: IO[bytes], stopped: Callable[[], bool]) -> Iterator[str]:
    """What a process prints, line by line; a carriage return, as in progress bars, ends a line too.

    Ends with the process, even if another that it started lives on and could print more.
    """
    assert process.stdout is not None
    rest = b""
    while True:
        if stopped():
            raise Interrupted
        if not select.select([process.stdout], [], [], POLL_S)[0]:
            if process.poll() is not None:
                break
            continue
        block = os.read(process.stdout.fileno(), 65536)
        if not block:
            break
        copy.write(block)
        copy.flush()
        *lines, rest = re.split(rb"[\r\n]+", rest + block)
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")


def _end_group(process: subprocess.Popen) -> None:
    """End a process and all that it started: first by SIGTERM, then by SIGKILL."""
    if process.poll() is None:
        _signal_group(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
