"""Start a command, show how far it is, keep what it prints, and leave no process behind."""

import os
import re
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.nnunet_files.commands import STARTER
from nnunetv2_mscs.pipeline.leftovers import marked

# Seconds that a command has to end by itself, once it was asked to.
GRACE_S = 15
# Seconds between two looks whether a command that prints nothing still runs.
POLL_S = 0.5
LAST_LINES = 12


class Interrupted(Exception):
    """A command was ended because its caller wished so."""


class CommandFailed(MscsError):
    """A command ended with an error; the message holds the last lines it printed."""


def mscs_command(name: str, *arguments: object) -> list[str]:
    """The words that run a command of ours with this Python."""
    return [sys.executable, "-m", "nnunetv2_mscs.cli.main", name, *map(str, arguments)]


def module_command(module: str, *arguments: object) -> list[str]:
    """The words that run a module of ours with this Python."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def as_typed(words: Sequence[str]) -> str:
    """A command of this module as a person would type it."""
    if words[2] == "nnunetv2_mscs.cli.main":
        return shlex.join(["mscs", *words[3:]])
    if words[2] == STARTER:
        return shlex.join(words[3:])
    return shlex.join(["python", *words[1:]])


def run_command(
    words: Sequence[str],
    *,
    folder: Path,
    log: Path,
    state: Path,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda line: None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Run a command in `folder` to its end; its output is appended to `log`, and every line goes to `on_line`.

    The command gets a process group of its own, which is ended with this process: at once on an exception (Ctrl-C is
    one), and by the next run in the folder `state` if this process was killed (see `leftovers`).

    Raises:
        CommandFailed: if it exits with anything but 0.
        Interrupted: `stopped`, which is asked every POLL_S, told to end it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as copy:
        copy.write(f"$ {as_typed(words)}\n".encode())
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
                end_group(process)
    if status != 0:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        last = "\n".join(f"  {line}" for line in lines[-LAST_LINES:])
        reason = f"was killed by signal {-status}" if status < 0 else f"exited with {status}"
        raise CommandFailed(f"{as_typed(words)} {reason}:\n{last}\n", f"All that it printed is in {log}.")


def _lines(process: subprocess.Popen, copy: IO[bytes], stopped: Callable[[], bool]) -> Iterator[str]:
    """What a process prints, as it comes: lines ended by newlines or, as progress bars do, by carriage returns.

    Its end is the end, even if a process that it started lives on and could print more.
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


def end_group(process: subprocess.Popen) -> None:
    """End a process and all that it started: asked first, then killed."""
    if process.poll() is None:
        signal_group(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    signal_group(process.pid, signal.SIGKILL)
    process.wait()


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to every process of a group, if there is any left."""
    with suppress(ProcessLookupError):
        os.killpg(group, number)
