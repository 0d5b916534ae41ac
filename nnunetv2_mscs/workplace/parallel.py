"""Work on many cases at once, in processes that end with the process that started them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for_futures
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import wait
from typing import TypeVar

from tqdm import tqdm

from nnunetv2_mscs.errors import MscsError

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_parallel(
    work: Callable[[Item], Result], items: Sequence[Item], *, processes: int, description: str
) -> list[Result]:
    """The results of `work` for all items, in their order; a progress bar appears after a second.

    Args:
        work: a function that can be pickled, such as one at a module's top level.
        items: its arguments.
        processes: how many worker processes; 1 works in this process.
        description: what the progress bar says.

    Raises:
        MscsError: a worker process died; the items at work are named, by their `name` if they have one.
    """
    processes = min(processes, len(items))
    results: dict[int, Result] = {}
    with tqdm(total=len(items), desc=description, unit="case", delay=1) as bar:
        for index, result in enumerate(map(work, items)) if processes <= 1 else _in_pool(work, items, processes):
            results[index] = result
            bar.update()
    return [results[index] for index in range(len(items))]


def _in_pool(work: Callable[[Item], Result], items: Sequence[Item], processes: int) -> Iterator[tuple[int, Result]]:
    context = multiprocessing.get_context("spawn")
    running: dict[Future[Result], int] = {}
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start_worker)
    try:
        waiting = iter(enumerate(items))
        while True:
            for index, item in islice(waiting, processes - len(running)):
                running[pool.submit(work, item)] = index
            if not running:
                break
            done, _ = wait_for_futures(running, return_when=FIRST_COMPLETED)
            results = [(running[future], future.result()) for future in done]
            running = {future: index for future, index in running.items() if future not in done}
            yield from results
    except BrokenProcessPool as error:
        unfinished = sorted(index for future, index in running.items() if not future.done() or future.exception())
        names = ", ".join(str(getattr(items[index], "name", items[index])) for index in unfinished)
        raise MscsError(
            "A worker process crashed or was killed (out of memory?)"
            + (f" while it worked on one of: {names}." if names else "."),
            "Try again with -np 1; if it stops again, take these cases away.",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Prepare a worker: one ITK thread, Ctrl-C left to the parent, and no life beyond the parent's."""
    import SimpleITK as sitk

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
