"""Text from a file that anybody may have written, made safe for a terminal."""

MOST_LETTERS = 2000


def plain(text: str) -> str:
    """The text, with escapes for everything that moves the cursor or changes colours or the writing direction."""
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:MOST_LETTERS])
    return shown + "..." * (len(text) > MOST_LETTERS)
