"""For tests that interrupt a process with SIGINT: it has to hear it."""

import signal


def heed_interrupts() -> None:
    """As at a terminal: a shell starts what is to run in the background deaf to SIGINT, these tests included."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
