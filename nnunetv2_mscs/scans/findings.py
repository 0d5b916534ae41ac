"""What the check of a scan finds, and what its owner can do about it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nnunetv2_mscs.errors import MscsError

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One row of the table of findings.

    Args:
        severity: an error forbids the conversion, a warning asks for a look, a note says what was decided.
        finding: what is the matter, with the values found.
        remedy: what to do about it.
        file: the file it was found in, empty when it concerns several.
        case: the case it was found in, empty when it concerns the whole dataset.
    """

    severity: Severity
    finding: str
    remedy: str = ""
    file: str = ""
    case: str = ""


class ScanError(MscsError):
    """A file or a case that cannot be taken as it is."""

    def __init__(self, finding: str, remedy: str = "", file: str | Path = ""):
        super().__init__(finding, remedy)
        self.file = str(file)

    def as_finding(self) -> Finding:
        return Finding("error", self.finding, self.remedy, self.file)


def shown(names: Sequence[str], most: int = 5) -> str:
    """The first of some names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@dataclass
class Findings:
    """A growing list of findings."""

    items: list[Finding] = field(default_factory=list)

    def error(self, finding: str, remedy: str = "", *, file: str | Path = "", case: str = "") -> None:
        self.items.append(Finding("error", finding, remedy, str(file), case))

    def warning(self, finding: str, remedy: str = "", *, file: str | Path = "", case: str = "") -> None:
        self.items.append(Finding("warning", finding, remedy, str(file), case))

    def note(self, finding: str, remedy: str = "", *, file: str | Path = "", case: str = "") -> None:
        self.items.append(Finding("note", finding, remedy, str(file), case))

    @property
    def errors(self) -> list[Finding]:
        return [item for item in self.items if item.severity == "error"]
