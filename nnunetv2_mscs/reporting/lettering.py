"""Text in the pictures that Pillow draws."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageDraw, ImageFont

# Of matplotlib, which is not loaded for it. Looked for now, as pictures are drawn in threads (see `pictures`).
MATPLOTLIB = find_spec("matplotlib")


@lru_cache
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib, so that pictures look alike on every machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    assert MATPLOTLIB is not None, "nnU-Net comes with matplotlib"
    assert MATPLOTLIB.origin is not None, "matplotlib has an __init__.py"
    return ImageFont.truetype(str(Path(MATPLOTLIB.origin).parent / "mpl-data" / "fonts" / "ttf" / name), size)


def wrapped(text: str, face: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """The text in lines of at most `width` pixels, broken between words; a longer word has a line of its own."""
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and face.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def shortened(text: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    """The text, cut in the middle if it is wider than `width` pixels: names differ at their ends."""
    if face.getlength(text) <= width:
        return text
    kept = len(text)
    while kept > 2 and face.getlength(_cut(text, kept)) > width:
        kept -= 1
    return _cut(text, kept)


def _cut(text: str, kept: int) -> str:
    return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"


def write_lines(
    draw: ImageDraw.ImageDraw, place: tuple[float, float], lines: list[str], face: ImageFont.FreeTypeFont, colour: str
) -> float:
    """Write lines downwards from the upper left corner; returns the height of the next line's top."""
    x, y = place
    for line in lines:
        draw.text((x, y), line, font=face, fill=colour)
        y += line_height(face)
    return y


def line_height(face: ImageFont.FreeTypeFont) -> int:
    return round(face.size * 1.4)
