"""One run in a folder at a time, and an end to what a killed run left running there.

Every process that a run starts has the folder's name in its environment, and so has every process that those start.
So what is left of a run can be found, whichever of its processes died.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnunetv2_mscs.workplace.locks import WAIT, sole_holder
from nnunetv2_mscs.workplace.whole_files import writing

LOCK = "lock"
RUN_VARIABLE = "MSCS_RUN_IN"
SECONDS_TO_END = 10.0
LOOKS = 4


@contextmanager
def sole_run(state: Path, *, place: Path | None = None, remedy: str = WAIT) -> Iterator[None]:
    """Hold the folder `state` for this process alone; what a killed run left running is ended first.

    Args:
        state: the folder; it is made if it is not there.
        place: where the run works, for messages; by default the folder that `state` lies in.
        remedy: for others who want it meanwhile.

    Raises:
        MscsError: another process holds it, it cannot be made, or the system or its disk has no locks.
    """
    with writing(state):
        state.mkdir(parents=True, exist_ok=True)
    with sole_holder(state / LOCK, place or state.parent, remedy=remedy):
        end_leftovers(marked(state))
        yield


def marked(state: Path) -> dict[str, str]:
    """The variable that marks processes as started by a run in this folder."""
    return {RUN_VARIABLE: str(state.resolve())}


def processes_with(mark: dict[str, str]) -> list[int]:
    """Processes of this machine, other than this one, that have these variables in their environment."""
    words = {f"{name}={value}".encode() for name, value in mark.items()}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile, or another user's
            if int(folder.name) != os.getpid() and words <= {*(folder / "environ").read_bytes().split(b"\0")}:
                found.append(int(folder.name))
    return found


def end_leftovers(mark: dict[str, str]) -> None:
    """Kill what has these variables in its environment: a killed process left it running.

    It looks until it has found none several times in a row, as a process that just starts shows no environment yet.
    """
    deadline = time.monotonic() + SECONDS_TO_END
    looks_without = 0
    while looks_without < LOOKS and time.monotonic() < deadline:
        left = processes_with(mark)
        looks_without = 0 if left else looks_without + 1
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)
