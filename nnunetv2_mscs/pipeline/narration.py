"""What a person sees of a run on this machine: a table kept up to date at a terminal, elsewhere one line per event."""

import sys
import threading
import time
from types import TracebackType

from nnunetv2_mscs.nnunet_files.training_log import read_line
from nnunetv2_mscs.pipeline.headlines import results_of
from nnunetv2_mscs.pipeline.local import Follower, Outcome, Slot
from nnunetv2_mscs.pipeline.stage import Stage
from nnunetv2_mscs.pipeline.state import Record, RunFolder

# Seconds between two lines about one training.
INTERVAL_S = 60.0


class Narration:
    """Says how a run goes; a context, within which the table is kept up to date if `live`."""

    def __init__(self, run: RunFolder, *, live: bool):
        self.run, self.live = run, live
        self.follower = Follower(self._begins, self._line, self._ends)
        self._epochs: dict[str, int] = {}
        self._last_said: dict[str, float] = {}
        self._start = time.time()
        self._stop = threading.Event()
        self._view: threading.Thread | None = None

    def __enter__(self) -> "Narration":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        if self._view:
            self._view.join()

    def _begins(self, stage: Stage, slot: Slot) -> None:
        if self.live:
            self._show()
        else:
            where = f" on GPU {','.join(slot.gpus)}" if slot.gpus and stage.uses_gpu else ""
            self._say(f"{stage.title}: begins{where}")

    def _show(self) -> None:
        """Begin to show the table; only now, when the run has asked all its questions."""
        from nnunetv2_mscs.pipeline.view import live_view

        if self._view is None:
            self._view = threading.Thread(target=live_view, args=(self.run, self._stop, sys.stdout), daemon=True)
            self._view.start()

    def _line(self, stage: Stage, line: str) -> None:
        if self.live or stage.training is None:
            return
        _, kind, numbers = read_line(line)
        if kind == "epoch":
            self._epochs[stage.name] = int(numbers[0]) + 1
        elif kind == "pseudo_dice":
            now = time.monotonic()
            if now - self._last_said.get(stage.name, 0.0) >= INTERVAL_S:
                self._last_said[stage.name] = now
                self._say(f"{stage.title}: epoch {self._epochs.get(stage.name, 1)}, pseudo Dice {numbers[0]:.2f}")

    def _ends(self, stage: Stage, record: Record | None) -> None:
        if self.live:
            return
        if record is None:
            self._say(f"{stage.title}: failed or interrupted; its log is {self.run.log(stage.name)}")
        elif record.began < self._start:
            self._say(f"{stage.title}: done before")
        else:
            self._say(f"{stage.title}: done in {record.seconds:.0f} s")

    def _say(self, line: str) -> None:
        print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)

    def end(self, outcome: Outcome) -> None:
        """Print the scores and where everything is, or what failed."""
        for error in outcome.failed.values():
            print(f"\nfailed: {error}", file=sys.stderr)
        if outcome.blocked:
            print(f"Not started because of this failure: {', '.join(outcome.blocked)}", file=sys.stderr)
        if outcome.failed:
            remedies = f"{self.run.command('status')} shows the usual remedies."
            print(f"The same command continues from here. {remedies}", file=sys.stderr)
            return
        print("\n".join(["", *results_of(self.run)]))
