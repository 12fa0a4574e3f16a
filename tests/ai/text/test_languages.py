"""The language of questions and texts is detected without a model."""
# ruff: noqa: RUF001 - non-Latin letters are intended

import json
from pathlib import Path

import pytest

from backend.ai.text.languages import detect_language

_QUESTIONS = json.loads(
    Path(__file__).with_name("questions_by_language.json").read_text(encoding="utf-8")
)
_MIN_SHARE = 0.95


def test_language_of_short_questions_is_detected():
    results = [
        detect_language(question) == language
        for language, questions in _QUESTIONS.items()
        for question in questions
    ]
    assert sum(results) / len(results) >= _MIN_SHARE


@pytest.mark.parametrize("language", _QUESTIONS)
def test_no_language_is_mistaken_for_another_one_often(language):
    detected = [detect_language(question) for question in _QUESTIONS[language]]
    assert sum(code not in (language, "") for code in detected) <= 1


@pytest.mark.parametrize("text", ["", "12.5", "...", "AB-1234", "😀"])
def test_text_without_words_has_no_language(text):
    assert detect_language(text) == ""


def test_foreign_names_do_not_change_the_language():
    assert detect_language("Как настроить PostgreSQL и Redis?") == "ru"
    assert detect_language("Kubernetes 集群如何升级？") == "zh"
    assert detect_language("What did Gödel and Erdős prove?") == "en"
    assert detect_language("The greeting 你好 means hello in Chinese.") == "en"


@pytest.mark.parametrize(
    "question",
    [
        "Was kostet der Eintritt?",
        "Was wiegt der Kran?",
        "Wie lange gilt die Garantie der Pumpe X-2?",
    ],
)
def test_german_is_preferred_for_words_that_dutch_has_too(question):
    assert detect_language(question) == "de"


@pytest.mark.parametrize("text", ["Marta Lindqvist", "Jonas Reuter", "Anna Kowalska", "MiniLM"])
def test_names_are_not_detected_as_a_foreign_language(text):
    assert detect_language(text) in ("", "en")


def test_accents_may_be_composed_or_missing():
    assert detect_language("¿Cuándo abre la oficina de la ciudad?") == "es"
    assert detect_language("cuando abre la oficina de la ciudad") == "es"


def test_only_the_start_of_a_long_text_is_read():
    text = "Der Vertrag wird nach einem Jahr verlängert. " * 20 + "the " * 10**6

    assert detect_language(text) == "de"
