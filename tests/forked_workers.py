"""Processes that have PyTorch and nnU-Net already: forked from a process that has imported both once.

A new Python takes five to ten seconds for their imports, and nnU-Net starts several for a prediction or a validation.
"""

import json
import multiprocessing
import operator
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import reduction
from multiprocessing.context import ForkServerContext
from multiprocessing.pool import Pool
from pathlib import Path
from types import SimpleNamespace

import pytest

from nnunetv2_mscs.workplace import running

PRELOADED = [
    *("nnunetv2_mscs.training.trainer", "nnunetv2.run.run_training", "nnunetv2.inference.predict_from_raw_data"),
    *("matplotlib.pyplot", "nibabel", "pandas", "scipy.stats", "SimpleITK"),
]
TAKE_VARIABLES = "import os; os.environ.update(variables)"
# At the end of the path: the package is the installed one.
CALL = f"{TAKE_VARIABLES}\nimport runpy, sys; sys.path.append(root); runpy.run_path(file)[function](*arguments)"
ROOT = str(Path(__file__).parents[1])
LONGEST_S = 1200


class Forked(ForkServerContext):
    """For "spawn"; the workers of a pool have this process's environment."""

    def Pool(self, processes: int | None = None) -> Pool:  # type: ignore[override]
        return super().Pool(processes, exec, (TAKE_VARIABLES, {"variables": dict(os.environ)}))


FORKED = Forked()
FORKED.set_forkserver_preload(PRELOADED)


@contextmanager
def forked_pools() -> Iterator[None]:
    """Let nnU-Net's pools in this process be forked ones."""
    get_context = multiprocessing.get_context
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            multiprocessing, "get_context", lambda method=None: FORKED if method == "spawn" else get_context(method)
        )
        yield


def call_in_workers(file: str | Path, function: str, *arguments: object, workers: int = 2) -> None:
    """Call a function of a file in several processes side by side, with each one's number behind the arguments."""
    started = []
    for rank in range(workers):
        values = {"variables": dict(os.environ), "file": str(file), "function": function, "root": ROOT}
        started.append(FORKED.Process(target=exec, args=(CALL, {**values, "arguments": (*arguments, rank)})))
        started[-1].start()
    for process in started:
        process.join(LONGEST_S)
    codes = [process.exitcode for process in started]
    for process in started:
        process.kill()
    assert codes == [0] * workers


# What a forked process does to be a command. nnU-Net and our package are imported anew: both read variables then. It
# draws a hundredth of the intensities (see `FewSamples`). The workers of its pools are forked too. OpenMP does not bear
# a fork beside its threads, so each process has only one.
COMMAND = """
import multiprocessing.context, os, runpy, sys, torch
from importlib.metadata import entry_points

os.setsid()
for output, number in zip(outputs, (1, 2)):
    os.dup2(output, number)
    os.close(output)
sys.stdin, sys.stdout, sys.stderr = open(os.devnull), open(1, "w", 1, closefd=False), open(2, "w", 1, closefd=False)
os.environ.clear()
trains = "nnUNetv2_train" in map(os.path.basename, words)
os.environ.update(variables, nnUNet_n_proc_DA="0" if trains else "1")  # by 1 nnU-Net's planner sets PyTorch's threads
os.chdir(folder)
for name in [name for name in sys.modules if name.split(".")[0] in ("nnunetv2", "nnunetv2_mscs")]:
    del sys.modules[name]
torch.set_num_threads(1)
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
multiprocessing.cpu_count = lambda: 1
multiprocessing.context._force_start_method("fork")
multiprocessing.get_context = lambda method=None: multiprocessing.context._concrete_contexts["fork"]
program, *arguments = words
if any("fingerprint" in word or "plan_and_preprocess" in word for word in words) and "ALL_SAMPLES" not in variables:
    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor

    class FewSamples(fingerprint_extractor.DatasetFingerprintExtractor):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.num_foreground_voxels_for_intensitystats = 1e6

    fingerprint_extractor.DatasetFingerprintExtractor = FewSamples
if program != sys.executable:
    sys.argv = words
    script = next(iter(entry_points(group="console_scripts", name=os.path.basename(program))))
    sys.exit(script.load()())
elif arguments[0] == "-m":
    sys.argv = arguments[1:]
    runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
elif arguments[0] == "-c":
    sys.argv = ["-c", *arguments[2:]]
    exec(arguments[1], {"__name__": "__main__"})
else:
    sys.argv = arguments
    sys.path.insert(0, os.path.dirname(arguments[0]))
    runpy.run_path(arguments[0], run_name="__main__")
"""


class Handle:
    """An open file of this process, for a process that is being started."""

    def __init__(self, number: int):
        self.number = number

    def __reduce__(self) -> tuple:
        return operator.methodcaller("detach"), (reduction.DupFd(self.number),)


class ForkedCommand:
    """The part of subprocess.Popen that our code uses, for commands of this environment, whose imports it spares.

    What reads /proc/PID/environ does not find the command's variables there.
    """

    def __init__(
        self, words: Sequence[str], *, cwd: Path, env: Mapping[str, str], stderr: int | None = None, **_: object
    ):
        reading, writing = os.pipe()
        values = {
            **{"words": list(words), "folder": str(cwd), "variables": dict(env)},
            "outputs": [Handle(writing), Handle(writing if stderr in (None, subprocess.STDOUT) else stderr)],
        }
        self.args, self.stdout = words, os.fdopen(reading, "rb", buffering=0)
        self.process = FORKED.Process(target=exec, args=(COMMAND, values))
        self.process.start()
        os.close(writing)
        self.pid = self.process.pid

    def __enter__(self) -> "ForkedCommand":
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.process.join()

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.process.exitcode


def run_forked(words: Sequence[str], cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command of this environment as subprocess.run does with captured text."""
    with tempfile.TemporaryFile() as errors:
        with ForkedCommand(words, cwd=cwd, env=env, stderr=errors.fileno()) as process:
            output = b"".join(iter(lambda: process.stdout.read(65536), b""))
            status = process.wait()
        errors.seek(0)
        return subprocess.CompletedProcess(words, status, output.decode(), errors.read().decode())


@contextmanager
def forked_stages() -> Iterator[None]:
    """Let the commands that a run in this process starts be forked ones."""
    names = {name: getattr(subprocess, name) for name in ("DEVNULL", "PIPE", "STDOUT", "TimeoutExpired")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "subprocess", SimpleNamespace(Popen=ForkedCommand, **names))
        yield


# In a shell's PATH for a program of this environment.
ASKS = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as asking:
    asking.connect({address!r})
    asking.sendall(json.dumps([os.path.basename(sys.argv[0]), sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
    asking.shutdown(socket.SHUT_WR)
    status, output, errors = json.load(asking.makefile())
sys.stdout.write(output)
sys.stderr.write(errors)
sys.exit(status if status >= 0 else 128 - status)
"""


@contextmanager
def programs_that_ask_for_a_fork() -> Iterator[Path]:
    """A folder with stand-ins for Python, mscs and the programs of nnU-Net, which a shell is to find first."""
    real = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX) as listening:
        address, folder = f"{name}/socket", Path(name, "bin")
        folder.mkdir()
        for program in ("python", "mscs", *(script.name for script in real.glob("nnUNetv2_*"))):
            (folder / program).write_text(ASKS.format(python=sys.executable, address=address))
            (folder / program).chmod(0o755)
        listening.bind(address)
        listening.listen()
        threading.Thread(target=_answer, args=(listening, real), daemon=True).start()
        yield folder
        listening.shutdown(socket.SHUT_RDWR)


def _answer(listening: socket.socket, real: Path) -> None:
    with suppress(OSError):  # the end
        while True:
            asking, _ = listening.accept()
            with asking:
                program, arguments, folder, variables = json.load(asking.makefile())
                words = [sys.executable if program == "python" else str(real / program), *arguments]
                done = run_forked(words, Path(folder), variables)
                asking.sendall(json.dumps([done.returncode, done.stdout, done.stderr]).encode())
