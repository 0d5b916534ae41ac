"""The command as a process: streams and exit codes."""

import argparse
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from nnunetv2_mscs.cli.main import COMMANDS, main
from nnunetv2_mscs.workplace.leftovers import marked, processes_with

MSCS = str(Path(sys.executable).parent / "mscs")


def run(*words: str, **arguments) -> subprocess.CompletedProcess:
    return subprocess.run([MSCS, *words], capture_output=True, text=True, timeout=120, **arguments)


def test_wrong_use_is_2_and_help_names_every_command():
    assert run("unknown").returncode == 2
    assert run("convert").returncode == 2
    help_text = run("--help").stdout
    assert all(name in help_text for name in (*COMMANDS, "nnUNetv2_train", "MSCSPlans"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as shown:
        main([command, "--help"])
    assert shown.value.code == 0
    assert f"example:\n  mscs {command}" in capsys.readouterr().out


def test_a_failure_is_one_line_without_traceback(tmp_path):
    failed = run("convert", str(tmp_path / "nothing"), "1", "X", env={**os.environ, "nnUNet_raw": str(tmp_path)})
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith("mscs convert: ")
    assert len(failed.stderr.splitlines()) == 1
    shown = run(
        "convert", str(tmp_path / "nothing"), "1", "X", "--debug", env={**os.environ, "nnUNet_raw": str(tmp_path)}
    )
    assert "Traceback" in shown.stderr


def test_being_terminated_ends_what_the_command_started(tmp_path):
    """SIGTERM, as of a job scheduler, in the middle of a demo: the command it runs goes with it."""
    with subprocess.Popen([MSCS, "demo", "--out", str(tmp_path / "demo")], stdout=subprocess.PIPE, text=True) as demo:
        state = tmp_path / "demo"
        for _ in range(3000):
            if processes_with(marked(state)):
                break
            time.sleep(0.1)
        assert processes_with(marked(state))
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(timeout=60) == 130
    assert not processes_with(marked(state))


def test_a_forked_worker_is_ended_by_sigterm_at_once(monkeypatch):
    """As any process is: a handler in Python would be looked at only after a wait in C, which may have no end."""
    fork = multiprocessing.get_context("fork")
    listening, telling = fork.Pipe(duplex=False)

    def wait_for_ever() -> None:
        telling.send("forked")
        while True:
            with suppress(KeyboardInterrupt):
                time.sleep(60)

    def command(_: argparse.Namespace) -> int:
        worker = fork.Process(target=wait_for_ever)
        worker.start()
        assert listening.recv() == "forked"
        worker.terminate()
        worker.join(timeout=60)
        ended_by.append(worker.exitcode)
        worker.kill()
        return 0

    ended_by: list[int | None] = []
    monkeypatch.setattr("nnunetv2_mscs.cli.doctor.run", command)
    assert main(["doctor"]) == 0
    assert ended_by == [-signal.SIGTERM]


def test_a_reader_that_goes_away_is_no_error_of_ours():
    command = f"set -o pipefail; {MSCS} --version | true; {MSCS} doctor | head -n 1"
    piped = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert "Traceback" not in piped.stderr
    assert "BrokenPipe" not in piped.stderr


def test_closed_and_narrow_streams_do_not_change_the_exit_code(tmp_path):
    name = str(tmp_path / "Müller")
    environment = {**os.environ, "nnUNet_raw": str(tmp_path), "PYTHONIOENCODING": "ascii"}
    narrow = run("convert", name, "1", "X", env=environment)
    assert (narrow.returncode, "M\\xfcller" in narrow.stderr) == (1, True)
    closed = subprocess.run(["bash", "-c", f"{MSCS} convert '{name}' 1 X >&- 2>&-"], env=environment, timeout=120)
    assert closed.returncode == 1
