"""What counts as the same word: the analysis that both sides of a keyword search pass through."""

import re
import unicodedata
from functools import lru_cache

# Counted up with every change of what `words` gives: stored postings are then counted anew.
EDITION = 1
# Scripts that do not put blanks between words are taken character by character.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+")
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
    """The terms of *text* in order: folded, without stop words, reduced to stems."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in folded if not unicodedata.combining(letter))
    return [stem(word) for word in _WORD.findall(plain) if word not in _STOP]


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """Take off English endings of number, tense and manner; leave other words nearly alone.

    Light on purpose: it must make *policies* and *policy* meet without harming the words of
    other languages much, and costs a tenth of a full stemmer.
    """
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
