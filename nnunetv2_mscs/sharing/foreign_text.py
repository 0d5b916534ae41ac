"""Words from a file that may be anybody's, made fit for a terminal."""

from nnunetv2_mscs.errors import MscsError

MOST_LETTERS = 2000


def plain(text: str) -> str:
    """The text with all that moves a cursor, changes colours or turns the writing direction shown as its escape."""
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:MOST_LETTERS])
    return shown + "..." * (len(text) > MOST_LETTERS)


def plain_error(error: MscsError) -> MscsError:
    """The same error, fit for a terminal."""
    return MscsError(plain(error.finding), plain(error.remedy))
