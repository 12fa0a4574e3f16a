"""Extract search terms from text: tokens without stop words, case-folded and stemmed.

Terms depend on the language of the text. A question and a text can be compared if the terms of both
were extracted for the same language; the keyword index compares them for each language of its
chunks.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from backend.ai.text.language_words import FUNCTION_WORDS
from backend.ai.text.normalization import normalize
from backend.ai.text.sentence_ends import UNSPACED_SCRIPTS
from backend.ai.text.stemming import STEMMED_LANGUAGES, stem_by_algorithm, stem_lightly

# Increment this when the result of `extract_terms` changes. Postings of an older version are then
# computed again: those older than COMPATIBLE_TERMS_VERSION before the next search, the others in
# the background.
TERMS_VERSION: Final = 5
# Version 4 extracted all terms as for an unknown language, pairs of Thai characters, and no single
# ideographs.
COMPATIBLE_TERMS_VERSION: Final = 4
# The languages whose terms differ from those of an unknown language.
TERM_LANGUAGES: Final = tuple(sorted((*STEMMED_LANGUAGES, "vi")))
_UNKNOWN: Final = ""

# Marks that are part of a word: accents, Hebrew and Arabic vowels, and those of Indic scripts
# without their full stops.
_MARKS: Final = (
    r"\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc"
    r"\u0900-\u0963\u0966-\u0dff"
)
_WORD = re.compile(
    rf"[{UNSPACED_SCRIPTS}]+"
    rf"|(?![{UNSPACED_SCRIPTS}])[^\W_](?:(?![{UNSPACED_SCRIPTS}])(?:[^\W_]|[{_MARKS}]))*"
)
_SUPERSCRIPT_LETTERS = "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ"
_SUPERSCRIPT = re.compile(rf"[⁰¹²³⁴-⁹{_SUPERSCRIPT_LETTERS}]")
# A position before a superscript, after a number or after a word longer than a unit such as m².
_BEFORE_SUPERSCRIPT = re.compile(
    rf"(?:(?<=\d)|(?<=[^\W\d_]{{4}}))(?=[⁺⁻]?[⁰¹²³⁴-⁹]|[{_SUPERSCRIPT_LETTERS}](?![^\W\d_]))"
)
# The same words, found faster in texts without other characters.
_ASCII_WORD = re.compile("[a-z0-9]+")
_ANY_ASCII_WORD = re.compile("[A-Za-z0-9]+")
_SPACED_WORD = re.compile(rf"[^\W_](?:[^\W_]|[{_MARKS}])*")
_UNSPACED = re.compile(rf"[{UNSPACED_SCRIPTS}]")
# Kana and ideographs. The other scripts without spaces have vowel signs, so that two characters
# are less than a syllable.
_IDEOGRAPHIC = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
STOP_WORDS: Final = frozenset(
    [
        *("a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "could", "did", "do"),
        *("does", "for", "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in"),
        *("into", "is", "it", "its", "no", "not", "of", "on", "or", "our", "she", "should", "so"),
        *("such", "that", "the", "their", "them", "then", "there", "these", "they", "this", "to"),
        *("was", "we", "were", "what", "when", "where", "which", "who", "whom", "why", "will"),
        *("with", "would", "you", "your"),
    ]
)
# Languages in which accents distinguish stop words from other words: "năm" is "year", "Nam" a name.
_TONAL_LANGUAGES: Final = frozenset({"vi"})
# Marks a term that stands for all words that differ in their accents only.
_WITHOUT_ACCENTS: Final = "~"
# Languages whose stems hardly depend on accents. Their words are folded first, so that the parts of
# compounds, which are stored folded, have the same stems.
_FOLDED_LANGUAGES: Final = frozenset({"de", "nl", "sv", "da", "no"})
_OTHER_LETTERS: Final = str.maketrans({"\u0131": "i", "\u0111": "d", "\u0640": None})
_CEDILLAS: Final = str.maketrans({"\u015f": "\u0219", "\u0163": "\u021b"})


def extract_terms(text: str, language: str = _UNKNOWN) -> list[str]:
    """Return the terms of *text* in order: case-folded, without stop words, stemmed.

    For scripts without spaces between words, terms are ideographs and kana and pairs of them, and
    three adjacent characters of Thai and other alphabets.

    Args:
        language: ISO 639-1 code of the language, or "" if it is unknown.
    """
    if language not in TERM_LANGUAGES and text.isascii():
        # Most English text; takes a third of the time.
        stop_words = _get_stop_words(language)
        return [stem(word) for word in _ASCII_WORD.findall(text.lower()) if word not in stop_words]
    return [term for word in split_words(text) for term in get_word_terms(word, language)]


def split_words(text: str) -> list[str]:
    """Return the words of *text* in order, as they are written.

    In scripts without spaces between words, a word is a sequence of characters without spaces and
    punctuation.
    """
    if text.isascii():
        return _ANY_ASCII_WORD.findall(text)
    # Exponents and note marks are not part of the number or word before them: 10⁶ is found by 10
    # and 6, not by 106, and word¹ by word.
    if _SUPERSCRIPT.search(text):
        text = _BEFORE_SUPERSCRIPT.sub(" ", text)
    text = normalize("NFKC", text)
    return (_WORD if _UNSPACED.search(text) else _SPACED_WORD).findall(text)


@lru_cache(maxsize=100_000)
def get_word_terms(word: str, language: str = _UNKNOWN) -> tuple[str, ...]:
    """Return the terms of *word*, one of `split_words`: none for a stop word.

    A word of a script without spaces has several.
    """
    if _UNSPACED.match(word):
        folded = fold_word(word)
        if not _IDEOGRAPHIC.match(folded):
            return _character_sequences(folded, 3)
        pairs = _character_sequences(folded, 2) if len(folded) > 1 else ()
        return (*folded, *pairs)
    if is_stop_word(word, language) or not (term := _stem_word(word, language)):
        return ()
    if language in _TONAL_LANGUAGES:
        return _get_tonal_terms(word, term)
    return (term,)


def _get_tonal_terms(word: str, folded: str) -> tuple[str, ...]:
    """Return two terms for a word with accents: it equals the word without accents only in part."""
    without_accents = f"{folded}{_WITHOUT_ACCENTS}"
    return (without_accents,) if word.isascii() else (word.lower(), without_accents)


def get_old_word_terms(word: str) -> Sequence[str]:
    """Return the terms of a word without spaces in COMPATIBLE_TERMS_VERSION, if they differ."""
    folded = fold_word(word)
    return () if _IDEOGRAPHIC.match(folded) else _character_sequences(folded, 2)


def is_unspaced(word: str) -> bool:
    """Return True if *word* is written in a script without spaces between words."""
    return bool(_UNSPACED.match(word))


@lru_cache(maxsize=100_000)
def is_stop_word(word: str, language: str = _UNKNOWN) -> bool:
    """Return True if *word*, in any case, is a function word of *language*."""
    return _lower(word, language) in _get_stop_words(language) or fold_word(
        word
    ) in _get_folded_stop_words(language)


def extract_words(text: str) -> list[str]:
    """Return the words of *text* in order, folded and without English stop words.

    Folded words have no capital letters and no accents. The Turkish letters with and without dot
    are one letter: *İzmir*, *IZMIR* and *izmir* are the same word.
    """
    return [fold_word(word) for word in split_words(text) if not is_stop_word(word)]


@lru_cache(maxsize=100_000)
def fold_word(word: str) -> str:
    """Return *word* without capital letters and accents."""
    if word.isascii():
        return word.lower()
    folded = normalize("NFKD", word.casefold())
    return "".join(char for char in folded if not unicodedata.combining(char)).translate(
        _OTHER_LETTERS
    )


def extract_content_terms(text: str) -> frozenset[str]:
    """Return the distinct terms of *text* without words that are common in any sentence.

    Used to compare sentences. Search terms keep the common words, because they occur in titles
    and names.
    """
    return frozenset(extract_terms(text)) - _COMMON_TERMS


def stem_folded(word: str, language: str = _UNKNOWN) -> str:
    """Return the term of *word*, one of `extract_words`."""
    return _stem_word(word, language)


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """Return the stem of the folded *word* by the light rules for an unknown language."""
    return stem_lightly(word)


def _stem_word(word: str, language: str) -> str:
    if language not in STEMMED_LANGUAGES or any(map(str.isdigit, word)):
        return stem(fold_word(word))
    if language in _FOLDED_LANGUAGES:
        return stem_by_algorithm(fold_word(word), language)
    return fold_word(stem_by_algorithm(_lower(word, language), language))


def _lower(word: str, language: str) -> str:
    if language == "tr":
        word = word.replace("I", "\u0131").replace("\u0130", "i")
    word = word.lower()
    return word.translate(_CEDILLAS) if language == "ro" else word


@lru_cache
def _get_stop_words(language: str) -> frozenset[str]:
    """Return the stop words of *language* as they are written."""
    if language in ("", "en"):
        return STOP_WORDS
    return frozenset(FUNCTION_WORDS.get(language, "").split())


@lru_cache
def _get_folded_stop_words(language: str) -> frozenset[str]:
    if language in _TONAL_LANGUAGES:
        return frozenset()
    return frozenset(map(fold_word, _get_stop_words(language)))


def _character_sequences(word: str, length: int) -> tuple[str, ...]:
    last = max(min(1, len(word)), len(word) - length + 1)
    return tuple(word[start : start + length] for start in range(last))


_COMMON_TERMS: Final = frozenset(
    extract_terms(
        "about after all also any been may more most must only one other out over some than under"
        " up"
    )
)
