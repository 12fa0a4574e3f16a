"""Classification of lines that are upside down."""

from math import ceil

import numpy as np
from PIL import Image

from backend.ai.model_files import LINE_ORIENTATION
from backend.services.rag.extraction.images.text_lines.images import resize_to_input
from backend.services.rag.extraction.images.text_lines.sessions import load_session

_WIDTH, _HEIGHT = 192, 48
_MIN_CONFIDENCE = 0.9


def is_upside_down(line: Image.Image) -> bool:
    """Return whether *line*, an image of a line of text, is rotated by 180 degrees."""
    width = min(_WIDTH, ceil(_HEIGHT * line.width / line.height))
    values = np.zeros((1, 3, _HEIGHT, _WIDTH), np.float32)
    values[0, :, :, :width] = resize_to_input(line, width, _HEIGHT)
    (output,) = load_session(LINE_ORIENTATION).run(None, {"x": values})
    upright, rotated = output[0].tolist()
    return bool(rotated > max(upright, _MIN_CONFIDENCE))
