"""The language of a document, from samples of its text."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from backend.ai.text.languages import detect_language

_SAMPLES: Final = 5
_SAMPLE_CHARS: Final = 600


def detect_document_language(pages: Sequence[str]) -> str:
    """Return the language of most of five samples of the joined *pages* (ISO 639-1), or ""."""
    text = "".join(pages)
    step = max(_SAMPLE_CHARS, len(text) // _SAMPLES)
    starts = range(0, len(text), step)[:_SAMPLES]
    languages = Counter(detect_language(text[start : start + _SAMPLE_CHARS]) for start in starts)
    del languages[""]
    return languages.most_common(1)[0][0] if languages else ""
