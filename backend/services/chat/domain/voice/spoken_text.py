"""Texts as they are spoken: without marks, markers of citations and URLs."""

import re
from collections.abc import Mapping
from typing import Any, Final

from backend.ai.text.languages import detect_language
from backend.services.chat.domain.rendering.contents import render_content

_CITATION: Final = re.compile(r"\s?\[\d{1,3}(?:,\s?\d{1,3})*\]")
_URL: Final = re.compile(r"\s?\(?\bhttps?://[^\s)]+\)?")
_BULLET: Final = re.compile(r"^[^\S\n]*[-•*][^\S\n]+", re.MULTILINE)


def to_spoken_text(markdown: str) -> str:
    """Return the text of an answer in CommonMark as it is spoken; "" without any words."""
    rendering = render_content({"type": "text", "text": markdown}, "generic")
    return _clean("\n".join(part.plain_text or part.text for part in rendering.parts))


def get_spoken_texts(content: Mapping[str, Any]) -> list[str]:
    """Return what is said of a message in a call, in parts that the channel accepts."""
    rendering = render_content(content, "twilio", "voice")
    texts = [_clean(part.plain_text or part.text) for part in rendering.parts]
    return [text for text in texts if text]


def _clean(text: str) -> str:
    for pattern in (_CITATION, _URL, _BULLET):
        text = pattern.sub("", text)
    return text.strip() if any(character.isalnum() for character in text) else ""


def find_language(*texts: str) -> str:
    """Return the language of the first of *texts* that has one, or English."""
    return next(filter(None, map(detect_language, texts)), "en")
