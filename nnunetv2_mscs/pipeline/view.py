"""A run's status for people: a table, and the same kept up to date at a terminal."""

import os
import shutil
import textwrap
import threading
import time
from collections.abc import Sequence
from itertools import groupby, zip_longest
from typing import TextIO

from nnunetv2_mscs.errors import MscsError
from nnunetv2_mscs.pipeline.logs import TrainingProgress
from nnunetv2_mscs.pipeline.state import RunFolder
from nnunetv2_mscs.pipeline.status import (
    BLOCKED,
    DONE,
    FAILED,
    INTERRUPTED,
    RUNNING,
    STALE,
    UNKNOWN,
    WAITING,
    RunStatus,
    StageStatus,
    run_status,
)

INTERVAL_S = 2.0
HEADER = ("state", "stage", "progress", "took", "where")
NARROWEST = 60
NARROWEST_PLACE, WIDEST_PLACE = 8, 24
# For title and progress; where it is not left beside the place, the place is left out.
LEAST_ROOM = 40
LONGEST_ERROR = 160
COLOURS = {DONE: 32, RUNNING: 36, FAILED: 31, BLOCKED: 31, INTERRUPTED: 33, STALE: 33, UNKNOWN: 33}
# Neighbouring stages in these states share a line when there is no room.
FOLDED = (DONE, WAITING, BLOCKED)
HIDE_CURSOR, SHOW_CURSOR, CLEAR_BELOW = "\x1b[?25l", "\x1b[?25h", "\x1b[J"


def headline(status: RunStatus) -> str:
    """The whole run in one line."""
    now = time.time()
    words = [status.state, f"{status.count(DONE)} of {len(status.stages)} stages done"]
    words += [f"{status.count(state)} {state}" for state in (FAILED, STALE) if status.count(state)]
    if status.expected_end is not None:
        latest = " at the latest" if status.is_latest_end else ""
        words.append(f"trainings end about {moment(status.expected_end, now)}{latest}")
    return f"{status.dataset}: {', '.join(words)}"


def table(status: RunStatus, *, width: int, colours: bool = False, height: int | None = None) -> str:
    """Headline and stages, no line wider than `width`; figures that do not fit continue in the next line.

    Args:
        status: of the run.
        width: of the terminal.
        colours: whether states have a colour.
        height: of the terminal; if the table is higher, neighbouring stages that are done or wait share a line, and the
            last rows are only counted.
    """
    width = max(width, NARROWEST)
    head = textwrap.wrap(headline(status), width)
    rows = [_cells(stage) for stage in status.stages]
    blocks = _aligned([HEADER, *rows], width)
    room = None if height is None else height - len(head)
    if room is not None and sum(map(len, blocks)) > room:
        rows = _folded(status.stages)
        blocks = _aligned([HEADER, *rows], width)
        if (hidden := _beyond(blocks, room)) > 0:
            rows = [*rows[: len(rows) - hidden], ("...", f"{hidden} more: see mscs status", "", "", "")]
            blocks = _aligned([HEADER, *rows], width)
    if colours:
        states = ["", *(row[0] for row in rows)]
        blocks = [[_coloured(first, state), *more] for (first, *more), state in zip(blocks, states, strict=True)]
    return "\n".join([*head, *(line for block in blocks for line in block)])


def details(status: RunStatus) -> str:
    """Why stages failed or were interrupted, with remedies; empty if none did."""
    paragraphs = [_paragraph(stage) for stage in status.stages if stage.state == FAILED or stage.remedies]
    return "\n\n".join([*paragraphs, *(f"note: {note}" for note in status.notes)])


def _paragraph(stage: StageStatus) -> str:
    first = next(iter(stage.error.splitlines()), "").removesuffix(":") or stage.reason
    said = [line for line in stage.last_lines if not line.startswith("$ ")]
    lines = [f"{stage.title} {stage.state}: {_shortened(first, LONGEST_ERROR)}", *(f"  | {line}" for line in said)]
    for remedy in stage.remedies:
        lines += [f"  {remedy.finding}", f"  -> {remedy.remedy}"]
    return "\n".join([*lines, *([f"  All that it printed is in {stage.log}"] if stage.log else [])])


def _cells(stage: StageStatus) -> tuple[str, ...]:
    took = duration(stage.seconds) if stage.seconds else ""
    return (stage.state, stage.title, _progress_words(stage), took, _place(stage))


def _progress_words(stage: StageStatus) -> str:
    words = []
    if stage.state == RUNNING:
        if stage.progress is not None:
            words.append(training_words(stage.progress, time.time()))
        elif stage.counted:
            words.append(f"{stage.counted[0]} of {stage.counted[1]}")
    elif stage.state == DONE and stage.progress is not None and stage.progress.validation_dice is not None:
        words.append(f"validation Dice {stage.progress.validation_dice:.2f}")
    elif stage.progress is not None and stage.progress.epoch is not None and stage.state != DONE:
        words.append(f"stopped in epoch {stage.progress.epoch + 1}")
        words += [start_words(stage.progress.start)] if stage.progress.start else []
    words += [stage.reason] if stage.reason else []
    words += [f"attempt {stage.attempts}"] if stage.attempts > 1 else []
    return "; ".join(words)


def _place(stage: StageStatus) -> str:
    gpus = f"GPU {stage.gpus}" if stage.gpus else ""
    return " ".join(filter(None, [stage.host, gpus, f"job {stage.job}" if stage.job else ""]))


def _folded(stages: Sequence[StageStatus]) -> list[tuple[str, ...]]:
    """One row for neighbouring stages that need no look."""
    rows: list[tuple[str, ...]] = []
    for state, group in groupby(stages, key=lambda stage: stage.state):
        members = list(group)
        if state in FOLDED and len(members) > 1:
            rows.append((state, f"{len(members)} stages", f"{members[0].title} to {members[-1].title}", "", ""))
        else:
            rows += [_cells(stage) for stage in members]
    return rows


def _beyond(blocks: Sequence[Sequence[str]], room: int) -> int:
    """How many of the last rows have to go so that the others, and a line that counts these, fit into so many lines."""
    lines = hidden = 0
    for block in blocks:
        lines += len(block)
        hidden += lines > room - 1
    return hidden if lines > room else 0


def _aligned(rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """Columns side by side, as lines for each row.

    Where the room is too small, titles and names of machines lose their middle, and figures continue in the next line.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    room = width - widths[0] - widths[3] - 2 * (len(HEADER) - 1)
    lacking = max(sum(widths[1:3]) + widths[4] - room, 0)
    longest = max([len(word) for row in rows for word in row[4].split()[1:]], default=0)  # but for the machine's name
    if lacking:
        place = min(widths[4], max(WIDEST_PLACE - lacking, longest, NARROWEST_PLACE))
        widths[4] = place if room - place >= LEAST_ROOM else 0
    room -= widths[4]
    if widths[1] + widths[2] > room:
        widths[1] = max(min(widths[1], room // 2), room - widths[2])
        widths[2] = room - widths[1]
    return [_lines(row, widths) for row in rows]


def _lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    state, title, progress, took, place = row
    columns = [
        [state],
        [_shortened(title, widths[1])],
        textwrap.wrap(progress, widths[2]),
        [took],
        textwrap.wrap(" ".join(_shortened(word, widths[4]) for word in place.split()), widths[4] or 1),
    ]
    return [
        "  ".join(cell.ljust(wide) for cell, wide in zip(cells, widths, strict=True)).rstrip()
        for cells in zip_longest(*columns, fillvalue="")
    ]


def _shortened(text: str, width: int) -> str:
    """Without its middle if it is too long, as names differ most at their ends."""
    if len(text) <= width:
        return text
    if width < 8:
        return text[: max(width, 0)]
    end = width // 2
    return f"{text[: width - end - 2]}..{text[-end:]}"


def _coloured(line: str, state: str) -> str:
    if state not in COLOURS or not line.startswith(state):
        return line
    return f"\x1b[{COLOURS[state]}m{state}\x1b[0m{line.removeprefix(state)}"


def wants_colours(stream: TextIO) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def live_view(run: RunFolder, stop: threading.Event, stream: TextIO, *, until_end: bool = False) -> None:
    """Show the table, and keep it up to date in its place until `stop` is set.

    If `stream` is no terminal, the table is printed again whenever the state of a stage has changed.

    Args:
        run: its folder; the table appears once there is a run in it.
        stop: ends it.
        stream: where it is shown.
        until_end: also end when nothing of the run is at work any longer.
    """
    painter = _Painter(stream)
    try:
        while True:
            stopping = stop.is_set()
            status = _status(run)
            if status is not None:
                painter.paint(status)
            if stopping or (until_end and status is not None and not status.is_alive):
                return
            stop.wait(INTERVAL_S)
    finally:
        painter.end()


def _status(run: RunFolder) -> RunStatus | None:
    try:
        return run_status(run, check_files=False)
    except MscsError:
        return None


class _Painter:
    """Paints a table over the previous one."""

    def __init__(self, stream: TextIO):
        self.stream = stream
        self.in_place = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.lines = 0
        self.states: list[str] = []

    def paint(self, status: RunStatus) -> None:
        states = [stage.state for stage in status.stages]
        if not self.in_place and states == self.states:
            return
        self.states = states
        columns, rows = shutil.get_terminal_size((120, 40))
        text = table(
            status,
            width=columns - 1,
            colours=wants_colours(self.stream),
            height=rows - 1 if self.in_place else None,
        )
        back = f"\x1b[{self.lines}F" if self.lines else ""
        self.stream.write(f"{HIDE_CURSOR}{back}{CLEAR_BELOW}{text}\n" if self.in_place else f"{text}\n\n")
        self.stream.flush()
        self.lines = text.count("\n") + 1

    def end(self) -> None:
        if self.in_place and self.lines:
            self.stream.write(SHOW_CURSOR)
            self.stream.flush()


MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


def duration(seconds: float) -> str:
    """A duration such as 12 s, 7 min, 3 h 20 min, 2 d 4 h."""
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min"
    if whole < DAY_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"
    return f"{whole // DAY_S} d {whole % DAY_S // HOUR_S} h"


def moment(seconds: float, now: float) -> str:
    """A moment in this machine's time, without the date if it is within half a day."""
    pattern = "%H:%M" if abs(seconds - now) < DAY_S / 2 else "%a %d %b %H:%M"
    return time.strftime(pattern, time.localtime(seconds))


def training_words(progress: TrainingProgress, now: float) -> str:
    """How far a training is: epoch, pseudo Dice, seconds per epoch, expected end."""
    if progress.trained:
        total = "" if progress.to_validate is None else f" of {progress.to_validate}"
        return f"validating case {progress.validated}{total}"
    words = [_epoch_words(progress)] if progress.epoch is not None else ["begins"]
    if progress.pseudo_dice is not None:
        words.append(f"pseudo Dice {progress.pseudo_dice:.2f}")
    if progress.seconds_per_epoch is not None:
        words.append(f"{progress.seconds_per_epoch:.3g} s/epoch")
    if progress.epochs_end is not None:
        words.append(f"ends {'by ' if progress.is_latest_end else ''}{moment(progress.epochs_end, now)}")
    if progress.skipped_steps:
        words.append(f"{progress.skipped_steps} steps skipped (NaN)")
    if progress.start:
        words.append(start_words(progress.start))
    return ", ".join(words)


def start_words(start: tuple[int, int]) -> str:
    return f"start {start[0]} of {start[1]}"


def _epoch_words(progress: TrainingProgress) -> str:
    """The epoch counted from 1, of so many."""
    assert progress.epoch is not None
    words = f"epoch {progress.epoch + 1}{f'/{progress.epochs}' if progress.epochs else ''}"
    if progress.steps:
        words += f" ({100 * progress.steps[0] // progress.steps[1]} %)"
    if progress.patience and progress.without_better:
        words += f" ({progress.without_better}/{progress.patience} without a better one)"
    return words
