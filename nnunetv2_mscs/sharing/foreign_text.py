"""Text from a file that anybody may have written, made safe for a terminal."""

MOST_LETTERS = 2000


def plain(text: str) -> str:
    """The text, with all that moves a cursor, changes colours or turns the writing direction shown as its escape."""
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:MOST_LETTERS])
    return shown + "..." * (len(text) > MOST_LETTERS)
