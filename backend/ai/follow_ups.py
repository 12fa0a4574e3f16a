"""Rewrite a follow-up question so that it can be understood without its conversation.

The rules need no language model: words that a question leaves out are taken from the questions
before it, and the name of a person from the answer before it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from backend.ai.follow_up_rules import FOLLOW_UP_RULES, FollowUpRules
from backend.ai.text.function_words import remove_function_phrases
from backend.ai.text.languages import detect_language
from backend.ai.text.question_words import find_question_terms
from backend.ai.text.terms import extract_terms, is_stop_word, is_unspaced, split_words

# Maximum length of an earlier message that is used, and of a question that a model rewrote.
MAX_CHARACTERS: Final = 600
_MAX_ADDED_WORDS: Final = 8
_MAX_ADDED_NAMES: Final = 2
_MAX_PHRASE_WORDS: Final = 6

_REFERENCE = re.compile(
    r"\b(it|its|they|them|their|theirs|this|that|these|those|he|him|his|she|her|hers|there"
    r"|ones?|former|latter|same|such|es|sie|er|ihn|ihm|ihr|dies\w*|davon|dort|dafür|damit"
    r"|il|elle|ils|elles|cela|lui|eso)\b",
    re.IGNORECASE,
)
_PERSON_REFERENCE = re.compile(
    r"\b(he|him|his|she|her|hers|they|them|their|er|sie|ihn|il|elle|lui)\b", re.IGNORECASE
)
_CONTINUATION = re.compile(
    r"^\W*(and|or|but|so|also|then|what about|how about|why not|und|oder|aber|et|ou|y|e)\b\W*"
    r"((what|how) about\b\W*)?",
    re.IGNORECASE,
)


_MAX_RULE_WORDS: Final = 7
# Ideographs and Thai letters of a question with one content word.
_MAX_UNSPACED_CHARS: Final = {"zh": 3, "ja": 3, "th": 8}
# Words that begin a phrase. The phrase of a follow-up replaces the one of the earlier question that
# begins with the same word.
_PHRASE_OPENINGS: Final = frozenset(
    [
        *("in", "on", "at", "for", "from", "with", "without", "by", "during", "after", "before"),
        *("between", "under", "over", "to", "of", "the", "a", "an", "my", "our", "your", "im"),
        *("am", "bei", "für", "mit", "ohne", "nach", "vor", "der", "die", "das"),
    ]
)
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_NAME = re.compile(r"\b[^\W\d_a-z][^\W\d_]+(?:\s+[^\W\d_a-z][^\W\d_]+)*")
_FIRST_SENTENCE = re.compile(r"(?<=[.!?])\s")


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class FollowUpOptions:
    """Rules that decide whether a question is incomplete, and how it is completed."""

    # Questions with more words are considered complete.
    max_words: int | None = None
    # A pronoun makes a question incomplete only if the question has at most this many words. In a
    # longer one it usually refers to a word of the same question.
    max_reference_words: int | None = None
    # Put the whole earlier question before the follow-up, instead of adding its missing words. The
    # result reads less well but retrieves better: for 500 generic follow-ups to XQuAD questions the
    # right paragraph is the nearest one for 83 % instead of 75 %.
    prepends_question: bool = False


DEFAULT_OPTIONS: Final = FollowUpOptions()


def rewrite_follow_up(
    question: str, history: Sequence[Turn], options: FollowUpOptions = DEFAULT_OPTIONS
) -> str:
    """Return *question* with the words it leaves out, or unchanged if it is complete.

    *history* contains the messages before the question, oldest first.
    """
    topic, answer = "", ""
    for turn in history:
        content = turn.content[:MAX_CHARACTERS]
        if turn.role == "assistant":
            answer = content
        else:
            topic = _complete(content, topic, answer, options)[:MAX_CHARACTERS]
    return _complete(question, topic, answer, options)


def _complete(question: str, topic: str, answer: str, options: FollowUpOptions) -> str:
    question = " ".join(question.split())
    language = detect_language(question) or detect_language(topic)
    if not topic or not _is_incomplete(question, options, language):
        return question
    rules = FOLLOW_UP_RULES.get(language)
    rest = (rules.continuation if rules else _CONTINUATION).sub("", question)
    if rest != question and (replaced := _replace_phrase(topic, rest)):
        return replaced
    if options.prepends_question:
        return f"{topic} {question}"
    added = _find_missing_words(question, topic, answer, language)
    return f"{question} ({' '.join(added)})" if added else question


def _is_incomplete(question: str, options: FollowUpOptions, language: str) -> bool:
    """Return True if *question* refers back, continues another one, or has at most one term."""
    if (rules := FOLLOW_UP_RULES.get(language)) is not None:
        return _is_incomplete_by_rules(question, rules, language)
    word_count = len(question.split())
    if options.max_words is not None and word_count > options.max_words:
        return False
    if _CONTINUATION.match(question):
        return True
    max_words = options.max_reference_words
    if (max_words is None or word_count <= max_words) and _REFERENCE.search(question):
        return True
    return len(set(extract_terms(question))) <= 1


def _is_incomplete_by_rules(question: str, rules: FollowUpRules, language: str) -> bool:
    if rules.continuation.match(question):
        return True
    if len(question.split()) <= _MAX_RULE_WORDS and rules.reference.search(question):
        return True
    content = _find_content_words(question, language)
    if any(map(is_unspaced, content)):
        return sum(map(len, content)) <= _MAX_UNSPACED_CHARS.get(language, 0)
    return len(content) <= 1


def _find_content_words(question: str, language: str) -> list[str]:
    """Return the words of *question* that do not only phrase a question."""
    phrasing = find_question_terms(language)
    return [
        word
        for word in split_words(remove_function_phrases(question))
        if not is_stop_word(word, language)
        and not phrasing.issuperset(extract_terms(word, language))
    ]


def _replace_phrase(topic: str, rest: str) -> str | None:
    """Return *topic* with *rest* in place of the phrase that begins with the same word, or None.

    For example, "When does the pool open in summer?" and "in winter" become "When does the pool
    open in winter?"
    """
    phrase = _WORD.findall(rest)
    if not 1 < len(phrase) <= _MAX_PHRASE_WORDS or phrase[0].lower() not in _PHRASE_OPENINGS:
        return None
    words = list(_WORD.finditer(topic))
    first = _find_phrase(words, phrase)
    if first is None:
        return None
    last = first + 1
    # Replace as many words as the phrase has, but do not extend into the next phrase.
    while last + 1 < len(words) and last - first < len(phrase) - 1:
        if words[last + 1].group().lower() in _PHRASE_OPENINGS:
            break
        last += 1
    return f"{topic[: words[first].start()]}{' '.join(phrase)}{topic[words[last].end() :]}"


def _find_phrase(words: Sequence[re.Match[str]], phrase: Sequence[str]) -> int | None:
    """Return the index of the word that begins the phrase to replace, or None.

    Among several, prefer the one whose second word has the form of the new phrase's second word:
    "the X-300" replaces "the X-200" rather than "the warranty".
    """
    openings = [
        index for index, word in enumerate(words[:-1]) if word.group().lower() == phrase[0].lower()
    ]
    form = _word_form(phrase[1])
    same_form = [index for index in openings if _word_form(words[index + 1].group()) == form]
    return next(iter(same_form or openings), None)


def _word_form(word: str) -> tuple[bool, bool]:
    """Return whether *word* contains a digit, and whether it is capitalised."""
    return any(char.isdigit() for char in word), word[0].isupper()


def _find_missing_words(question: str, topic: str, answer: str, language: str) -> list[str]:
    """Return words of *topic* that *question* lacks and, for a pronoun, the names in *answer*."""
    known_terms = set(extract_terms(question, language))
    missing: list[str] = []
    rules = FOLLOW_UP_RULES.get(language)
    if (rules.person if rules else _PERSON_REFERENCE).search(question):
        first_sentence = _FIRST_SENTENCE.split(answer, maxsplit=1)[0]
        names = [
            name
            for name in _NAME.findall(first_sentence)
            if " " in name and not is_stop_word(name.split()[0], language)
        ]
        missing += names[:_MAX_ADDED_NAMES]
    words = _find_content_words(topic, language) if rules else _WORD.findall(topic)
    for word in words:
        terms = extract_terms(word, language)
        if terms and not known_terms.issuperset(terms):
            known_terms.update(terms)
            missing.append(word)
    return missing[:_MAX_ADDED_WORDS]
