"""The end of a stage's log: what its last command printed."""

import re
from pathlib import Path

from nnunetv2_mscs.pipeline.progress import COUNT
from nnunetv2_mscs.workplace.running import LAST_LINES

READ_BYTES = 64 * 1024
COMMAND = "\n$ "


def last_attempt(log: Path) -> str:
    """What the last command printed, of it no more than the end; progress bars as their last state."""
    try:
        with log.open("rb") as handle:
            handle.seek(max(log.stat().st_size - READ_BYTES, 0))
            text = handle.read().decode(errors="replace")
    except OSError:
        return ""
    begin = text.rfind(COMMAND)
    shown = text[begin + 1 :] if begin >= 0 else text
    return re.sub(r"[^\n]*\r(?!\n)", "", shown)


def last_lines(printed: str, count: int = LAST_LINES) -> tuple[str, ...]:
    """The last lines that are not empty."""
    return tuple(line.rstrip() for line in printed.splitlines() if line.strip())[-count:]


def last_count(printed: str) -> tuple[int, int] | None:
    """How many of how many the last progress bar shows; None without one."""
    for line in reversed(printed.splitlines()):
        if match := COUNT.search(line):
            return int(match[1]), int(match[2])
    return None
