"""The words of packages, for the search index and for queries."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

_MAX_WORDS: Final = 200
_MAX_WORD_CHARACTERS: Final = 64
_MAX_QUERY_WORDS: Final = 10
_WORD: Final = re.compile(r"[^\W_]+")


def split_words(text: str) -> list[str]:
    """Return the words of *text*: letters and digits, with case folded and without accents."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(char for char in decomposed if not unicodedata.combining(char))
    return [word[:_MAX_WORD_CHARACTERS] for word in _WORD.findall(plain)]


def index_words(texts: Iterable[str | None]) -> str:
    """Return the distinct words of *texts* separated by spaces: the column `words`."""
    words = dict.fromkeys(word for text in texts if text for word in split_words(text))
    return " ".join(list(words)[:_MAX_WORDS])


def query_words(text: str) -> Sequence[str]:
    """Return the distinct words of a query, at most ten."""
    return tuple(dict.fromkeys(split_words(text)))[:_MAX_QUERY_WORDS]
