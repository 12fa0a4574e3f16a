"""Match the parts of compound words, such as *Kapitän* in *Schifffahrtsgesellschaftskapitäne*.

German and related languages write compounds as one word. No dictionary is used: a part is a word of
the question or of the indexed documents that occurs in a longer word, if the text before and after
it can consist of words too. Between two parts a linking element can stand (-s-, -es-, -n-, -en-,
-er-, -e-), and the last part can have one of the same endings. All words are folded as in
`extract_words`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final

from backend.ai.text.terms import fold_word, split_words

MIN_COMPOUND_CHARS: Final = 12
MIN_PART_CHARS: Final = 5
# Minimum length of the stem of a compound in languages with many compounds.
_MIN_STEM_CHARS: Final = 10
_COMPOUNDING_LANGUAGES: Final = frozenset({"de", "nl", "sv", "da", "no", "fi", "hu"})
# Minimum length of a part between two others: shorter texts occur in words by chance.
_MIN_INNER_PART_CHARS: Final = 6
# Minimum length of the text before and after a part. A shorter text is a prefix or suffix.
_MIN_CHARS_BEFORE: Final = 3
_MIN_CHARS_AFTER: Final = 4
# Longer sequences of letters are not words of a language.
_MAX_WORD_CHARS: Final = 60
_ENDINGS: Final = ("ern", "en", "er", "es", "em", "e", "n", "s")
_LINK_OR_ENDING = re.compile(r"(?:ern|en|er|es|em|e|n|s)?$")
_VOWEL = re.compile(r"[aeiouyæœøаеиоуыэюяαεηιουω]")  # noqa: RUF001 - non-Latin letters are intended


def is_long_word(word: str) -> bool:
    """Return True if the folded *word* can be a compound."""
    return MIN_COMPOUND_CHARS <= len(word) <= _MAX_WORD_CHARS and word.isalpha()


def is_long_term(term: str, language: str) -> bool:
    """Return True if *term* can be a compound in *language*. A stem is shorter than the word."""
    min_chars = _MIN_STEM_CHARS if language in _COMPOUNDING_LANGUAGES else MIN_COMPOUND_CHARS
    return min_chars <= len(term) <= _MAX_WORD_CHARS and term.isalpha()


def find_long_words(text: str) -> Iterator[str]:
    """Yield the folded words of *text* that can be compounds."""
    # Folding can lengthen a word a little: ß becomes ss.
    candidates = (word for word in split_words(text) if len(word) >= MIN_COMPOUND_CHARS - 2)
    return filter(is_long_word, map(fold_word, candidates))


@lru_cache(maxsize=10_000)
def find_forms_of_part(word: str) -> tuple[str, ...]:
    """Return the forms of the folded *word*, with and without its ending, that can be parts."""
    if len(word) < MIN_PART_CHARS or not word.isalpha():
        return ()
    stems = (word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending))
    return tuple(dict.fromkeys((word, *(stem for stem in stems if len(stem) >= MIN_PART_CHARS))))


def contains_part(compound: str, word: str) -> bool:
    """Return True if the long word *compound* has *word*, in one of its forms, as a part."""
    if not _has_parts(compound) or len(compound) < len(word) + _MIN_CHARS_BEFORE:
        return False
    return any(
        _is_part(compound, match.start(), match.end())
        for form in find_forms_of_part(word)
        for match in re.finditer(re.escape(form), compound)
    )


def find_parts(compound: str, is_known: Callable[[str], bool]) -> list[str]:
    """Return the known words in *compound* that together cover most of its letters.

    Args:
        is_known: returns whether a word of at least MIN_PART_CHARS occurs in the indexed documents.
    """
    if not _has_parts(compound):
        return []
    length = len(compound)
    # The best parts of `compound[:end]`, and the number of characters that they cover.
    best: list[tuple[int, list[str]]] = [(0, [])]
    for end in range(1, length + 1):
        best.append(best[end - 1])
        for start in range(end - MIN_PART_CHARS + 1):
            if (start, end) == (0, length) or not _is_part(compound, start, end):
                continue
            covered = best[start][0] + end - start
            if covered > best[end][0] and is_known(compound[start:end]):
                best[end] = covered, [*best[start][1], compound[start:end]]
    return best[length][1]


def cover_compound(compound: str, words: Iterable[str]) -> float:
    """Return the share of the letters of *compound* that belong to parts from *words*."""
    known = {word for word in words if word in compound and word != compound}
    return sum(map(len, find_parts(compound, known.__contains__))) / max(1, len(compound))


def find_compounds(vocabulary: str, word: str, limit: int) -> Iterator[str]:
    """Yield up to *limit* words of *vocabulary* that have *word* as a part.

    *vocabulary* consists of lines with one long word each, and starts and ends with a line break.
    """
    for form in find_forms_of_part(word):
        position = vocabulary.find(form)
        while position >= 0 and limit > 0:
            start = vocabulary.rfind("\n", 0, position) + 1
            end = vocabulary.find("\n", position)
            compound = vocabulary[start:end]
            if contains_part(compound, word):
                limit -= 1
                yield compound
            position = vocabulary.find(form, end)


def _has_parts(term: str) -> bool:
    return _MIN_STEM_CHARS <= len(term) <= _MAX_WORD_CHARS and term.isalpha()


def _is_part(compound: str, start: int, end: int) -> bool:
    before, after = compound[:start], compound[end:]
    if before and not _can_be_words(before, _MIN_CHARS_BEFORE):
        return False
    if _LINK_OR_ENDING.match(after):
        return True
    is_inner = bool(before)
    if is_inner and end - start < _MIN_INNER_PART_CHARS:
        return False
    return _can_be_words(after, _MIN_CHARS_AFTER)


def _can_be_words(text: str, min_chars: int) -> bool:
    return len(text) >= min_chars and bool(_VOWEL.search(text))
