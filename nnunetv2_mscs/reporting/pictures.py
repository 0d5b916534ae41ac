"""Pictures as bytes, for files and for pages that hold them."""

import base64
from io import BytesIO

# Pillow loads all of its formats to write one that is not among its usual five, unless that one is there already.
from PIL import Image, WebPImagePlugin, features  # noqa: F401

# Now, as pictures are written in threads: Python 3.11 may fail where two threads load modules at once.
Image.preinit()

MIME = {"png": "image/png", "avif": "image/avif", "jpeg": "image/jpeg"}


def png(image: Image.Image) -> bytes:
    """Every pixel as it is."""
    return _encoded(image, "PNG", compress_level=6)


def small(image: Image.Image, *, quality: int) -> tuple[bytes, str]:
    """A picture in few bytes, and their MIME type: AVIF, or JPEG where Pillow was built without it.

    Both keep the colours at full resolution. WebP does not: it mixes the colour of a single voxel with its neighbours'.

    Args:
        image: RGB.
        quality: 1 to 100.
    """
    if features.check("avif"):
        return _encoded(image, "AVIF", quality=quality, subsampling="4:4:4", speed=8, max_threads=1), MIME["avif"]
    return _encoded(image, "JPEG", quality=quality, subsampling=0, optimize=True, progressive=True), MIME["jpeg"]


def grey_webp(image: Image.Image, *, quality: int, quick: bool = False) -> bytes:
    """A grey picture in few bytes; WebP spoils nothing where there is no colour. Quick ones take a sixth more bytes."""
    return _encoded(image.convert("RGB"), "WEBP", quality=quality, method=0 if quick else 4)


def data_uri(content: bytes, kind: str) -> str:
    """A picture of a MIME type as a URI that holds all of its bytes."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
