"""Kinds of requests for a language model."""

# ruff: noqa: RUF001 - non-Latin letters are intended
import pytest

from backend.services.agent.domain.rule_based.request_kinds import (
    classify_request,
    is_worded_as_question,
)

ANSWER = "The boat was built in Bergen in 1931."


@pytest.mark.parametrize(
    "request_",
    [
        "Summarise the document",
        "Please summarize report.pdf in three sentences",
        "Can you give me a short summary of the contract?",
        "What is this document about?",
        "What are the main points of the report?",
        "Fasse das Dokument zusammen",
        "Gib mir eine kurze Zusammenfassung des Berichts",
        "Worum geht es in dem Vertrag?",
        "Résume le document en deux phrases",
        "Resume el documento",
        "Riassumi il contratto",
        "Перескажи документ",
        "总结这份文件",
        "لخص المستند",
    ],
)
def test_request_for_a_summary(request_):
    assert classify_request(request_) == "summary"


@pytest.mark.parametrize(
    "request_",
    [
        "Write a haiku about the sea",
        "please tell me a joke",
        "Give me five names for a black cat",
        "Translate 'good morning' into French",
        "A limerick about a baker",
        "Schreib mir ein Gedicht über den Herbst",
        "Erzähl mir einen Witz",
        "Ein Limerick über einen Bäcker aus Bremen",
        "Écris un poème sur la pluie",
        "Escribe un poema sobre la lluvia",
        "Scrivi una poesia sul mare",
        "Напиши стихотворение о зиме",
        "写一首关于月亮的诗",
        "اكتب قصيدة عن البحر",
    ],
)
def test_request_for_a_text_of_the_model(request_):
    assert classify_request(request_) == "writing"


@pytest.mark.parametrize(
    "request_",
    [
        "Draft an email about our refund policy",
        "Write a tweet based on the report",
        "Schreib einen Aushang mit unseren Öffnungszeiten",
        "Rédige une lettre d'après le contrat",
    ],
)
def test_request_for_a_text_about_documents(request_):
    assert classify_request(request_) == "document writing"


@pytest.mark.parametrize(
    "request_",
    [
        "Shorter, please",
        "Explain that in simpler words",
        "Make it a list",
        "In German",
        "Translate that into French",
        "Auf Deutsch bitte",
        "Kürzer bitte",
        "Plus court",
        "Más corto",
        "Короче, пожалуйста",
    ],
)
def test_revision_needs_a_previous_answer(request_):
    assert classify_request(request_, ANSWER) == "revision"
    assert classify_request(request_) != "revision"


@pytest.mark.parametrize(
    "request_",
    [
        "When was the boat built?",
        "What does the summary say about costs?",
        "Was steht in der Zusammenfassung über Kosten?",
        "Who improved the engine?",
        "Which company wrote the software?",
        "How long is the longer bridge?",
        "Wie viel kostet die Jahreskarte?",
        "Write down that the meeting is on Friday",
    ],
)
def test_other_requests_are_questions(request_):
    assert classify_request(request_, ANSWER) == "question"


def test_summary_of_a_text_in_the_request_needs_no_document():
    text = "The boat was built in Bergen. " * 30

    assert classify_request(f"Summarise this text: {text}") == "writing"


@pytest.mark.parametrize(
    ("text", "is_question"),
    [
        ("Where is it", True),
        ("It costs 5 euros, right?", True),
        ("Wie hoch ist er", True),
        ("Something that rhymes with orange", False),
        ("Ein Reim auf Katze", False),
    ],
)
def test_wording_of_questions(text, is_question):
    assert is_worded_as_question(text) == is_question
