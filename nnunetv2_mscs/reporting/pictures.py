"""Pictures as bytes, for files and for pages that hold them."""

from io import BytesIO
from typing import Literal

from PIL import Image

QUALITY = 70


def encoded(
    image: Image.Image,
    kind: Literal["png", "webp", "jpeg"] = "png",
    *,
    width: int | None = None,
    quality: int = QUALITY,
) -> bytes:
    """The bytes of a picture.

    Args:
        image: RGB.
        kind: PNG keeps every pixel; WebP is the smallest, and every browser since 2020 shows it.
        width: in pixels, to make the picture narrower; a picture is never made wider.
        quality: of WebP and JPEG, 1 to 100.
    """
    if width is not None and width < image.width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    stream = BytesIO()
    if kind == "png":
        image.save(stream, "PNG", compress_level=6)
    elif kind == "webp":
        image.save(stream, "WEBP", quality=quality, method=4)
    else:
        image.save(stream, "JPEG", quality=quality, optimize=True, progressive=True)
    return stream.getvalue()
