"""Worker processes that have PyTorch and nnU-Net already: forked from a process that has imported both once.

nnU-Net starts new Python processes for every validation, and each of them takes eight seconds for its imports.
"""

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from multiprocessing.pool import Pool
from pathlib import Path

import pytest

PRELOADED = ["nnunetv2_mscs.training.trainer", "nnunetv2.run.run_training", "nnunetv2.inference.predict_from_raw_data"]
TAKE_VARIABLES = "import os; os.environ.update(variables)"
CALL = f"{TAKE_VARIABLES}\nimport runpy; runpy.run_path(file)[function](*arguments)"
LONGEST_S = 300


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
        values = {"variables": dict(os.environ), "file": str(file), "function": function}
        started.append(FORKED.Process(target=exec, args=(CALL, {**values, "arguments": (*arguments, rank)})))
        started[-1].start()
    for process in started:
        process.join(LONGEST_S)
    codes = [process.exitcode for process in started]
    for process in started:
        process.kill()
    assert codes == [0] * workers
