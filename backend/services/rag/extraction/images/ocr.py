"""OCR with the PP-OCR models that the wheels of RapidOCR bundle.

The recognition model of PP-OCRv6 reads Latin letters with all accents, Chinese and Japanese. It
returns hardly any characters for lines in other scripts.

The models detect and recognize lines, but drop spaces between words in small print. These spaces
are restored from the image: where a gap without ink between two letters is wide enough.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.services.rag.extraction.reading_order import join_in_reading_order
from backend.services.rag.extraction.text_fragments import TextFragment

# Rows, columns, channels in the order blue, green, red.
ImageArray = NDArray[np.uint8]

# Other documents are processed in parallel, and on busy cores several threads of one model spend
# more time waiting for each other than computing.
THREADS = 1
# The models were trained on Chinese text, so they return full-width punctuation.
_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_TO_ASCII = str.maketrans("（），；：！？＂　", '(),;:!?" ')  # noqa: RUF001 - intended
_OPENING = "([{"
_CLOSING = ")]},.;:!?"
# Side of the image for line detection, in pixels. A longer side costs time and memory without
# finding more lines; a shorter one hides small print.
_MAX_SIDE = 1600
_MIN_SIDE = 1000
_MAX_ENLARGEMENT = 2.0
_MIN_CONFIDENCE = 0.6
_MIN_ROTATION_CONFIDENCE = 0.9
# A line of another script: the model returns few characters for its length, or is not sure. Lines
# of Latin letters have more than one character for their height, and a confidence above 0.9.
_MIN_CHARACTERS_PER_HEIGHT = 0.5
_MIN_SCRIPT_CONFIDENCE = 0.88
_MIN_LINE_LENGTH = 3.0
_MIN_UNREAD_LINES = 2
_RECOGNITION_PACKAGE = "rapidocr"
_RECOGNITION_MODEL = "models/PP-OCRv6_rec_small.onnx"
# Gaps between words, in heights of the line's box, which has some margin around the letters.
_MIN_WORD_GAP = 0.16
# The same, in lines where the model recognized spaces.
_MIN_WORD_GAP_WITH_SPACES = 0.1
# Minimum word gap relative to the median gap where the model recognized a space.
_MIN_SPACE_RATIO = 0.65
# Minimum word gap relative to the median gap between letters.
_MIN_LETTER_GAP_RATIO = 1.8
# Height of the margins above and below a line that are ignored when ink is searched.
_INK_MARGIN = 0.12


@dataclass(frozen=True, slots=True)
class RecognizedText:
    """Text of an image in reading order.

    *is_unread* is True if most lines are in a script that the models do not know, or too unclear.
    Such lines are left out.
    """

    text: str
    is_unread: bool


def recognize_text(image: ImageArray) -> RecognizedText:
    """Return the text of *image*."""
    lines = list(_recognize_lines(image))
    unread = sum(is_unread for _, is_unread in lines)
    if unread >= _MIN_UNREAD_LINES and 2 * unread > len(lines):
        fragments = [fragment for fragment, is_unread in lines if fragment and not is_unread]
        return RecognizedText(join_in_reading_order(fragments), is_unread=True)
    fragments = [fragment for fragment, _ in lines if fragment is not None]
    return RecognizedText(join_in_reading_order(fragments), is_unread=False)


@dataclass(frozen=True, slots=True)
class _Line:
    corners: NDArray[np.float32]
    crop: ImageArray


def _recognize_lines(image: ImageArray) -> Iterator[tuple[TextFragment | None, bool]]:
    """Yield the fragment of each line, or None if it has no text, and whether it is unread."""
    lines = _detect_lines(image)
    if lines and median(_is_vertical(line) for line in lines):
        # The page lies on its side.
        image = np.ascontiguousarray(np.rot90(image))
        lines = _detect_lines(image)
    if not lines:
        return
    if _are_upside_down(lines):
        image = np.ascontiguousarray(np.rot90(image, 2))
        lines = _detect_lines(image)
    results, _ = _load_engine().text_rec([line.crop for line in lines], True)
    for number, (line, (text, confidence, letters)) in enumerate(zip(lines, results, strict=True)):
        is_unread = _is_unread(line, text, confidence)
        if confidence < _MIN_CONFIDENCE or not text.strip():
            yield None, is_unread
            continue
        (left, top), (right, bottom) = line.corners.min(axis=0), line.corners.max(axis=0)
        spaced = _restore_spaces(text, letters, line.crop).strip()
        box = float(left), float(top), float(right), float(bottom)
        yield TextFragment(*box, spaced, number), is_unread


def _is_unread(line: _Line, text: str, confidence: float) -> bool:
    """Return whether *text* is hardly what *line* shows."""
    height, width = line.crop.shape[:2]
    length = width / max(1, height)
    if length < _MIN_LINE_LENGTH:  # short lines are no evidence
        return False
    characters = sum(not char.isspace() for char in text)
    is_short = characters < _MIN_CHARACTERS_PER_HEIGHT * length
    return is_short or confidence < _MIN_SCRIPT_CONFIDENCE


@cache
def _load_engine() -> Any:
    from rapidocr_onnxruntime import RapidOCR

    cv2.setNumThreads(THREADS)
    # Override its choice of image size, which is made for photographs and enlarges a single line.
    limits = {"det_limit_type": "max", "det_limit_side_len": _MAX_SIDE}
    return RapidOCR(
        intra_op_num_threads=THREADS,
        inter_op_num_threads=1,
        rec_model_path=_find_recognition_model(),
        **limits,
    )


def _find_recognition_model() -> str | None:
    """Return the path of the newer recognition model, or None to use that of the engine.

    Its package is a newer engine with more dependencies, of which only the model is used.
    """
    package = find_spec(_RECOGNITION_PACKAGE)
    if package is None or not package.submodule_search_locations:
        return None
    return str(Path(package.submodule_search_locations[0]) / _RECOGNITION_MODEL)


def _detect_lines(image: ImageArray) -> list[_Line]:
    """Return the lines of text from top to bottom, each cropped and rotated to horizontal."""
    engine = _load_engine()
    side = max(image.shape[:2])
    scale = min(_MAX_SIDE / side, max(1.0, min(_MAX_ENLARGEMENT, _MIN_SIDE / side)))
    boxes, _ = engine.text_det(cv2.resize(image, None, fx=scale, fy=scale))
    if boxes is None or not len(boxes):
        return []
    boxes = np.asarray(engine.sorted_boxes(boxes), dtype=np.float32) / scale
    return [
        _Line(box, crop)
        for box, crop in zip(boxes, engine.get_crop_img_list(image, boxes), strict=True)
    ]


def _is_vertical(line: _Line) -> bool:
    """Check that *line* runs from top to bottom."""
    width, height = np.ptp(line.corners, axis=0)
    return float(height) > 1.5 * float(width)


def _are_upside_down(lines: Sequence[_Line]) -> bool:
    """Check that the model classifies most of *lines* as rotated by 180 degrees."""
    _, labels, _ = _load_engine().text_cls([line.crop for line in lines])
    rotated = sum(
        bool(label == "180" and confidence > _MIN_ROTATION_CONFIDENCE)
        for label, confidence in labels
    )
    return 2 * rotated > len(lines)


def _restore_spaces(text: str, letters: Sequence[Any], crop: ImageArray) -> str:
    """Return *text* with the spaces that are visible in *crop*.

    Args:
        letters: RapidOCR's word information: the number of model columns, and the column of each
            character by word.
    """
    columns = [column for word in letters[2] for column in word]
    if len(columns) != len(text) or _EAST_ASIAN.search(text):
        return text
    text = text.translate(_TO_ASCII)
    has_ink = _find_ink_columns(crop)
    width = len(has_ink) / letters[0]
    positions = [position for position, char in enumerate(text) if char != " "]
    gaps = [
        _widest_gap(has_ink, int((columns[a] + 0.5) * width), int((columns[b] + 0.5) * width))
        for a, b in pairwise(positions)
    ]
    space_gaps = [gap for gap, (a, b) in zip(gaps, pairwise(positions), strict=True) if b > a + 1]
    min_gap = _min_word_gap(gaps, space_gaps, crop.shape[0])
    spaced = text[:1]
    for gap, (a, b) in zip(gaps, pairwise(positions), strict=True):
        is_word_gap = gap >= min_gap and text[a] not in _OPENING and text[b] not in _CLOSING
        spaced += f" {text[b]}" if is_word_gap or b > a + 1 else text[b]
    return spaced


def _min_word_gap(gaps: Sequence[int], space_gaps: Sequence[int], height: int) -> float:
    """Return the minimum gap between words in pixels.

    Derived from *space_gaps*, the gaps where the model recognized spaces, if there are at least
    two, else from the distance of the letters.
    """
    letter_gap = median(gaps) if gaps else 0
    if len(space_gaps) > 1:
        return max(
            _MIN_SPACE_RATIO * median(space_gaps),
            _MIN_LETTER_GAP_RATIO * letter_gap,
            _MIN_WORD_GAP_WITH_SPACES * height,
        )
    return max(_MIN_WORD_GAP * height, _MIN_LETTER_GAP_RATIO * letter_gap)


def _find_ink_columns(crop: ImageArray) -> NDArray[np.bool_]:
    """Return for each pixel column of *crop* whether it contains ink."""
    gray = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    margin = int(_INK_MARGIN * gray.shape[0])
    gray = gray[margin : gray.shape[0] - margin or None]
    _, binary = cv2.threshold(gray, 0, 1, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    dark = np.asarray(binary, dtype=np.bool_)
    # Letters cover less area than the background. They may be the lighter of the two.
    return np.asarray((~dark if dark.mean() > 0.5 else dark).any(axis=0))


def _widest_gap(has_ink: NDArray[np.bool_], start: int, end: int) -> int:
    """Return the length of the longest run of columns without ink between *start* and *end*."""
    widest = run = 0
    for column in has_ink[start:end]:
        run = 0 if column else run + 1
        widest = max(widest, run)
    return widest
