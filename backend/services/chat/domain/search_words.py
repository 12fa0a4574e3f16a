"""The tokeniser of messages, for the search index and for queries.

Both databases index the words that it returns, so that a query finds the same messages in both.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

_MAX_WORD_CHARACTERS: Final = 40
_MAX_TEXT_CHARACTERS: Final = 100_000
_MAX_WORDS: Final = 5_000
# Scripts without spaces between words are indexed as pairs of characters: Han, Hiragana, Katakana,
# Thai, Lao, Khmer and Burmese.
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)


def split_words(text: str) -> list[str]:
    """Return the words of *text* in order, with repetitions.

    The text is normalised (NFKC), case is folded and accents of Latin, Greek and Cyrillic letters
    are removed. A run of characters of a script without spaces gives its pairs, or itself if it is
    one character.
    """
    words: list[str] = []
    for word in _keep_word_characters(_normalize(text[:_MAX_TEXT_CHARACTERS])).split():
        words.extend(_split_scripts(word))
        if len(words) >= _MAX_WORDS:
            break
    return words[:_MAX_WORDS]


def index_words(text: str) -> str:
    """Return the distinct words of *text* separated by spaces: the column `words`.

    Single characters of unspaced scripts are added, so that a query of one character finds them.
    """
    words = split_words(text)
    singles = (
        char for word in words if len(word) == 2 and _UNSPACED.fullmatch(word) for char in word
    )
    return " ".join(dict.fromkeys((*words, *singles)))


def query_words(text: str) -> Sequence[str]:
    """Return the distinct words of a query."""
    return tuple(dict.fromkeys(split_words(text)))


def find_highlights(
    text: str, words: Iterable[str], *, max_count: int = 20
) -> list[tuple[int, int]]:
    """Return the character ranges of *text* whose words are among *words*."""
    wanted = set(words)
    found: list[tuple[int, int]] = []
    for match in re.finditer(r"\S+", _keep_word_characters(text[:_MAX_TEXT_CHARACTERS])):
        if not wanted.isdisjoint(split_words(match.group())):
            found.append((match.start(), match.end()))
            if len(found) == max_count:
                break
    return found


def _normalize(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    decomposed = unicodedata.normalize("NFD", folded)
    # Marks of other scripts, such as vowels of Thai and Hindi, are parts of words.
    kept = "".join(char for char in decomposed if not "\u0300" <= char <= "\u036f")
    return unicodedata.normalize("NFC", kept)


def _keep_word_characters(text: str) -> str:
    """Return *text* with a space for each character that is no letter, mark or number."""
    return "".join(
        char if char.isalnum() or unicodedata.category(char)[0] in "LMN" else " " for char in text
    )


def _split_scripts(word: str) -> Iterable[str]:
    position = 0
    for match in _UNSPACED.finditer(word):
        if match.start() > position:
            yield word[position : match.start()][:_MAX_WORD_CHARACTERS]
        run = match.group()
        if len(run) == 1:
            yield run
        for index in range(len(run) - 1):
            yield run[index : index + 2]
        position = match.end()
    if position < len(word):
        yield word[position:][:_MAX_WORD_CHARACTERS]
