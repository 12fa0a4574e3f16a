"""Take pictures of a page, and write them with 256 colours."""

import io
import os
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

BROWSER = os.environ.get("CONSOLE_TEST_BROWSER", "/usr/bin/chromium")
_COLOURS = 256
_SETTLE_MS = 900


def take_screenshot(page: Page) -> bytes:
    """Return a PNG of the window, after a pause for content that is still loading."""
    page.wait_for_timeout(_SETTLE_MS)
    return page.screenshot()


def write_picture(picture: bytes, file: Path) -> None:
    """Write the PNG *picture* with fewer colours, and print its size."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(_COLOURS, kmeans=3, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB", flush=True)
