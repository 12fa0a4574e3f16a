"""Conversion of images into a type that a channel accepts."""

from io import BytesIO
from typing import Final

from backend.services.chat.clients.parts import FileUnavailable

_MAX_PIXELS: Final = 40_000_000


def convert_to_png(content: bytes) -> bytes:
    """Return the first frame of an image as PNG.

    Raises:
        FileUnavailable: *content* is no image, or too large to be decoded.
    """
    # Importing takes 50 ms, and few images need it.
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(content), formats=("WEBP", "GIF", "BMP", "TIFF")) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise FileUnavailable("The image has too many pixels to be converted.")
            target = BytesIO()
            image.convert("RGBA" if "A" in image.getbands() else "RGB").save(target, "PNG")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise FileUnavailable("The image cannot be converted.") from error
    return target.getvalue()
