"""Extract search terms from text: tokens without stop words, case-folded and stemmed.

Documents and queries go through the same analysis, so that different forms of a word match.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Final

from backend.ai.text.normalization import normalize
from backend.ai.text.sentence_ends import UNSPACED_SCRIPTS

# Increment this when the result of `extract_terms` changes: stored postings of an older version are
# then computed again.
TERMS_VERSION: Final = 4

# In other scripts a word consists of letters, digits and the vowel signs of Indic scripts.
_WORD = re.compile(
    rf"[{UNSPACED_SCRIPTS}]+|(?:(?![{UNSPACED_SCRIPTS}])(?:[^\W_]|[\u0900-\u0dff]))+"
)
# A position before a superscript, after a number or after a word longer than a unit such as m².
_BEFORE_SUPERSCRIPT = re.compile(
    r"(?:(?<=\d)|(?<=[^\W\d_]{4}))(?=[⁺⁻]?[⁰¹²³⁴-⁹]|[ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ](?![^\W\d_]))"
)
_STARTS_UNSPACED = re.compile(rf"[{UNSPACED_SCRIPTS}]")
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


def extract_terms(text: str) -> list[str]:
    """Return the terms of *text* in order: case-folded, without stop words, stemmed.

    For scripts without spaces between words, terms are pairs of adjacent characters.
    """
    if text.isascii():  # Most English text; takes half the time.
        return [stem(word) for word in _WORD.findall(text.lower()) if word not in STOP_WORDS]
    return [term for word in extract_words(text) for term in _terms_of_word(word)]


def extract_words(text: str) -> list[str]:
    """Return the words of *text* in order, folded and without stop words.

    Folded words have no capital letters and no accents. The Turkish letters with and without dot
    are one letter: *İzmir*, *IZMIR* and *izmir* are the same word.
    """
    # Exponents and note marks are not part of the number or word before them: 10⁶ is found by 10
    # and 6, not by 106, and word¹ by word.
    text = _BEFORE_SUPERSCRIPT.sub(" ", text)
    folded = normalize("NFKD", text.casefold()).replace("\u0131", "i")
    base = "".join(char for char in folded if not unicodedata.combining(char))
    return [word for word in _WORD.findall(base) if word not in STOP_WORDS]


def extract_content_terms(text: str) -> frozenset[str]:
    """Return the distinct terms of *text* without words that are common in any sentence.

    Used to compare sentences. Search terms keep the common words, because they occur in titles
    and names.
    """
    return frozenset(extract_terms(text)) - _COMMON_TERMS


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """Return *word* without English endings, Russian endings or the Arabic article.

    The stemmer is light on purpose. It maps *policies* and *policy* to the same stem, does little
    harm to words of other languages, and takes a tenth of the time of a full stemmer.
    """
    if len(word) > 4 and "\u0400" <= word[0] <= "\u04ff":
        return _CYRILLIC_ENDING.sub("", word)
    if len(word) > 4 and word.startswith("\u0627\u0644"):
        return word[2:]
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    return _strip_final_vowel(_strip_suffix(_singularize(word.removesuffix("'s"))))


def _terms_of_word(word: str) -> Iterable[str]:
    if _STARTS_UNSPACED.match(word):
        return _character_pairs(word)
    return (stem(word),)


def _character_pairs(word: str) -> Iterable[str]:
    return (word,) if len(word) == 1 else map("".join, pairwise(word))


def _singularize(word: str) -> str:
    if word.endswith("sses"):
        return word[:-2]
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _strip_suffix(word: str) -> str:
    for suffix in ("ing", "ed", "ly"):
        root = word.removesuffix(suffix)
        if root == word or len(root) < 3 or not _VOWEL.search(root):
            continue
        if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "lsz":
            return root[:-1]
        return root
    return word


def _strip_final_vowel(word: str) -> str:
    if word.endswith("e") and len(word) > 4:
        return word[:-1]
    if word.endswith("y") and len(word) > 3:
        return word[:-1] + "i"
    return word


_VOWEL = re.compile(r"[aeiouy]")
# Endings after case folding, which turns й into и. At least three letters remain.
_CYRILLIC_ENDING = re.compile(
    r"(?<=\w{3})(?:ами|ями|ого|его|ому|ему|ыми|ими|ах|ях|ам|ям|ом|ем|ов|ев|еи|ии|ыи|ои|ая|яя"  # noqa: RUF001
    r"|ое|ее|ые|ие|ую|юю|их|ых|[аеиоуыэюяь])$"  # noqa: RUF001
)
_COMMON_TERMS: Final = frozenset(
    extract_terms(
        "about after all also any been may more most must only one other out over some than under"
        " up"
    )
)
