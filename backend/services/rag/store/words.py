"""What counts as the same word: the analysis that both sides of a keyword search pass through."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

# Counted up with every change of what `words` gives: stored postings are then counted anew.
EDITION = 2
# Scripts that do not put blanks between words: Thai, Lao, Burmese, Khmer, kana and ideographs.
_UNSPACED = r"\u0e01-\u0eff\u1000-\u109f\u1780-\u17d3\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
# Elsewhere a word is letters and digits, and in the scripts of India the vowel signs between.
_WORD = re.compile(rf"[{_UNSPACED}]+|(?:(?![{_UNSPACED}])(?:[^\W_]|[\u0900-\u0dff]))+")
_STOP = frozenset(
    [
        *("a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "could", "did", "do"),
        *("does", "for", "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in"),
        *("into", "is", "it", "its", "no", "not", "of", "on", "or", "our", "she", "should", "so"),
        *("such", "that", "the", "their", "them", "then", "there", "these", "they", "this", "to"),
        *("was", "we", "were", "what", "when", "where", "which", "who", "whom", "why", "will"),
        *("with", "would", "you", "your"),
    ]
)


def words(text: str) -> list[str]:
    """The terms of *text* in order: folded, without stop words, reduced to stems.

    Where a script has no blanks between words, terms are pairs of neighbouring characters.
    """
    if text.isascii():  # most English text, at half the cost
        return [stem(word) for word in _WORD.findall(text.lower()) if word not in _STOP]
    folded = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in folded if not unicodedata.combining(letter))
    return [term for word in _WORD.findall(plain) if word not in _STOP for term in _terms(word)]


def _terms(word: str) -> Iterable[str]:
    if "\u0e01" <= word[0] <= "\u0eff" or word[0] >= "\u1000":
        return _pairs(word) if _NO_BLANKS.match(word) else (stem(word),)
    return (stem(word),)


def _pairs(run: str) -> Iterable[str]:
    return (run,) if len(run) == 1 else map("".join, pairwise(run))


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """Take off English endings of number, tense and manner, Russian ones, the Arabic article.

    Light on purpose: it must make *policies* and *policy* meet without harming the words of
    other languages much, and costs a tenth of a full stemmer.
    """
    if len(word) > 4 and "\u0400" <= word[0] <= "\u04ff":
        return _CYRILLIC_ENDING.sub("", word)
    if len(word) > 4 and word.startswith("\u0627\u0644"):
        return word[2:]
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    return _without_y(_without_tense(_singular(word.removesuffix("'s"))))


def _singular(word: str) -> str:
    if word.endswith("sses"):
        return word[:-2]
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _without_tense(word: str) -> str:
    for ending in ("ing", "ed", "ly"):
        root = word.removesuffix(ending)
        if root == word or len(root) < 3 or not _VOWEL.search(root):
            continue
        if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "lsz":
            return root[:-1]
        return root
    return word


def _without_y(word: str) -> str:
    if word.endswith("e") and len(word) > 4:
        return word[:-1]
    if word.endswith("y") and len(word) > 3:
        return word[:-1] + "i"
    return word


_VOWEL = re.compile(r"[aeiouy]")
# As they stand after folding, where й has become и. Three letters at least are left.
_CYRILLIC_ENDING = re.compile(
    r"(?<=\w{3})(?:ами|ями|ого|его|ому|ему|ыми|ими|ах|ях|ам|ям|ом|ем|ов|ев|еи|ии|ыи|ои|ая|яя"  # noqa: RUF001
    r"|ое|ее|ые|ие|ую|юю|их|ых|[аеиоуыэюяь])$"  # noqa: RUF001
)
_NO_BLANKS = re.compile(rf"[{_UNSPACED}]")
