"""Compute the mean vectors of languages for the multilingual embedding model.

    python -m benchmarks.rag.language_means DATA DJANGO

DATA is a folder with the English question set `xquad` in BEIR's layout (XQuAD, CC BY-SA 4.0);
DJANGO is the wheel of Django (BSD), whose messages are translated into many languages. Only mean
vectors of these texts are stored, no text.

The means of English are those of XQuAD's questions and paragraphs. A mean of another language is
that of English plus the mean difference between translated texts and the same texts in English,
which does not depend on what the texts are about. Passages are four messages of Django each.
Queries are those of `parallel_questions.json`: ten questions suffice, while messages, which are no
questions, give means that are worse (cross-language nDCG@10 0.845 instead of 0.873). Languages
without such questions use the difference of the messages.
"""

import gettext
import io
import json
import re
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from backend.ai.embedder import Vectors
from backend.ai.embedding.language_means import FILE
from backend.ai.embedding.multilingual import PASSAGE, QUERY, MultilingualEmbedder
from backend.ai.text.languages import detect_language
from benchmarks.rag.question_sets import read_question_set

QUESTIONS = Path(__file__).with_name("parallel_questions.json")
# Shorter messages are labels, not sentences.
MIN_CHARACTERS = 25
MAX_MESSAGES = 120
MESSAGES_PER_PASSAGE = 4
# A language with fewer translated messages has no mean of its own.
MIN_MESSAGES = 40
CATALOG = re.compile(r"/locale/([A-Za-z_]+)/LC_MESSAGES/django\.mo$")
# Django's names of languages that differ from ISO 639-1.
LANGUAGES = {"zh_Hans": "zh", "nb": "no"}
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|<[^>]*>|\{\w*\}")

Pairs = Sequence[tuple[str, str]]


def main() -> None:
    question_set = read_question_set(Path(sys.argv[1]), "xquad")
    embedder = MultilingualEmbedder()
    messages = _read_messages(Path(sys.argv[2]))
    questions = json.loads(QUESTIONS.read_text("utf-8"))
    english_query = embedder.encode_uncentred(QUERY, list(question_set.questions.values())).mean(0)
    english_passage = embedder.encode_uncentred(
        PASSAGE, [text for _, text in question_set.documents.values()]
    ).mean(0)
    queries, passages = {"en": english_query}, {"en": english_passage}
    for language, pairs in messages.items():
        passages[language] = english_passage + _compute_offset(embedder, PASSAGE, _join(pairs))
        if language in questions:
            pairs = list(zip(questions["en"], questions[language], strict=True))
        queries[language] = english_query + _compute_offset(embedder, QUERY, pairs)
    np.savez_compressed(
        FILE,
        languages=np.array(["", *passages]),
        queries=_stack([queries[language] for language in passages]),
        passages=_stack(list(passages.values())),
    )
    print(f"{len(passages)} languages: {' '.join(passages)}")


def _compute_offset(embedder: MultilingualEmbedder, prefix: str, pairs: Pairs) -> Vectors:
    """Return the mean difference of the vectors of translated and English texts."""
    english, translated = (
        embedder.encode_uncentred(prefix, texts) for texts in zip(*pairs, strict=True)
    )
    offset: Vectors = (translated - english).mean(axis=0)
    return offset


def _join(pairs: Pairs) -> Pairs:
    groups = [
        pairs[start : start + MESSAGES_PER_PASSAGE]
        for start in range(0, len(pairs), MESSAGES_PER_PASSAGE)
    ]
    return [
        (" ".join(english for english, _ in group), " ".join(text for _, text in group))
        for group in groups
    ]


def _read_messages(wheel: Path) -> dict[str, Pairs]:
    """Return the messages in English and in another language, by language."""
    messages: dict[str, dict[str, str]] = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if match := CATALOG.search(name):
                language = LANGUAGES.get(match[1], match[1])
                catalog = gettext.GNUTranslations(io.BytesIO(archive.read(name)))
                messages.setdefault(language, {}).update(_select_sentences(catalog))
    return {
        language: sorted(pairs.items())[:MAX_MESSAGES]
        for language, pairs in sorted(messages.items())
        if len(pairs) >= MIN_MESSAGES and _is_detected(language, pairs)
    }


def _is_detected(language: str, pairs: Mapping[str, str]) -> bool:
    """Return whether texts in *language* can be detected, without which its mean is not used."""
    return detect_language(" ".join(pairs.values())) == language


def _select_sentences(catalog: gettext.GNUTranslations) -> dict[str, str]:
    # GNUTranslations has no public method that returns all messages.
    messages = catalog._catalog  # type: ignore[attr-defined]
    return {
        english: _clean(translated)
        for message, translated in messages.items()
        if isinstance(message, str)
        and len(english := _clean(message)) >= MIN_CHARACTERS
        and translated != message
    }


def _clean(message: str) -> str:
    return " ".join(PLACEHOLDER.sub("", message).split())


def _stack(means: Sequence[Vectors]) -> Vectors:
    """Return the mean of all languages and *means*, in half precision."""
    stacked: Vectors = np.array([np.mean(means, axis=0), *means]).astype(np.float16)
    return stacked


if __name__ == "__main__":
    main()
