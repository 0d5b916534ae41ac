"""Commands are run to their end, shown, kept in a log, and leave no process behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.workplace.leftovers import marked, processes_with, sole_run
from nnunetv2_mscs.workplace.running import CommandFailed, run_command

# A command that starts a child, tells its number, and goes on for a minute, or dies at once.
START = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("started", child.pid, flush=True)
"""
LONG, DYING = f"{START}time.sleep(60)", f"{START}os.kill(os.getpid(), 9)"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_end(process: int) -> bool:
    for _ in range(100):
        if not alive(process):
            return True
        time.sleep(0.05)
    return False


def test_lines_and_carriage_returns_arrive_as_they_are_printed_and_the_log_keeps_all(tmp_path):
    lines: list[str] = []
    code = "import os; print('here:', os.getcwd()); print('1/2\\r2/2', end='')"
    log = tmp_path / "logs/work.log"
    run_command(python(code), folder=tmp_path, log=log, state=tmp_path, on_line=lines.append)
    assert [line for line in lines if line] == [f"here: {tmp_path}", "1/2", "2/2"]
    assert "2/2" in log.read_text()


def test_a_failure_shows_the_last_lines_and_the_log(tmp_path):
    log = tmp_path / "work.log"
    with pytest.raises(CommandFailed, match=r"(?s)exited with 3.*the reason.*work.log"):
        run_command(python("print('the reason'); raise SystemExit(3)"), folder=tmp_path, log=log, state=tmp_path)


def test_an_interrupt_ends_the_command_and_what_it_started(tmp_path):
    children: list[int] = []

    def interrupt(line: str) -> None:
        children.append(int(line.split()[1]))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_command(python(LONG), folder=tmp_path, log=tmp_path / "log", state=tmp_path, on_line=interrupt)
    assert wait_for_end(children[0])


RUNNER = """
import sys
from pathlib import Path
from nnunetv2_mscs.workplace.running import run_command
from nnunetv2_mscs.workplace.leftovers import sole_run
folder = Path(sys.argv[1])
with sole_run(folder / "state"):
    run_command(
        [sys.executable, "-c", sys.argv[2]], folder=folder, log=folder / "log", state=folder / "state",
        on_line=lambda line: print(line, flush=True),
    )
"""


def start_runner(folder: Path) -> tuple[subprocess.Popen, int]:
    """A run in a process of its own, and the process that its command has started."""
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(folder), LONG], stdout=subprocess.PIPE, text=True, cwd=folder
    )
    assert runner.stdout is not None
    return runner, int(runner.stdout.readline().split()[1])


def test_a_second_run_is_refused_and_after_a_kill_ends_what_was_left(tmp_path):
    runner, child = start_runner(tmp_path)
    try:
        with pytest.raises(MscsError, match=f"Process {runner.pid} on .* is at work"), sole_run(tmp_path / "state"):
            pytest.fail("two runs in one folder")
        assert alive(child)
        runner.send_signal(signal.SIGKILL)
        runner.communicate()
        assert alive(child)
        with sole_run(tmp_path / "state"):
            assert wait_for_end(child)
    finally:
        runner.kill()
        runner.wait()


def test_what_is_left_is_ended_even_without_the_command_that_started_it(tmp_path):
    """The command dies, too: only its child is left, which no one would know by the command's number."""
    runner, child = start_runner(tmp_path)
    (command,) = [process for process in processes_with(marked(tmp_path / "state")) if process != child]
    runner.kill()
    runner.communicate()
    os.kill(command, signal.SIGKILL)
    assert alive(child)
    with sole_run(tmp_path / "state"):
        assert wait_for_end(child)


def test_a_command_that_is_killed_ends_though_its_child_holds_the_output(tmp_path):
    children: list[int] = []
    start = time.monotonic()
    with pytest.raises(CommandFailed, match="was killed by signal 9"):
        run_command(
            python(DYING),
            folder=tmp_path,
            log=tmp_path / "log",
            state=tmp_path,
            on_line=lambda line: children.append(int(line.split()[1])),
        )
    assert time.monotonic() - start < 30
    assert wait_for_end(children[0])
