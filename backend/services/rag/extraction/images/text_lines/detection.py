"""Detection of text lines with differentiable binarization (DB).

The model returns for each pixel the probability that it is in the shrunken core of a text line. The
regions above a threshold become rectangles, which are expanded to the lines' real size (Liao et
al., "Real-time scene text detection with differentiable binarization", 2020,
https://arxiv.org/abs/1911.08947, section 3.5).
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.ai.model_files import LINE_DETECTION
from backend.services.rag.extraction.images.text_lines.images import ImageArray, resize_to_input
from backend.services.rag.extraction.images.text_lines.rectangles import (
    RegionMeans,
    RotatedRectangle,
)
from backend.services.rag.extraction.images.text_lines.regions import find_regions
from backend.services.rag.extraction.images.text_lines.sessions import load_session

# The sides of the model's input are multiples of this number.
_STRIDE = 32
# Longer side of the image for line detection, in pixels. A larger value costs time and memory
# without finding more lines; a smaller one hides small print.
_MAX_SIDE = 1600
_MIN_SIDE = 1000
_MAX_ENLARGEMENT = 2.0
_MIN_PROBABILITY = 0.3
_MIN_MEAN_PROBABILITY = 0.5
# A core is expanded by this ratio times its area divided by its circumference.
_EXPANSION_RATIO = 1.6
# In pixels of the model's output.
_MIN_CORE_SIDE = 3
_MIN_LINE_SIDE = 5
_MAX_LINES = 1000
# Maximum area of all lines relative to the image. Lines hardly overlap in real images; crafted
# images have many large rectangles one above the other.
_MAX_TOTAL_AREA = 4.0


def detect_lines(image: ImageArray) -> Sequence[NDArray[np.float32]]:
    """Return the corners of each line of text in *image*, from top to bottom.

    The corners of a line have shape (4, 2). They are in pixels of *image*, clockwise from the top
    left one.
    """
    height, width = image.shape[:2]
    side = max(height, width)
    scale = min(_MAX_SIDE / side, max(1.0, min(_MAX_ENLARGEMENT, _MIN_SIDE / side)))
    columns, rows = (max(1, round(size * scale / _STRIDE)) * _STRIDE for size in (width, height))
    values = resize_to_input(Image.fromarray(image), columns, rows)
    (output,) = load_session(LINE_DETECTION).run(None, {"x": values[None]})
    factors = np.array([width / columns, height / rows])
    limit = np.array([width - 1, height - 1])
    # Round to pixels of the model's output, so that the lines of a paragraph are aligned.
    corners = [
        np.clip(np.rint(line.find_corners()) * factors, 0, limit).astype(np.float32)
        for line in _limit_total_area(list(_find_lines(output[0, 0])), columns * rows)
    ]
    return sorted(corners, key=lambda line: (line[0, 1], line[0, 0]))


def _find_lines(probabilities: NDArray[np.float32]) -> Iterator[RotatedRectangle]:
    """Yield the lines in the model's output, of shape (rows, columns), in pixels of the output."""
    means = RegionMeans(probabilities)
    mask = _dilate(probabilities > _MIN_PROBABILITY)
    for region in find_regions(mask, _MIN_CORE_SIDE, _MAX_LINES):
        core = RotatedRectangle.around(region)
        if min(core.width, core.height) < _MIN_CORE_SIDE:
            continue
        if means.compute_mean(core.find_corners()) < _MIN_MEAN_PROBABILITY:
            continue
        distance = _EXPANSION_RATIO * core.width * core.height / (2 * (core.width + core.height))
        line = core.expand(distance)
        if min(line.width, line.height) >= _MIN_LINE_SIDE:
            yield line


def _dilate(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Set each pixel whose left, upper or upper left neighbour is set, which closes small gaps."""
    dilated = mask.copy()
    dilated[1:] |= mask[:-1]
    dilated[:, 1:] |= dilated[:, :-1].copy()
    return dilated


def _limit_total_area(
    lines: Sequence[RotatedRectangle], image_area: int
) -> Iterator[RotatedRectangle]:
    """Yield the smallest *lines*, up to a total area of _MAX_TOTAL_AREA times *image_area*."""
    total = 0.0
    for line in sorted(lines, key=lambda line: line.width * line.height):
        total += line.width * line.height
        if total > _MAX_TOTAL_AREA * image_area:
            return
        yield line
