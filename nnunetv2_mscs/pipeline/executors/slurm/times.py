"""A job's time: as Slurm writes it, and what a job can make of it before Slurm tells it to go."""

import re
from dataclasses import dataclass

from nnunetv2_mscs.errors import MscsError

# How a job is told that its time is up in so many seconds.
OWN_SIGNAL = "B:USR2@120"
# Slurm tells up to a minute earlier.
EARLIER_S = 60
# What a job may need before its process starts, and this until it trains.
START_S = 120
# From one of a training's checkpoints to the next.
CHECKPOINT_S = 300
TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<first>\d+)(?::(?P<second>\d+))?(?::(?P<third>\d+))?")
SIGNAL = re.compile(r"B:(?:SIG)?USR2(?:@(?P<seconds>\d+))?")
SLURMS_WARNING_S = 60


@dataclass(frozen=True)
class TimeLimit:
    """How long a job may run, and how long before that end it is told.

    Args:
        minutes: all of it.
        warning_s: seconds before the end at which it is told.
    """

    minutes: int
    warning_s: int

    @classmethod
    def of(cls, time: str, signal: str) -> "TimeLimit":
        """From sbatch's options.

        Raises:
            MscsError: they are written in another way, or do not tell a job's process of its end as it understands it.
        """
        match = SIGNAL.fullmatch(signal)
        if not match:
            raise MscsError(f"Jobs do not understand --signal={signal}.", f"Such as --signal={OWN_SIGNAL}.")
        return cls(minutes(time), int(match["seconds"] or SLURMS_WARNING_S))

    def check(self) -> None:
        """Raise MscsError if a training would get nowhere: it is put back before its first checkpoint each time."""
        least = -(-(START_S + CHECKPOINT_S + EARLIER_S + self.warning_s) // 60)
        if self.minutes < least:
            raise MscsError(
                f"A job's time of {self.minutes} minutes ends before a training's first checkpoint.",
                f"Give {least} minutes or more: --slurm time=12:00:00 for twelve hours.",
            )

    def is_up(self, elapsed_s: float) -> bool:
        """Whether a job that was told to go after so many seconds was told because of its time."""
        return elapsed_s >= self.minutes * 60 - self.warning_s - EARLIER_S - START_S


def minutes(time: str) -> int:
    """A time as Slurm writes it (minutes[:seconds], hours:minutes:seconds, days-hours[:minutes[:seconds]]), rounded up.

    Raises:
        MscsError: it is written in another way.
    """
    match = TIME.fullmatch(str(time))
    if not match:
        raise MscsError(f"{time!r} is no time as Slurm writes it.", "Such as 12:00:00, or 2-00:00:00 for two days.")
    days = int(match["days"] or 0)
    parts = [int(match[name] or 0) for name in ("first", "second", "third")]
    if match["days"] is None and match["third"] is None:  # minutes, or minutes:seconds
        parts = [0, *parts[:2]]
    hours, of_hour, seconds = parts
    return days * 24 * 60 + hours * 60 + of_hour + (seconds > 0)
