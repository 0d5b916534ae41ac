"""How SIGTERM, which job schedulers send, ends this process and those that it forks."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end the block like Ctrl-C: by KeyboardInterrupt, so that it tidies up and leaves nothing running.

    Without effect in another thread than the main one, to which Python delivers no signals.

    Processes forked in the block are ended by SIGTERM at once, like any process. nnU-Net ends the workers of
    its pools so; a worker that waits for a lock in C code would run a handler in Python only after that wait, which may
    never end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


_forking = threading.local()


def _hold_back() -> None:
    """Before a fork: block SIGTERM while the new process still has the handler of this one."""
    _forking.blocked_before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.blocked_before)


def _start_as_any_process() -> None:
    if signal.getsignal(signal.SIGTERM) is _interrupt:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _let_through()


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(before=_hold_back, after_in_parent=_let_through, after_in_child=_start_as_any_process)
