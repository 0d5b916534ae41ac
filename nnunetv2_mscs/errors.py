"""The one family of errors that are the user's to mend: each says what was found and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class MscsError(Exception):
    """A failure that the user can mend; the command line prints it as one line, without a traceback.

    Args:
        finding: what is wrong, naming the file, shape or value it was found in.
        remedy: what the user can do about it.
    """

    def __init__(self, finding: str, remedy: str = ""):
        self.finding = finding
        self.remedy = remedy
        super().__init__(f"{finding} {remedy}".strip())

    def table(self, *, wrap: bool) -> str:
        """What the command line prints above the line, wrapped to the terminal or not; "" if the line says all."""
        return ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ " Did you mean convert?" for the name that comes nearest to a mistyped one, or "" if none is near."""
    names = {name.casefold(): name for name in known}
    near = get_close_matches(word.casefold(), names, n=1, cutoff=0.7)
    return f" Did you mean {names[near[0]]}?" if near else ""
