"""Terms of a query in the languages of an index."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backend.ai.text.function_words import remove_question_phrases
from backend.ai.text.languages import detect_language
from backend.ai.text.terms import (
    fold_word,
    get_old_word_terms,
    get_word_terms,
    is_stop_word,
    is_unspaced,
    split_words,
)
from backend.services.rag.store.keyword_index.postings import OLD_CHUNKS


@dataclass(frozen=True, slots=True)
class QueryWord:
    """A word of a query, and how many times the query contains it.

    In scripts without spaces between words it is a term; *is_old* is True for a term of
    COMPATIBLE_TERMS_VERSION.
    """

    text: str
    count: int
    is_old: bool = False

    def get_terms(self, languages: Iterable[str]) -> frozenset[str]:
        """Return the terms of the word in all *languages*: none where it is a stop word."""
        if self.is_old:
            return frozenset((self.text,) if OLD_CHUNKS in languages else ())
        if is_unspaced(self.text):
            return frozenset((self.text,))
        return frozenset(
            term for language in languages for term in get_word_terms(self.text, language)
        )


def parse_query(query: str) -> tuple[str, Sequence[QueryWord]]:
    """Return the language of *query*, "" if it is unknown, and its words without stop words."""
    language = detect_language(query)
    counts: Counter[str] = Counter()
    old_counts: Counter[str] = Counter()
    for word in split_words(remove_question_phrases(query)):
        if is_unspaced(word):
            counts.update(get_word_terms(word))
            old_counts.update(get_old_word_terms(word))
        elif not is_stop_word(word, language):
            counts[word] += 1
    words = [QueryWord(text, count) for text, count in counts.items()]
    return language, words + [
        QueryWord(text, count, is_old=True) for text, count in old_counts.items()
    ]


def get_folded_words(words: Iterable[QueryWord]) -> Sequence[str]:
    """Return the distinct *words* without accents that can have compounds."""
    return list(dict.fromkeys(fold_word(word.text) for word in words if not is_unspaced(word.text)))
