"""Extractive answers of the rag service, with the built-in embedding model."""
# ruff: noqa: RUF001 - non-Latin letters are intended

import pytest

from backend.ai.answer_options import ANSWER_OPTIONS
from backend.ai.extractive_answers import select_sentences
from backend.ai.sentence_similarities import EmbeddedSimilarities
from backend.services.rag.domain.refusal_thresholds import rank_hit_sentences
from backend.services.rag.model import SearchHit

AIRFIELD = (
    "Runways and hangars\n"
    "The runway of the old airfield is 1,840 metres long and was resurfaced in 1997. "
    "Two hangars from the 1930s are listed buildings. "
    "Gliders are launched by winch on weekends from April to October."
)
REFUNDS = (
    "Refunds\n"
    "Refunds are paid within fourteen days after the goods have come back. "
    "The customer pays for the postage of the return."
)


def search_hit(text, document_id="doc_1", start=0):
    return SearchHit(
        chunk_id=f"chk_{document_id}_{start}",
        document_id=document_id,
        generation=1,
        filename="a.txt",
        title="A",
        section="",
        page=None,
        start=start,
        end=start + len(text),
        text=text,
        score=1.0,
    )


def extract_sentences(embedder, question, hits):
    similarities = EmbeddedSimilarities(embedder)
    return select_sentences(rank_hit_sentences(question, hits, similarities, {}), ANSWER_OPTIONS)


def extract_quotes(embedder, question, *texts):
    hits = [search_hit(text, f"doc_{number}") for number, text in enumerate(texts)]
    return [sentence.quote for sentence in extract_sentences(embedder, question, hits)]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How long is the runway?", "1,840 metres"),
        ("When was the runway resurfaced?", "1997"),
        ("On which days do gliders start?", "weekends"),
        ("Within how many days are refunds paid?", "fourteen days"),
        ("Who pays the postage for a return?", "customer"),
    ],
)
def test_first_sentence_contains_the_answer(embedder, question, expected):
    assert expected in extract_quotes(embedder, question, AIRFIELD, REFUNDS)[0]


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of Mongolia?",
        "Who won the football championship in 2014?",
        "How do I bake sourdough bread?",
        "asdf qwer",
        "???",
    ],
)
def test_question_about_another_subject_has_no_answer(embedder, question):
    assert extract_quotes(embedder, question, AIRFIELD, REFUNDS) == []


def test_heading_is_not_an_answer(embedder):
    quotes = extract_quotes(embedder, "What about runways and hangars?", AIRFIELD)

    assert quotes
    assert "Runways and hangars" not in quotes


def test_heading_counts_for_the_sentence_below_it(embedder):
    text = "Opening hours\nFrom nine in the morning until noon, except on Sundays."

    assert extract_quotes(embedder, "What are the opening hours?", text) == [
        "From nine in the morning until noon, except on Sundays."
    ]


def test_quote_is_the_exact_document_text(embedder):
    hits = [search_hit(AIRFIELD, start=1000)]

    (sentence, *_) = extract_sentences(embedder, "How long is the runway?", hits)

    assert AIRFIELD[sentence.start - 1000 : sentence.end - 1000] == sentence.quote


def test_sentence_of_two_overlapping_hits_is_quoted_once(embedder):
    overlap = AIRFIELD.index("The runway")
    hits = [search_hit(AIRFIELD), search_hit(AIRFIELD[overlap:], start=overlap)]

    sentences = extract_sentences(embedder, "How long is the runway?", hits)

    quotes = [sentence.quote for sentence in sentences]
    assert len(quotes) == len(set(quotes))


def test_no_hits_give_no_answer(embedder):
    assert extract_sentences(embedder, "Anything?", []) == []


@pytest.mark.parametrize(
    ("question", "text", "answer"),
    [
        (
            "According to my documents, who kept the lighthouse at Corran Point?",
            (
                "The lighthouse at Corran Point was first lit on 3 May 1848. Its keeper for thirty "
                "years was Hamish Doyle. The tower is built of granite."
            ),
            "Its keeper for thirty years was Hamish Doyle.",
        ),
        (
            "Who designed the bridge at Luss?",
            (
                "The bridge at Luss was opened in 1911. It was designed by Ada Krall. "
                "Trains cross it every hour."
            ),
            "It was designed by Ada Krall.",
        ),
        (
            "When was the mill of Tarn sold?",
            "The mill of Tarn belonged to a baker. It was sold in 1907.",
            "It was sold in 1907.",
        ),
        ("What is the phone number?", "Room: B-117\n\nPhone: 0221 4455", "Phone: 0221 4455"),
        (
            "新员工的试用期是多长？",
            "年假为十八天。新员工的试用期为五个月。",
            "新员工的试用期为五个月。",
        ),
        (
            "Welche Zulage bekommt der Kapitän der Dampfschifffahrt?",
            (
                "Der Speisesaal ist offen. Donaudampfschifffahrtsgesellschaftskapitäne erhalten "
                "eine Zulage von 250 Euro."
            ),
            "Donaudampfschifffahrtsgesellschaftskapitäne erhalten eine Zulage von 250 Euro.",
        ),
    ],
)
def test_answer_is_only_the_sentence_that_answers_the_question(embedder, question, text, answer):
    assert extract_quotes(embedder, question, text) == [answer]
