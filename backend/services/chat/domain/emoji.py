"""Recognises emoji by the categories of their characters."""

import unicodedata
from typing import Final

_KEYCAP: Final = "\u20e3"
# Selectors and joiners of emoji sequences, and the tags that end flags of regions.
_JOINERS: Final = frozenset({"\u200d", "\ufe0f", *map(chr, range(0xE0020, 0xE0080))})
# Emoji that Unicode classes as punctuation.
_PUNCTUATION: Final = frozenset("\u203c\u2049\u3030\u303d")
_SYMBOLS: Final = frozenset({"So", "Sm", "Sk"})


def is_emoji(text: str) -> bool:
    """Return whether *text* consists of emoji only. Letters and ASCII symbols are none."""
    shown = [character for character in text if character not in _JOINERS]
    if len(shown) == 2 and shown[1] == _KEYCAP:
        return shown[0] in "0123456789#*"
    return bool(shown) and all(map(_is_symbol, shown))


def _is_symbol(character: str) -> bool:
    is_symbol = unicodedata.category(character) in _SYMBOLS or character in _PUNCTUATION
    return is_symbol and not character.isascii()
