"""OCR with the models of PP-OCR.

The recognition model of PP-OCRv6 reads Latin letters with all accents, Chinese and Japanese. It
returns hardly any characters for lines in other scripts.

The models detect and recognize lines, but drop spaces between words in small print. These spaces
are restored from the image, where a gap without ink between two letters is wide enough.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.services.rag.extraction import content
from backend.services.rag.extraction.images.text_lines.crops import crop_line
from backend.services.rag.extraction.images.text_lines.detection import detect_lines
from backend.services.rag.extraction.images.text_lines.images import ImageArray
from backend.services.rag.extraction.images.text_lines.orientation import is_upside_down
from backend.services.rag.extraction.images.text_lines.recognition import (
    RecognizedLine,
    recognize_line,
)
from backend.services.rag.extraction.reading_order import join_in_reading_order
from backend.services.rag.extraction.text_fragments import TextFragment

# The models were trained on Chinese text, so they return full-width punctuation.
_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_TO_ASCII = str.maketrans("（），；：！？＂　", '(),;:!?" ')  # noqa: RUF001 - intended
_OPENING = "([{"
_CLOSING = ")]},.;:!?"
_MIN_CONFIDENCE = 0.6
# A line is in an unknown script if the model returns few characters for its length, or has a low
# confidence. A line of Latin letters has more characters than its length in line heights, and a
# confidence above 0.9.
_MIN_CHARACTERS_PER_HEIGHT = 0.5
_MIN_SCRIPT_CONFIDENCE = 0.88
_MIN_LINE_LENGTH = 3.0
_MIN_UNREAD_LINES = 2
# Minimum word gap in heights of the line's box, which has some margin around the letters.
_MIN_WORD_GAP = 0.16
# The same, in lines where the model recognized spaces.
_MIN_WORD_GAP_WITH_SPACES = 0.1
# Minimum word gap relative to the median gap where the model recognized a space.
_MIN_SPACE_RATIO = 0.65
# Minimum word gap relative to the median gap between letters.
_MIN_LETTER_GAP_RATIO = 1.8
# Margins at the top and bottom of a line in which ink is ignored, relative to its height.
_INK_MARGIN = 0.12


@dataclass(frozen=True, slots=True)
class RecognizedText:
    """Text of an image in reading order.

    *is_unread* is True if the models cannot read most lines, because they do not know the script or
    the lines are unclear. Such lines are left out of the text and of *lines*, whose boxes are in
    fractions of the image.
    """

    text: str
    is_unread: bool
    lines: list[content.RecognizedLine]


def recognize_text(image: ImageArray) -> RecognizedText:
    """Return the text of *image*."""
    upright, turns, corners = _detect_upright(image)
    lines = list(_recognize_lines(upright, corners))
    unread = sum(is_unread for _, is_unread in lines)
    is_unread_page = unread >= _MIN_UNREAD_LINES and 2 * unread > len(lines)
    fragments = [
        fragment
        for fragment, is_unread in lines
        if fragment is not None and not (is_unread_page and is_unread)
    ]
    boxes = [
        (*_turn_back(fragment, upright, turns), turns, fragment.text) for fragment in fragments
    ]
    return RecognizedText(join_in_reading_order(fragments), is_unread_page, boxes)


def _detect_upright(
    image: ImageArray,
) -> tuple[ImageArray, int, Sequence[NDArray[np.float32]]]:
    """Return *image* turned upright, the counterclockwise quarter turns, and the lines in it."""
    turns = 0
    lines = detect_lines(image)
    if lines and median(_is_vertical(line) for line in lines):
        # The page is rotated by 90 degrees.
        image, turns = np.ascontiguousarray(np.rot90(image)), 1
        lines = detect_lines(image)
    if _are_upside_down(image, lines):
        image, turns = np.ascontiguousarray(np.rot90(image, 2)), turns + 2
        lines = detect_lines(image)
    return image, turns, lines


def _turn_back(
    fragment: TextFragment, upright: ImageArray, turns: int
) -> tuple[float, float, float, float]:
    """Return the box of *fragment* in fractions of the image before it was turned."""
    height, width = upright.shape[:2]
    left, right = fragment.left / width, fragment.right / width
    top, bottom = fragment.top / height, fragment.bottom / height
    if turns == 1:
        left, top, right, bottom = 1 - bottom, left, 1 - top, right
    elif turns == 2:
        left, top, right, bottom = 1 - right, 1 - bottom, 1 - left, 1 - top
    elif turns == 3:
        left, top, right, bottom = top, 1 - right, bottom, 1 - left
    return round(left, 4), round(top, 4), round(right, 4), round(bottom, 4)


def _recognize_lines(
    image: ImageArray, lines: Sequence[NDArray[np.float32]]
) -> Iterator[tuple[TextFragment | None, bool]]:
    """Yield the fragment of each line, or None if it has no text, and whether it is unread."""
    page = Image.fromarray(image)
    for number, corners in enumerate(lines):
        crop = crop_line(page, corners)
        line = recognize_line(crop)
        is_unread = _is_unread(line, crop.width / crop.height)
        if line.confidence < _MIN_CONFIDENCE or not line.text.strip():
            yield None, is_unread
            continue
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        box = float(left), float(top), float(right), float(bottom)
        yield TextFragment(*box, _restore_spaces(line, crop).strip(), number), is_unread


def _is_unread(line: RecognizedLine, length: float) -> bool:
    """Return whether the recognized text of *line* is probably wrong or incomplete.

    Args:
        length: width of the line relative to its height.
    """
    if length < _MIN_LINE_LENGTH:  # a short line has too few characters to decide
        return False
    characters = sum(not char.isspace() for char in line.text)
    is_short = characters < _MIN_CHARACTERS_PER_HEIGHT * length
    return is_short or line.confidence < _MIN_SCRIPT_CONFIDENCE


def _is_vertical(corners: NDArray[np.float32]) -> bool:
    """Check that a line runs from top to bottom."""
    width, height = np.ptp(corners, axis=0)
    return float(height) > 1.5 * float(width)


def _are_upside_down(image: ImageArray, lines: Sequence[NDArray[np.float32]]) -> bool:
    """Check that the model classifies most of *lines* as rotated by 180 degrees."""
    page = Image.fromarray(image)
    return 2 * sum(is_upside_down(crop_line(page, corners)) for corners in lines) > len(lines)


def _restore_spaces(line: RecognizedLine, crop: Image.Image) -> str:
    """Return the text of *line* with the spaces that are visible in *crop*, its image."""
    if len(line.positions) != len(line.text) or _EAST_ASIAN.search(line.text):
        return line.text
    text = line.text.translate(_TO_ASCII)
    has_ink = _find_ink_columns(crop)
    columns = [int(position * crop.width) for position in line.positions]
    letters = [index for index, char in enumerate(text) if char != " "]
    gaps = [_widest_gap(has_ink, columns[a], columns[b]) for a, b in pairwise(letters)]
    space_gaps = [gap for gap, (a, b) in zip(gaps, pairwise(letters), strict=True) if b > a + 1]
    min_gap = _min_word_gap(gaps, space_gaps, crop.height)
    spaced = text[:1]
    for gap, (a, b) in zip(gaps, pairwise(letters), strict=True):
        is_word_gap = gap >= min_gap and text[a] not in _OPENING and text[b] not in _CLOSING
        spaced += f" {text[b]}" if is_word_gap or b > a + 1 else text[b]
    return spaced


def _min_word_gap(gaps: Sequence[int], space_gaps: Sequence[int], height: int) -> float:
    """Return the minimum gap between words in pixels.

    Derived from *space_gaps*, the gaps where the model recognized spaces, if there are at least
    two, else from *gaps*, those between letters.
    """
    letter_gap = median(gaps) if gaps else 0
    if len(space_gaps) > 1:
        return max(
            _MIN_SPACE_RATIO * median(space_gaps),
            _MIN_LETTER_GAP_RATIO * letter_gap,
            _MIN_WORD_GAP_WITH_SPACES * height,
        )
    return max(_MIN_WORD_GAP * height, _MIN_LETTER_GAP_RATIO * letter_gap)


def _find_ink_columns(crop: Image.Image) -> NDArray[np.bool_]:
    """Return for each pixel column of *crop* whether it contains ink."""
    blue, green, red = crop.split()
    gray = np.asarray(Image.merge("RGB", (red, green, blue)).convert("L"))
    margin = int(_INK_MARGIN * gray.shape[0])
    gray = gray[margin : gray.shape[0] - margin or None]
    dark = gray <= _find_threshold(gray)
    # Letters cover less area than the background, so ink is the rarer of dark and light pixels.
    return np.asarray((~dark if dark.mean() > 0.5 else dark).any(axis=0))


def _find_threshold(gray: ImageArray) -> int:
    """Return the gray value that separates *gray* into two classes with the greatest distance.

    Otsu, "A threshold selection method from gray-level histograms", 1979: it maximises the variance
    between the classes.
    """
    counts = np.bincount(gray.ravel(), minlength=256).astype(np.float64)
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * np.arange(256))
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = sums / below - (sums[-1] - sums) / above
    variance = np.where((below > 0) & (above > 0), below * above * distance**2, 0)
    return int(np.argmax(variance))


def _widest_gap(has_ink: NDArray[np.bool_], start: int, end: int) -> int:
    """Return the length of the longest run of columns without ink between *start* and *end*."""
    widest = run = 0
    for column in has_ink[start:end]:
        run = 0 if column else run + 1
        widest = max(widest, run)
    return widest
