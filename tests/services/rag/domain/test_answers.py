"""Which sentences answer, and when none does."""

import pytest

from backend.services.rag.domain.answers import readable
from backend.services.rag.domain.extracts import chosen_sentences
from backend.services.rag.domain.found import Found

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


def passage(text, document="doc_1", start=0, score=1.0):
    return Found(
        chunk_id=f"chk_{document}_{start}",
        document_id=document,
        generation=1,
        filename="a.txt",
        title="A",
        section="",
        page=None,
        start=start,
        end=start + len(text),
        text=text,
        score=score,
    )


def answered(embedder, question, *texts):
    passages = [passage(text, f"doc_{n}") for n, text in enumerate(texts)]
    return [each.quote for each in chosen_sentences(question, passages, embedder, {})]


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("How long is the runway?", "1,840 metres"),
        ("When was the runway resurfaced?", "1997"),
        ("On which days do gliders start?", "weekends"),
        ("Within how many days are refunds paid?", "fourteen days"),
        ("Who pays the postage for a return?", "customer"),
    ],
)
def test_the_first_sentence_holds_the_answer(embedder, question, says):
    assert says in answered(embedder, question, AIRFIELD, REFUNDS)[0]


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
def test_what_the_passages_do_not_say_is_not_answered(embedder, question):
    assert answered(embedder, question, AIRFIELD, REFUNDS) == []


def test_a_heading_is_no_answer(embedder):
    quotes = answered(embedder, "What about runways and hangars?", AIRFIELD)

    assert quotes
    assert "Runways and hangars" not in quotes


def test_a_heading_counts_for_the_sentence_under_it(embedder):
    text = "Opening hours\nFrom nine in the morning until noon, except on Sundays."

    assert answered(embedder, "What are the opening hours?", text) == [
        "From nine in the morning until noon, except on Sundays."
    ]


def test_quotes_are_slices_of_the_document(embedder):
    (found, *_) = chosen_sentences(
        "How long is the runway?", [passage(AIRFIELD, start=1000)], embedder, {}
    )

    assert AIRFIELD[found.start - 1000 : found.end - 1000] == found.quote


def test_a_sentence_in_two_overlapping_passages_is_quoted_once(embedder):
    overlap = AIRFIELD.index("The runway")
    passages = [passage(AIRFIELD), passage(AIRFIELD[overlap:], start=overlap)]

    quotes = [e.quote for e in chosen_sentences("How long is the runway?", passages, embedder, {})]

    assert len(quotes) == len(set(quotes))


def test_no_passages_no_answer(embedder):
    assert chosen_sentences("Anything?", [], embedder, {}) == []


def test_a_quote_is_made_readable_for_the_answer():
    assert readable("• The docu-\nment  was\nread.") == "The document was read."
